//! Security contexts of pods and containers (k8s.io/kubernetes `pkg/apis/core/validation`,
//! `ValidateSecurityContext`, `validatePodSpecSecurityContext`).

use super::path_rules::descending;
use super::{sysctl_rules, windows_rules};
use crate::registry::kinds::read::{list, one_of, text};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_in_range;
use serde_json::Value;

/// Profiles of seccomp and of AppArmor have the same types.
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// The longest path of Linux without its end.
const LONGEST_PATH: usize = 4095;

/// The context of a pod.
pub fn of_pod(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (context, at) = (&spec["securityContext"], path.child("securityContext"));
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(&context[field], &at.child(field), errors);
    }
    for (index, group) in list(context, "supplementalGroups").iter().enumerate() {
        id(group, &at.child("supplementalGroups").index(index), errors);
    }
    sysctl_rules::check(spec, &at.child("sysctls"), errors);
    one_of(&at.child("fsGroupChangePolicy"), &context["fsGroupChangePolicy"], &["Always", "OnRootMismatch"], errors);
    profiles(context, &at, errors);
    one_of(&at.child("supplementalGroupsPolicy"), &context["supplementalGroupsPolicy"], &["Merge", "Strict"], errors);
    one_of(&at.child("seLinuxChangePolicy"), &context["seLinuxChangePolicy"], &["MountOption", "Recursive"], errors);
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, why));
    }
    if spec["hostUsers"] == false {
        for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
            if spec[field] == true {
                errors.push(FieldError::forbidden(&path.child(shown), "when `hostUsers` is false"));
            }
        }
    }
}

/// The context of a container; `host_users` is whether its users are the host's.
pub fn of_container(context: &Value, host_users: bool, path: &Path, errors: &mut ErrorList) {
    for field in ["runAsUser", "runAsGroup"] {
        id(&context[field], &path.child(field), errors);
    }
    one_of(&path.child("procMount"), &context["procMount"], &["Default", "Unmasked"], errors);
    if host_users && context["procMount"] == "Unmasked" {
        let why = "`hostUsers` must be false to use `Unmasked`";
        errors.push(FieldError::invalid(&path.child("procMount"), "Unmasked", why));
    }
    if context["allowPrivilegeEscalation"] == false {
        let shown = crate::registry::kinds::internal::text("core.v1.SecurityContext", context);
        let refuse = |what: &str| {
            let why = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
            FieldError::invalid(path, "", why).showing(shown.clone())
        };
        if context["privileged"] == true {
            errors.push(refuse("`privileged` to true"));
        }
        if list(&context["capabilities"], "add").iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            errors.push(refuse("`capabilities.Add` CAP_SYS_ADMIN"));
        }
    }
    profiles(context, path, errors);
}

fn id(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(id) = value.as_i64() {
        let found = is_in_range(id, 0, i64::from(i32::MAX)).into_iter();
        errors.extend(found.map(|why| FieldError::invalid(path, id, why)));
    }
}

/// What contexts of both kinds have.
fn profiles(context: &Value, path: &Path, errors: &mut ErrorList) {
    if context["seccompProfile"].is_object() {
        seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    }
    windows_rules::options(&context["windowsOptions"], &path.child("windowsOptions"), errors);
    if context["appArmorProfile"].is_object() {
        app_armor(&context["appArmorProfile"], &path.child("appArmorProfile"), errors);
    }
}

fn seccomp(profile: &Value, path: &Path, errors: &mut ErrorList) {
    let (kind, at) = (text(profile, "type"), path.child("localhostProfile"));
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set"));
    } else {
        one_of(&path.child("type"), &profile["type"], &PROFILES, errors);
    }
    match (kind, profile["localhostProfile"].as_str()) {
        ("Localhost", None) => {
            errors.push(FieldError::required(&at, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(file)) => descending(file, &at, errors),
        (_, Some(_)) => {
            let shown = crate::registry::kinds::internal::text("core.v1.SeccompProfile", profile);
            let why = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(&at, "", why).showing(shown));
        }
        _ => {}
    }
}

fn app_armor(profile: &Value, path: &Path, errors: &mut ErrorList) {
    let at = path.child("localhostProfile");
    match (text(profile, "type"), profile["localhostProfile"].as_str()) {
        ("Localhost", None | Some("")) => {
            errors.push(FieldError::required(&at, "must be set when AppArmor type is Localhost"));
        }
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(FieldError::invalid(&at, name, "must not be padded with whitespace"));
            }
            if name.len() > LONGEST_PATH {
                errors.push(FieldError::too_long(&at, LONGEST_PATH));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.push(FieldError::invalid(&at, name, "can only be set when AppArmor type is Localhost"));
        }
        ("", _) => {
            errors.push(FieldError::required(&path.child("type"), "type is required when appArmorProfile is set"));
        }
        _ => one_of(&path.child("type"), &profile["type"], &PROFILES, errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_context_may_not_say() {
        let cases: [(Value, &[&str]); 6] = [
            (json!({"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}), &[]),
            (
                json!({"runAsGroup": -1}),
                &["s.runAsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
            ),
            (
                json!({"procMount": "Unmasked"}),
                &["s.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"],
            ),
            (
                json!({"appArmorProfile": {}}),
                &["s.appArmorProfile.type: Required value: type is required when appArmorProfile is set"],
            ),
            (
                json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "/x"}}),
                &["s.seccompProfile.localhostProfile: Invalid value: \"/x\": must be a relative path"],
            ),
            (
                json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}}),
                &[
                    "s.seccompProfile.localhostProfile: Invalid value: {\"Type\":\"Unconfined\",\"LocalhostProfile\":\"x\"}: can only be set when seccomp type is Localhost",
                ],
            ),
        ];
        for (context, expected) in cases {
            let mut errors = ErrorList::new();
            of_container(&context, true, &Path::new("s"), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        }
    }
}
