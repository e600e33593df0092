//! The checks of the baseline level: what would let a pod out of its container
//! (k8s.io/pod-security-admission `policy`).

use super::pod::{Pod, Violation, containers_named, items, name, plural, quoted, security, set, setters, text};
use serde_json::Value;
use std::collections::BTreeSet;

pub fn app_armor(pod: Pod<'_>) -> Option<Violation> {
    const PATH: &str = "/appArmorProfile/type";
    let is_bad = |of: &Value| {
        security(of, "/appArmorProfile").is_some()
            && !matches!(text(security(of, PATH)), "RuntimeDefault" | "Localhost")
    };
    let containers = pod.bad_containers(is_bad);
    let values = std::iter::once(pod.spec).chain(pod.containers()).filter(|of| is_bad(of));
    let mut values: Vec<String> = set(values.map(|of| text(security(of, PATH)))).into_iter().collect();
    let mut who: Vec<String> = setters(is_bad(pod.spec), &containers).into_iter().collect();

    let annotations = pod.annotations.into_iter().flatten().filter_map(|(key, value)| {
        let value = value.as_str().unwrap_or_default();
        let allowed = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        let ours = key.starts_with("container.apparmor.security.beta.kubernetes.io/");
        (ours && !allowed).then(|| format!("{key}={value:?}"))
    });
    let annotations = set(annotations);
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).into());
        values.extend(annotations);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let detail = format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(&values));
    Some(Violation::new(reason, detail))
}

pub fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    const ALLOWED: [&str; 13] = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let added = |container: &Value| -> BTreeSet<String> {
        let list = security(container, "/capabilities/add").and_then(Value::as_array);
        set(list.into_iter().flatten().filter_map(Value::as_str).filter(|c| !ALLOWED.contains(c)))
    };
    let containers = pod.bad_containers(|c| !added(c).is_empty());
    let all: BTreeSet<String> = pod.containers().flat_map(added).collect();
    (!containers.is_empty()).then(|| {
        let who = containers_named(&containers);
        let detail = format!("{who} must not include {} in securityContext.capabilities.add", quoted(&all));
        Violation::new("non-default capabilities", detail)
    })
}

pub fn host_namespaces(pod: Pod<'_>) -> Option<Violation> {
    let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec.get(field) == Some(&Value::Bool(true)))
        .map(|field| format!("{field}=true"))
        .collect();
    (!used.is_empty()).then(|| Violation::new("host namespaces", used.join(", ")))
}

pub fn host_path_volumes(pod: Pod<'_>) -> Option<Violation> {
    let volumes: Vec<&str> = items(pod.spec, "volumes")
        .iter()
        .filter(|v| v.get("hostPath").is_some_and(|p| !p.is_null()))
        .map(name)
        .collect();
    (!volumes.is_empty()).then(|| {
        let detail = format!("{} {}", plural("volume", "volumes", volumes.len()), quoted(&volumes));
        Violation::new("hostPath volumes", detail)
    })
}

pub fn host_ports(pod: Pod<'_>) -> Option<Violation> {
    let used = |container: &Value| -> BTreeSet<String> {
        let ports = items(container, "ports").iter().filter_map(|p| p.get("hostPort")?.as_i64());
        set(ports.filter(|p| *p != 0).map(|p| p.to_string()))
    };
    let containers = pod.bad_containers(|c| !used(c).is_empty());
    let ports: BTreeSet<String> = pod.containers().flat_map(used).collect();
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            containers_named(&containers),
            plural("uses", "use", containers.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.into_iter().collect::<Vec<_>>().join(", ")
        );
        Violation::new("hostPort", detail)
    })
}

pub fn host_probes(pod: Pod<'_>) -> Option<Violation> {
    const PLACES: [&str; 5] =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    let hosts = |container: &Value| -> BTreeSet<String> {
        let places = PLACES.iter().flat_map(|p| [format!("{p}/httpGet/host"), format!("{p}/tcpSocket/host")]);
        set(places.map(|p| text(container.pointer(&p)).to_owned()).filter(|h| !h.is_empty()))
    };
    let containers: Vec<&str> = {
        let names: BTreeSet<&str> = pod.bad_containers(|c| !hosts(c).is_empty()).into_iter().collect();
        names.into_iter().collect()
    };
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            containers_named(&containers),
            plural("uses", "use", containers.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", all.len()),
            quoted(&all)
        );
        Violation::new("probe or lifecycle host", detail)
    })
}

pub fn privileged(pod: Pod<'_>) -> Option<Violation> {
    let containers = pod.bad_containers(|c| security(c, "/privileged") == Some(&Value::Bool(true)));
    (!containers.is_empty()).then(|| {
        let detail = format!("{} must not set securityContext.privileged=true", containers_named(&containers));
        Violation::new("privileged", detail)
    })
}

