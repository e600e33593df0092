//! Levels and versions, as a namespace's labels name them (k8s.io/pod-security-admission `api`).

use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use std::fmt;

/// From allowing everything to allowing least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// A level as of a version; `minor` none is the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelVersion {
    pub level: Level,
    pub minor: Option<u32>,
}

/// What is enforced, what is warned about; auditing has no listener yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub warn: LevelVersion,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.minor {
            Some(minor) => write!(f, "{level}:v1.{minor}"),
            None => write!(f, "{level}:latest"),
        }
    }
}

fn parse_level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

/// `latest` or `v1.x`, as the minor version.
fn parse_version(text: &str) -> Result<Option<u32>, ()> {
    if text == "latest" {
        return Ok(None);
    }
    let minor = text.strip_prefix("v1.").ok_or(())?;
    let plain = minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    if plain { minor.parse().map(Some).map_err(|_| ()) } else { Err(()) }
}

/// The policy of a namespace's labels, and what is wrong with them. Broken labels enforce most and warn least.
pub fn of_namespace(namespace: &Object) -> (Policy, ErrorList) {
    let mut errors = ErrorList::new();
    let mut policy = Policy::default();
    let label = |mode: &str| namespace.label(&format!("pod-security.kubernetes.io/{mode}"));
    let mut wrong = |mode: &str, value: &str, why: &str| {
        let path = Path::new("metadata").child("labels").key(&format!("pod-security.kubernetes.io/{mode}"));
        errors.push(FieldError::invalid(&path, value, why));
    };
    const LEVELS: &str = "must be one of privileged, baseline, restricted";
    const VERSIONS: &str = "must be \"latest\" or \"v1.x\"";
    let mut level = |mode: &str| {
        let text = label(mode)?;
        let parsed = parse_level(text);
        if parsed.is_none() {
            wrong(mode, text, LEVELS);
        }
        Some(parsed)
    };
    let enforce = level("enforce");
    // Nothing listens to audit annotations, but a wrong label is refused all the same.
    level("audit");
    let warn = level("warn");
    let mut version = |mode: &str| {
        let text = label(mode)?;
        let parsed = parse_version(text);
        if parsed.is_err() {
            wrong(mode, text, VERSIONS);
        }
        Some(parsed.unwrap_or_default())
    };
    let enforce_version = version("enforce-version");
    version("audit-version");
    let warn_version = version("warn-version");
    let or = |level: Option<Option<Level>>, broken| level.map(|l| l.unwrap_or(broken)).unwrap_or_default();
    policy.enforce = LevelVersion { level: or(enforce, Level::Restricted), minor: enforce_version.unwrap_or_default() };
    policy.warn = LevelVersion { level: or(warn, Level::Privileged), minor: warn_version.unwrap_or_default() };
    // Who enforces without asking for warnings is warned about workloads whose pods will be refused.
    if let (None, Some(Some(level))) = (warn, enforce)
        && level > policy.warn.level
    {
        policy.warn.level = level;
        if warn_version.is_none() {
            policy.warn.minor = policy.enforce.minor;
        }
    }
    (policy, errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_make_a_policy() {
        let show = |labels: &[(&str, &str)]| {
            let labels: serde_json::Map<String, serde_json::Value> =
                labels.iter().map(|(k, v)| (format!("pod-security.kubernetes.io/{k}"), json!(v))).collect();
            let namespace = Object::from_value(json!({ "metadata": { "labels": labels } })).unwrap();
            let (policy, errors) = of_namespace(&namespace);
            format!("{} {} {}", policy.enforce, policy.warn, errors.len())
        };
        assert_eq!(show(&[]), "privileged:latest privileged:latest 0");
        assert_eq!(show(&[("enforce", "baseline")]), "baseline:latest baseline:latest 0");
        assert_eq!(show(&[("enforce", "baseline"), ("enforce-version", "v1.25")]), "baseline:v1.25 baseline:v1.25 0");
        assert_eq!(show(&[("enforce", "baseline"), ("warn", "restricted")]), "baseline:latest restricted:latest 0");
        assert_eq!(show(&[("enforce", "x"), ("enforce-version", "1.25")]), "restricted:latest privileged:latest 2");
        assert_eq!(show(&[("audit", "x"), ("warn", "x")]), "privileged:latest privileged:latest 2");
    }
}
