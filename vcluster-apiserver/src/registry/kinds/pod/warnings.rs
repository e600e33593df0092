//! What upstream warns about in pods and in templates of pods (k8s.io/kubernetes `pkg/api/pod/warnings.go`).

use super::path_warnings;
use crate::registry::kinds::read::{list, number, quantity, text};
use apimachinery::field::Path;
use serde_json::Value;
use std::collections::BTreeMap;

/// Labels of nodes that have another name by now.
const OLD_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// Volumes that are on their way out, or gone.
const OLD_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Warnings about a pod or a template, which stands at `path`.
pub fn of(pod: &Value, path: &Path) -> Vec<String> {
    let (spec, at) = (&pod["spec"], path.child("spec"));
    let annotations = (&pod["metadata"]["annotations"], path.child("metadata").child("annotations"));
    let mut found = Vec::new();
    placement(spec, &at, &mut found);
    for (key, why) in OLD_ANNOTATIONS {
        if !annotations.0[key].is_null() {
            found.push(format!("{}: {why}", annotations.1.key(key)));
        }
    }
    volumes(list(spec, "volumes"), &at.child("volumes"), &mut found);
    repeated(list(spec, "hostAliases"), "ip", &at.child("hostAliases"), &mut found);
    let secrets = (list(spec, "imagePullSecrets"), at.child("imagePullSecrets"));
    repeated(secrets.0, "name", &secrets.1, &mut found);
    for (index, _) in secrets.0.iter().enumerate().filter(|(_, secret)| text(secret, "name").is_empty()) {
        found.push(format!("{}: invalid empty name \"\"", secrets.1.index(index).child("name")));
    }
    fractions(&spec["overhead"], &at.child("overhead"), &mut found);
    const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
    if spec["securityContext"]["seccompProfile"].is_null() && !annotations.0[SECCOMP].is_null() {
        let key = annotations.1.key(SECCOMP);
        found.push(format!("{key}: non-functional in v1.27+; use the \"seccompProfile\" field instead"));
    }
    let containers = containers(spec, &at);
    for (container, at) in &containers {
        for side in ["limits", "requests"] {
            fractions(&container["resources"][side], &at.child("resources").child(side), &mut found);
        }
        environment(list(container, "env"), &at.child("env"), &mut found);
    }
    ports(&containers, &mut found);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        let at = at.child("terminationGracePeriodSeconds");
        found.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity(&spec["affinity"], &at.child("affinity"), &mut found);
    found
}

fn containers<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let fields = ["initContainers", "containers", "ephemeralContainers"].into_iter();
    let each = fields.flat_map(|field| {
        let at = path.child(field);
        list(spec, field).iter().enumerate().map(move |(index, container)| (container, at.index(index)))
    });
    each.collect()
}

fn old_label(key: &str) -> Option<&'static str> {
    OLD_LABELS.iter().find(|(label, _)| *label == key).map(|(_, why)| *why)
}

/// Where the pod goes.
fn placement(spec: &Value, path: &Path, found: &mut Vec<String>) {
    let at = path.child("nodeSelector");
    for key in spec["nodeSelector"].as_object().into_iter().flatten().map(|(key, _)| key) {
        found.extend(old_label(key).map(|why| format!("{}: {why}", at.key(key))));
    }
    let (nodes, at) = (&spec["affinity"]["nodeAffinity"], path.child("affinity").child("nodeAffinity"));
    let (required, preferred) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    let terms = list(&nodes[required], "nodeSelectorTerms").iter().enumerate();
    let mut all: Vec<(&Value, Path)> =
        terms.map(|(index, term)| (term, at.child(required).child("nodeSelectorTerms").index(index))).collect();
    let weighted = list(nodes, preferred).iter().enumerate();
    all.extend(weighted.map(|(i, term)| (&term["preference"], at.child(preferred).index(i).child("preference"))));
    for (term, at) in all {
        for (index, expression) in list(term, "matchExpressions").iter().enumerate() {
            let key = text(expression, "key");
            let place = at.child("matchExpressions").index(index).child("key");
            found.extend(old_label(key).map(|why| format!("{place}: {key} is {why}")));
        }
    }
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let at = path.child("topologySpreadConstraints").index(index);
        let key = text(constraint, "topologyKey");
        found.extend(old_label(key).map(|why| format!("{}: {key} is {why}", at.child("topologyKey"))));
        if constraint["labelSelector"].is_null() {
            found.push(format!("{}: {NO_SELECTOR}", at.child("labelSelector")));
        }
    }
}

fn affinity(affinity: &Value, path: &Path, found: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, at) = (&affinity[kind], path.child(kind));
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (index, term) in list(terms, required).iter().enumerate() {
            if term["labelSelector"].is_null() {
                found.push(format!("{}: {NO_SELECTOR}", at.child(required).index(index).child("labelSelector")));
            }
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (index, term) in list(terms, preferred).iter().enumerate() {
            if term["podAffinityTerm"]["labelSelector"].is_null() {
                let at = at.child(preferred).index(index).child("podAffinityTerm").child("labelSelector");
                found.push(format!("{at}: {NO_SELECTOR}"));
            }
        }
    }
}

