//! Paths within volumes, which must not lead out of them (k8s.io/kubernetes `pkg/apis/core/validation`).

use apimachinery::field::{ErrorList, FieldError, Path};

/// No step back up.
pub fn no_backsteps(target: &str, path: &Path, errors: &mut ErrorList) {
    if target.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, target, "must not contain '..'"));
    }
}

/// A relative path without a step back up.
pub fn descending(target: &str, path: &Path, errors: &mut ErrorList) {
    if target.starts_with('/') {
        errors.push(FieldError::invalid(path, target, "must be a relative path"));
    }
    no_backsteps(target, path, errors);
}

/// As [`descending`], without the names that the kubelet keeps for itself.
pub fn not_reserved(target: &str, path: &Path, errors: &mut ErrorList) {
    descending(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.push(FieldError::invalid(path, target, "must not start with '..'"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (target, count) in [("a/b", 0), ("..a", 1), ("../a", 1), ("/a/..", 2), ("", 0)] {
            let mut errors = ErrorList::new();
            not_reserved(target, &Path::new("p"), &mut errors);
            assert_eq!(errors.len(), count, "{target}");
        }
    }
}
