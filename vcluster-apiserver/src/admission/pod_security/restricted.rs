//! The checks of the restricted level: what a hardened pod must give up
//! (k8s.io/pod-security-admission `policy`).

use super::baseline::is_bad_seccomp;
use super::pod::{Pod, Violation, containers_named, items, name, plural, quoted, security, set, setters, text};
use serde_json::Value;

/// From 1.25 the Linux-only checks pass pods for Windows.
fn unless_windows(pod: Pod<'_>, check: fn(Pod<'_>) -> Option<Violation>) -> Option<Violation> {
    if pod.is_windows() { None } else { check(pod) }
}

/// From 1.35 being root inside a user namespace is fine.
fn unless_user_namespace(pod: Pod<'_>, check: fn(Pod<'_>) -> Option<Violation>) -> Option<Violation> {
    if pod.has_user_namespace() { None } else { check(pod) }
}

pub fn privilege_escalation(pod: Pod<'_>) -> Option<Violation> {
    let containers = pod.bad_containers(|c| security(c, "/allowPrivilegeEscalation") != Some(&Value::Bool(false)));
    (!containers.is_empty()).then(|| {
        let who = containers_named(&containers);
        let detail = format!("{who} must set securityContext.allowPrivilegeEscalation=false");
        Violation::new("allowPrivilegeEscalation != false", detail)
    })
}

pub fn privilege_escalation_1_25(pod: Pod<'_>) -> Option<Violation> {
    unless_windows(pod, privilege_escalation)
}

pub fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    let list = |c: &Value, field: &str| -> Vec<String> {
        let list = security(c, &format!("/capabilities/{field}")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let added = |c: &Value| -> Vec<String> {
        list(c, "add").into_iter().filter(|capability| capability != "NET_BIND_SERVICE").collect()
    };
    let keeping = pod.bad_containers(|c| !list(c, "drop").iter().any(|capability| capability == "ALL"));
    let adding = pod.bad_containers(|c| !added(c).is_empty());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = containers_named(&keeping);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !adding.is_empty() {
        let all = set(pod.containers().flat_map(added));
        let who = containers_named(&adding);
        details.push(format!("{who} must not include {} in securityContext.capabilities.add", quoted(&all)));
    }
    (!details.is_empty()).then(|| Violation::new("unrestricted capabilities", details.join("; ")))
}

pub fn capabilities_1_25(pod: Pod<'_>) -> Option<Violation> {
    unless_windows(pod, capabilities)
}

pub fn volumes(pod: Pod<'_>) -> Option<Violation> {
    const ALLOWED: [&str; 9] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    const FORBIDDEN: [&str; 21] = [
        "hostPath",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "gitRepo",
        "nfs",
        "iscsi",
        "glusterfs",
        "rbd",
        "flexVolume",
        "cinder",
        "cephfs",
        "flocker",
        "fc",
        "azureFile",
        "vsphereVolume",
        "quobyte",
        "azureDisk",
        "photonPersistentDisk",
        "portworxVolume",
        "scaleIO",
        "storageos",
    ];
    let has = |volume: &Value, kind: &str| volume.get(kind).is_some_and(|v| !v.is_null());
    let wrong: Vec<&Value> = items(pod.spec, "volumes").iter().filter(|v| !ALLOWED.iter().any(|k| has(v, k))).collect();
    let kinds = set(wrong.iter().map(|v| FORBIDDEN.into_iter().find(|k| has(v, k)).unwrap_or("unknown")));
    (!wrong.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", wrong.len()),
            quoted(wrong.iter().map(|v| name(v))),
            plural("uses", "use", wrong.len()),
            plural("restricted volume type", "restricted volume types", kinds.len()),
            quoted(&kinds)
        );
        Violation::new("restricted volume types", detail)
    })
}

pub fn run_as_non_root(pod: Pod<'_>) -> Option<Violation> {
    const PATH: &str = "/runAsNonRoot";
    const REASON: &str = "runAsNonRoot != true";
    let refuses = |of: &Value| security(of, PATH) == Some(&Value::Bool(false));
    if let Some(who) = setters(refuses(pod.spec), &pod.bad_containers(refuses)) {
        return Some(Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    if pod.security(PATH) == Some(&Value::Bool(true)) {
        return None;
    }
    let silent = pod.bad_containers(|c| security(c, PATH).is_none());
    (!silent.is_empty()).then(|| {
        let who = containers_named(&silent);
        Violation::new(REASON, format!("pod or {who} must set securityContext.runAsNonRoot=true"))
    })
}

pub fn run_as_non_root_1_35(pod: Pod<'_>) -> Option<Violation> {
    unless_user_namespace(pod, run_as_non_root)
}

pub fn run_as_user(pod: Pod<'_>) -> Option<Violation> {
    let is_root = |of: &Value| security(of, "/runAsUser").and_then(Value::as_i64) == Some(0);
    let who = setters(is_root(pod.spec), &pod.bad_containers(is_root))?;
    Some(Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

pub fn run_as_user_1_35(pod: Pod<'_>) -> Option<Violation> {
    unless_user_namespace(pod, run_as_user)
}

pub fn seccomp(pod: Pod<'_>) -> Option<Violation> {
    if let Some(violation) = super::baseline::seccomp_1_19(pod) {
        return Some(violation);
    }
    if matches!(text(pod.security("/seccompProfile/type")), "RuntimeDefault" | "Localhost") {
        return None;
    }
    let silent = pod.bad_containers(|c| security(c, "/seccompProfile").is_none() && !is_bad_seccomp(c));
    (!silent.is_empty()).then(|| {
        let who = containers_named(&silent);
        let detail =
            format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
        Violation::new("seccompProfile", detail)
    })
}

pub fn seccomp_1_25(pod: Pod<'_>) -> Option<Violation> {
    unless_windows(pod, seccomp)
}
