//! What only pods of Windows have, and what they may not have; the operating system of a pod
//! (k8s.io/kubernetes `pkg/apis/core/validation`).

use crate::registry::kinds::read::{list, text, wrong};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_dns1123_subdomain;
use serde_json::Value;

/// Bytes of a credential spec.
const LARGEST_SPEC: usize = 64 * 1024;
const DOMAIN_BELOW: usize = 256;
const LONGEST_USER: usize = 104;

/// A name of `NetBIOS`.
fn is_netbios(name: &str) -> bool {
    let odd = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
    (1..=15).contains(&name.chars().count()) && !name.starts_with('.') && !name.contains(odd)
}

/// A name of DNS, in letters of any case.
fn is_dns(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(label)
}

/// Options of a security context.
pub fn options(options: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = options["gmsaCredentialSpecName"].as_str() {
        wrong(&path.child("gmsaCredentialSpecName"), name, is_dns1123_subdomain(name), errors);
    }
    if let Some(spec) = options["gmsaCredentialSpec"].as_str() {
        let why = match spec.len() {
            0 => "gmsaCredentialSpec cannot be an empty string",
            size if size > LARGEST_SPEC => "gmsaCredentialSpec size must be under 64 KiB",
            _ => "",
        };
        if !why.is_empty() {
            errors.push(FieldError::invalid(&path.child("gmsaCredentialSpec"), spec, why));
        }
    }
    if let Some(user) = options["runAsUserName"].as_str() {
        let at = path.child("runAsUserName");
        errors.extend(user_name(user).into_iter().map(|why| FieldError::invalid(&at, user, why)));
    }
}

fn user_name(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        _ if name.is_empty() => return vec!["runAsUserName cannot be an empty string".to_owned()],
        _ if name.bytes().any(|b| b.is_ascii_control()) => {
            return vec!["runAsUserName cannot contain control characters".to_owned()];
        }
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec!["runAsUserName cannot contain more than one backslash".to_owned()],
    };
    let mut found = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_BELOW) {
        found.push(format!("runAsUserName's Domain length must be under {DOMAIN_BELOW} characters"));
    }
    if domain.is_some_and(|domain| !is_netbios(domain) && !is_dns(domain)) {
        found.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        found.push("runAsUserName's User cannot be empty".to_owned());
    } else if user.len() > LONGEST_USER {
        found.push(format!("runAsUserName's User length must not be longer than {LONGEST_USER} characters"));
    }
    if !user.is_empty() && user.bytes().all(|b| b == b'.' || b == b' ') {
        found.push("runAsUserName's User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let why = r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        found.push(why.to_owned());
    }
    found
}

/// Every container of a pod, with its place.
fn containers<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let groups = ["initContainers", "containers", "ephemeralContainers"].into_iter();
    let of_group = |group| {
        let at = path.child(group);
        list(spec, group).iter().enumerate().map(move |(index, container)| (container, at.index(index)))
    };
    groups.flat_map(of_group).collect()
}

/// Containers that are processes of the host: all of a pod or none, in the host's network.
pub fn host_process(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let whole = spec["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
    let all = containers(spec, path);
    let mut processes = 0;
    for (container, at) in &all {
        let own = container["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
        if let (Some(whole), Some(own)) = (whole, own)
            && whole != own
        {
            let at = at.child("securityContext").child("windowsOptions").child("hostProcess");
            let why = format!("pod hostProcess value must be identical if both are specified, was {whole}");
            errors.push(FieldError::invalid(&at, own, why));
        }
        processes += usize::from(own.or(whole).unwrap_or(false));
    }
    if processes == 0 {
        return;
    }
    if processes != all.len() {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", why));
    }
    if spec["hostNetwork"] != true {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.child("hostNetwork"), false, why));
    }
}

const NOT_OF_WINDOWS_PODS: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];

const NOT_OF_WINDOWS_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// The operating system, and what of the other one the pod says.
pub fn system(spec: &Value, path: &Path, errors: &mut ErrorList) {
    if !spec["os"].is_object() {
        return;
    }
    let at = path.child("os");
    match text(&spec["os"], "name") {
        "" => errors.push(FieldError::required(&at.child("name"), "")),
        "linux" => {
            let inner = containers(spec, path);
            let all = std::iter::once((spec, path.clone())).chain(inner);
            for (_, at) in all.filter(|(holder, _)| holder["securityContext"]["windowsOptions"].is_object()) {
                let at = at.child("securityContext").child("windowsOptions");
                errors.push(FieldError::forbidden(&at, "windows options cannot be set for a linux pod"));
            }
        }
        "windows" => windows(spec, path, errors),
        other => errors.push(FieldError::not_supported(&at, other, &["linux", "windows"])),
    }
}

fn windows(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let mut refuse = |holder: &Value, at: &Path, fields: &[&str]| {
        for field in fields {
            let value = &holder[*field];
            let set = !value.is_null() && *value != false && !value.as_array().is_some_and(Vec::is_empty);
            let pointer = value.is_boolean() && !matches!(*field, "hostPID" | "hostIPC");
            if set || pointer {
                errors.push(FieldError::forbidden(&at.child(field), "cannot be set for a windows pod"));
            }
        }
    };
    refuse(&spec["securityContext"], &path.child("securityContext"), &NOT_OF_WINDOWS_PODS);
    refuse(spec, path, &["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"]);
    for (container, at) in containers(spec, path) {
        refuse(&container["securityContext"], &at.child("securityContext"), &NOT_OF_WINDOWS_CONTAINERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn names_of_users() {
        for (name, count) in [("user", 0), ("DOM\\user", 0), ("", 1), ("a\\b\\c", 1), ("..", 1), ("a@b", 1), ("\\u", 1)]
        {
            assert_eq!(user_name(name).len(), count, "{name}");
        }
    }

    #[test]
    fn fields_of_the_other_system() {
        let texts = |spec: Value| told(|errors| system(&spec, &Path::new("spec"), errors));
        assert_eq!(texts(json!({"os": {}})), ["spec.os.name: Required value"]);
        let windows = json!({"os": {"name": "windows"}, "containers": [{"securityContext": {"privileged": false}}]});
        assert_eq!(
            texts(windows),
            ["spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod"]
        );
    }
}