fn volumes(volumes: &[Value], path: &Path, found: &mut Vec<String>) {
    for (index, volume) in volumes.iter().enumerate() {
        let at = path.index(index);
        let old = OLD_VOLUMES.iter().filter(|(field, ..)| !volume[*field].is_null());
        found.extend(old.map(|(_, name, why)| format!("{}: {why}", at.child(name))));
        let claim = &volume["ephemeral"]["volumeClaimTemplate"]["spec"];
        claim_of(claim, &at.child("ephemeral").child("volumeClaimTemplate").child("spec"), found);
    }
    for volume in volumes {
        path_warnings::of(volume, found);
    }
}

/// Warnings about the spec of a claim.
pub fn claim_of(claim: &Value, path: &Path, found: &mut Vec<String>) {
    for side in ["requests", "limits"] {
        fraction(&claim["resources"][side], "storage", &path.child("resources").child(side), found);
    }
}

fn repeated(entries: &[Value], field: &str, path: &Path, found: &mut Vec<String>) {
    for (index, entry) in entries.iter().enumerate() {
        let value = text(entry, field);
        if entries.iter().take(index).any(|other| text(other, field) == value) {
            found.push(format!("{}: duplicate {field} {value:?}", path.index(index).child(field)));
        }
    }
}

fn fractions(amounts: &Value, path: &Path, found: &mut Vec<String>) {
    for resource in ["memory", "ephemeral-storage"] {
        fraction(amounts, resource, path, found);
    }
}

fn fraction(amounts: &Value, resource: &str, path: &Path, found: &mut Vec<String>) {
    const MILLI: i64 = 1000;
    if let Some(amount) = quantity(&amounts[resource]).filter(|amount| amount.milli_value() % MILLI != 0) {
        let at = path.key(resource);
        found.push(format!("{at}: fractional byte value \"{amount}\" is invalid, must be an integer"));
    }
}

/// Variables that hide an earlier one without using it.
fn environment(variables: &[Value], path: &Path, found: &mut Vec<String>) {
    for (index, variable) in variables.iter().enumerate() {
        let (name, value) = (text(variable, "name"), text(variable, "value"));
        if !variables.iter().take(index).any(|other| text(other, "name") == name) {
            continue;
        }
        let reference = format!("$({name})");
        if !variable["valueFrom"].is_null() || value == reference || !value.contains(&reference) {
            let at = path.index(index);
            found.push(format!("{at}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
}

fn ports(containers: &[(&Value, Path)], found: &mut Vec<String>) {
    let all: Vec<(&Value, Path)> = containers
        .iter()
        .flat_map(|(container, at)| {
            let ports = list(container, "ports").iter().enumerate();
            ports.map(|(index, port)| (port, at.child("ports").index(index)))
        })
        .collect();
    for (index, (port, at)) in all.iter().enumerate() {
        let (ip, host) = (text(port, "hostIP"), number(port, "hostPort"));
        let (name, protocol, inner) = (text(port, "name"), text(port, "protocol"), number(port, "containerPort"));
        if !ip.is_empty() && host == 0 {
            found.push(format!(
                "{at}: hostIP set without hostPort: {{Name:{name} HostPort:{host} ContainerPort:{inner} Protocol:{protocol} HostIP:{ip}}}"
            ));
        }
        for (other, place) in all.iter().take(index) {
            if number(other, "containerPort") != inner || text(other, "protocol") != protocol {
                continue;
            }
            let (other_ip, other_host) = (text(other, "hostIP"), number(other, "hostPort"));
            let kind = if ip == other_ip && host == other_host {
                "duplicate"
            } else if host == 0 || other_host == 0 {
                "overlapping"
            } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            found.push(format!("{at}: {kind} port definition with {place}"));
        }
    }
    let mut names = BTreeMap::new();
    for (port, at) in all.iter().filter(|(port, _)| !text(port, "name").is_empty()) {
        let name = text(port, "name");
        match names.get(name) {
            Some(first) => found.push(format!(
                "{at}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use {first}"
            )),
            None => {
                names.insert(name, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_no_effect_is_named() {
        let port = json!({"containerPort": 80, "protocol": "TCP"});
        let pod = json!({"spec": {
            "terminationGracePeriodSeconds": -1,
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "topologySpreadConstraints": [{"topologyKey": "zone"}],
            "containers": [{"ports": [port, port], "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}],
        }});
        let template = Path::new("spec").child("template");
        assert_eq!(
            of(&pod, &template),
            [
                "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.template.spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
                "spec.template.spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                "spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]",
                "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ]
        );
        assert!(of(&json!({"spec": {"containers": [{}]}}), &Path::root()).is_empty());
    }
}