pub fn proc_mount(pod: Pod<'_>) -> Option<Violation> {
    let is_bad = |c: &Value| security(c, "/procMount").is_some_and(|m| m != "Default");
    let containers = pod.bad_containers(is_bad);
    let values = set(pod.containers().filter(|c| is_bad(c)).map(|c| text(security(c, "/procMount"))));
    (!containers.is_empty()).then(|| {
        let who = containers_named(&containers);
        let detail = format!("{who} must not set securityContext.procMount to {}", quoted(&values));
        Violation::new("procMount", detail)
    })
}

/// From 1.35: unmasked is fine inside a user namespace.
pub fn proc_mount_1_35(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_user_namespace() { None } else { proc_mount(pod) }
}

fn se_linux_of(pod: Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    let options = |of: &Value, field: &str| text(security(of, &format!("/seLinuxOptions/{field}"))).to_owned();
    let bad_type = |of: &Value| !allowed.contains(&options(of, "type").as_str());
    let sets = |of: &Value, field: &str| !options(of, field).is_empty();
    let is_bad = |of: &Value| bad_type(of) || sets(of, "user") || sets(of, "role");
    let who = setters(is_bad(pod.spec), &pod.bad_containers(is_bad))?;
    let all: Vec<&Value> = std::iter::once(pod.spec).chain(pod.containers()).collect();
    let types = set(all.iter().filter(|of| bad_type(of)).map(|of| options(of, "type")));
    let mut wrong = Vec::new();
    if !types.is_empty() {
        wrong.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    for field in ["user", "role"] {
        if all.iter().any(|of| sets(of, field)) {
            wrong.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", wrong.join("; "));
    Some(Violation::new("seLinuxOptions", detail))
}

pub fn se_linux(pod: Pod<'_>) -> Option<Violation> {
    se_linux_of(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub fn se_linux_1_31(pod: Pod<'_>) -> Option<Violation> {
    se_linux_of(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

/// Before 1.19 profiles were annotations.
pub fn seccomp(pod: Pod<'_>) -> Option<Violation> {
    let own = "seccomp.security.alpha.kubernetes.io/pod".to_owned();
    let keys = pod.containers().map(|c| format!("container.seccomp.security.alpha.kubernetes.io/{}", name(c)));
    let wrong = std::iter::once(own).chain(keys).filter_map(|key| {
        let value = pod.annotations?.get(&key)?.as_str()?;
        let allowed = matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
        (!allowed).then(|| format!("{key}={value:?}"))
    });
    let wrong = set(wrong);
    (!wrong.is_empty()).then(|| {
        let kind = plural("annotation", "annotations", wrong.len());
        let detail = format!("forbidden {kind} {}", wrong.iter().cloned().collect::<Vec<_>>().join(", "));
        Violation::new("seccompProfile", detail)
    })
}

/// A profile that is set to something else than the runtime's default or one of the node's files.
pub fn is_bad_seccomp(of: &Value) -> bool {
    security(of, "/seccompProfile").is_some()
        && !matches!(text(security(of, "/seccompProfile/type")), "RuntimeDefault" | "Localhost")
}

pub fn seccomp_1_19(pod: Pod<'_>) -> Option<Violation> {
    let who = setters(is_bad_seccomp(pod.spec), &pod.bad_containers(is_bad_seccomp))?;
    let all = std::iter::once(pod.spec).chain(pod.containers()).filter(|of| is_bad_seccomp(of));
    let values = set(all.map(|of| text(security(of, "/seccompProfile/type"))));
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&values));
    Some(Violation::new("seccompProfile", detail))
}

/// Safe sysctls in the order in which versions allowed them.
const SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

fn sysctls_of(pod: Pod<'_>, known: usize) -> Option<Violation> {
    let list = pod.security("/sysctls").and_then(Value::as_array);
    let wrong: Vec<&str> = list.into_iter().flatten().map(name).filter(|n| !SYSCTLS[..known].contains(n)).collect();
    (!wrong.is_empty()).then(|| Violation::new("forbidden sysctls", wrong.join(", ")))
}

pub fn sysctls(pod: Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 5)
}

pub fn sysctls_1_27(pod: Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 6)
}

pub fn sysctls_1_29(pod: Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 10)
}

pub fn sysctls_1_32(pod: Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 12)
}

pub fn sysctls_1_37(pod: Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 14)
}

pub fn windows_host_process(pod: Pod<'_>) -> Option<Violation> {
    let is_bad = |of: &Value| security(of, "/windowsOptions/hostProcess") == Some(&Value::Bool(true));
    let who = setters(is_bad(pod.spec), &pod.bad_containers(is_bad))?;
    Some(Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true")))
}
