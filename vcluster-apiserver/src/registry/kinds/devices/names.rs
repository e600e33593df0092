//! The names in resource.k8s.io: of drivers, pools, attributes (k8s.io/kubernetes `pkg/apis/resource/validation`).

use crate::registry::kinds::read::{subdomain, wrong};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_c_identifier, is_qualified_name};

pub use crate::registry::kinds::storage::driver_name as driver;

const LONGEST_ID: usize = 32;

/// One or more DNS names with slashes between.
pub fn pool(name: &str, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 253;
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if name.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
    for part in name.split('/') {
        wrong(path, part, subdomain(part), errors);
    }
}

/// The key of a label.
pub fn label_key(key: &str, path: &Path, errors: &mut ErrorList) {
    wrong(path, key, is_qualified_name(key), errors);
}

/// An identifier, with the driver that it belongs to or without.
pub fn qualified(name: &str, path: &Path, errors: &mut ErrorList) {
    match name.split('/').collect::<Vec<&str>>().as_slice() {
        [id] => identifier(id, path, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(FieldError::invalid(path, "", "the domain must not be empty"));
            } else {
                driver(&(*domain).into(), path, errors);
            }
            if id.is_empty() {
                errors.push(FieldError::invalid(path, "", "the name must not be empty"));
            } else {
                identifier(id, path, errors);
            }
        }
        _ => {}
    }
}

/// The same with a driver.
pub fn fully_qualified(name: &str, path: &Path, errors: &mut ErrorList) {
    qualified(name, path, errors);
    if !name.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn identifier(id: &str, path: &Path, errors: &mut ErrorList) {
    if id.len() > LONGEST_ID {
        errors.push(FieldError::too_long(path, LONGEST_ID));
    }
    wrong(path, id, is_c_identifier(id), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_forms() {
        let count = |rule: fn(&str, &Path, &mut ErrorList), name: &str| {
            let mut errors = ErrorList::new();
            rule(name, &Path::new("a"), &mut errors);
            errors.len()
        };
        for (rule, name, wrong) in [
            (pool as fn(&str, &Path, &mut ErrorList), "a.b/c", 0),
            (pool, "", 1),
            (pool, "A/b/C", 2),
            (qualified, "model", 0),
            (qualified, "gpu.example.com/model", 0),
            (qualified, "/", 2),
            (qualified, "a-b", 1),
            (fully_qualified, "model", 1),
            (label_key, "", 2),
        ] {
            assert_eq!(count(rule, name), wrong, "{name}");
        }
    }
}
