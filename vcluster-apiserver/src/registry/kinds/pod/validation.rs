//! What the spec of a pod must be, in pods and in templates (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidatePodSpec`).

use super::container_rules::{self, Pod};
use super::{affinity_rules, annotations, env_rules, security_rules, tolerations, volume_rules, windows_rules};
use crate::registry::kinds::core::resource_rules;
use crate::registry::kinds::read::{list, needed_label, one_of, subdomain, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_config_map_key, is_dns1123_label, is_dns1123_subdomain, is_dns1123_subdomain_with_underscore, is_qualified_name,
    validate_annotations, validate_ip_legacy,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const RULES: &[Rule] = &[
    ("terminationGracePeriodSeconds", Check::Present("")),
    ("restartPolicy", Check::NeededOneOf(&["Always", "OnFailure", "Never"])),
    ("dnsPolicy", Check::NeededOneOf(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])),
    ("nodeSelector", Check::By(labels)),
    ("readinessGates[].conditionType", Check::By(qualified)),
    ("serviceAccountName", Check::Text(subdomain)),
    ("nodeName", Check::Text(subdomain)),
    ("activeDeadlineSeconds", Check::By(deadline)),
    ("hostname", Check::Text(is_dns1123_label)),
    ("subdomain", Check::Text(is_dns1123_label)),
    ("hostAliases[].ip", Check::By(address)),
    ("hostAliases[].hostnames[]", Check::By(host_name)),
    ("priorityClassName", Check::Text(subdomain)),
    ("runtimeClassName", Check::By(class)),
    ("preemptionPolicy", Check::By(preemption)),
];

fn labels(value: &Value, path: &Path, errors: &mut ErrorList) {
    rules::labels(value, path, errors);
}

fn qualified(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default();
    wrong(path, name, is_qualified_name(name), errors);
}

fn deadline(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(seconds) = value.as_i64().filter(|n| !(1..=i64::from(i32::MAX)).contains(n)) {
        errors.push(FieldError::invalid(path, seconds, "must be between 1 and 2147483647, inclusive"));
    }
}

fn address(value: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(validate_ip_legacy(path, value.as_str().unwrap_or_default(), true, &[]));
}

fn host_name(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default();
    wrong(path, name, is_dns1123_subdomain(name), errors);
}

fn class(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, subdomain(name), errors);
    }
}

fn preemption(value: &Value, path: &Path, errors: &mut ErrorList) {
    if value == "" {
        errors.push(FieldError::required(path, ""));
    } else {
        one_of(path, value, &["PreemptLowerPriority", "Never"], errors);
    }
}

/// The rules of pods and templates alike. `pod` is the name of a real pod.
pub fn spec(spec: &Value, pod: Option<&str>, path: &Path) -> ErrorList {
    let mut errors = rules::check(spec, path, RULES);
    volume_rules::check(list(spec, "volumes"), pod, &path.child("volumes"), &mut errors);
    claims(list(spec, "resourceClaims"), &path.child("resourceClaims"), &mut errors);
    Pod::new(spec, pod).check(path, &mut errors);
    resources(spec, &path.child("resources"), &mut errors);
    host_network(spec, pod.is_some(), path, &mut errors);
    security_rules::of_pod(spec, path, &mut errors);
    affinity_rules::check(&spec["affinity"], &path.child("affinity"), &mut errors);
    dns(spec, &path.child("dnsConfig"), &mut errors);
    gates(list(spec, "schedulingGates"), &path.child("schedulingGates"), &mut errors);
    let at = path.child("topologySpreadConstraints");
    affinity_rules::spread(list(spec, "topologySpreadConstraints"), &at, &mut errors);
    windows_rules::host_process(spec, path, &mut errors);
    host_name_override(spec, &path.child("hostnameOverride"), &mut errors);
    tolerations::check(list(spec, "tolerations"), &path.child("tolerations"), &mut errors);
    let at = path.child("overhead").child("limits");
    resource_rules::amounts(&spec["overhead"], resource_rules::container_name, &at, &mut errors);
    windows_rules::system(spec, path, &mut errors);
    env_rules::file_volumes(spec, path, &mut errors);
    errors
}

/// A template with its metadata.
pub fn template(template: &Value, path: &Path) -> ErrorList {
    let (metadata, at) = (&template["metadata"], path.child("spec"));
    let mut errors = ErrorList::new();
    rules::labels(&metadata["labels"], &path.child("labels"), &mut errors);
    if let Some(metadata) = metadata.as_object() {
        errors.extend(validate_annotations(metadata, path));
    }
    annotations::check(metadata, &template["spec"], &path.child("annotations"), &at, &mut errors);
    errors.extend(spec(&template["spec"], None, &at));
    if !list(&template["spec"], "ephemeralContainers").is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&at.child("ephemeralContainers"), why));
    }
    errors
}

/// What only real pods are asked for.
pub fn real(pod: &Map<String, Value>) -> ErrorList {
    let (path, found) = (Path::new("spec"), crate::registry::kinds::read::part(pod, "spec"));
    let metadata = crate::registry::kinds::read::part(pod, "metadata");
    let mut errors = ErrorList::new();
    let at = Path::new("metadata").child("annotations");
    annotations::check(metadata, found, &at, &path, &mut errors);
    errors.extend(spec(found, Some(text(metadata, "name")), &path));
    if text(found, "serviceAccountName").is_empty() {
        for (index, volume) in list(found, "volumes").iter().enumerate() {
            for (number, source) in list(&volume["projected"], "sources").iter().enumerate() {
                if source["serviceAccountToken"].is_object() {
                    let at = path.child("volumes").index(index).child("projected").child("sources").index(number);
                    let why = "must not be specified when serviceAccountName is not set";
                    errors.push(FieldError::forbidden(&at.child("serviceAccountToken"), why));
                }
            }
        }
    }
    errors.extend(rules::check(found, &path, &[("terminationGracePeriodSeconds", Check::NotNegative)]));
    for field in ["containers", "initContainers"] {
        for (index, container) in list(found, field).iter().enumerate() {
            container_rules::trimmed(container, &path.child(field).index(index), &mut errors);
        }
    }
    errors
}

/// Names that the pod gives to claims of devices.
fn claims(claims: &[Value], path: &Path, errors: &mut ErrorList) {
    let mut names = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let (at, name) = (path.index(index), text(claim, "name"));
        if name.is_empty() || !names.contains(name) {
            needed_label(&at.child("name"), name, errors);
        } else {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        names.insert(name);
        let shown = || crate::registry::kinds::internal::text("core.v1.PodResourceClaim", claim);
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let why = match sources.iter().filter(|source| claim[**source].is_string()).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            1 => "",
            _ => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        };
        if !why.is_empty() {
            errors.push(FieldError::invalid(&at, "", why).showing(shown()));
        }
        for source in sources {
            class(&claim[source], &at.child(source), errors);
        }
    }
}

/// What the pod asks for as a whole.
fn resources(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let resources = &spec["resources"];
    if !resources.is_object() {
        return;
    }
    if spec["os"]["name"] == "windows" {
        return errors.push(FieldError::forbidden(path, "may not be set for a windows pod"));
    }
    if resources["claims"].is_array() {
        let why = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&path.child("claims"), why));
    }
    let claims = container_rules::claim_names(spec);
    resource_rules::requirements(resources, resource_rules::pod_name, &claims, path, errors);
    super::level_rules::check(spec, path, errors);
}

/// In the host's network a port of the host is that of the container.
fn host_network(spec: &Value, is_pod: bool, path: &Path, errors: &mut ErrorList) {
    if spec["hostNetwork"] != true {
        return;
    }
    for (index, container) in list(spec, "containers").iter().enumerate() {
        for (number, port) in list(container, "ports").iter().enumerate() {
            let host = crate::registry::kinds::read::number(port, "hostPort");
            if (is_pod || host != 0) && host != crate::registry::kinds::read::number(port, "containerPort") {
                let at = path.child("containers").index(index).child("ports").index(number).child("hostPort");
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&at, host, why));
            }
        }
    }
}

fn dns(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST_SERVERS: usize = 3;
    const MOST_SEARCHES: usize = 32;
    const LONGEST_SEARCHES: usize = 2048;
    let config = &spec["dnsConfig"];
    let (servers, searches) = (list(config, "nameservers"), list(config, "searches"));
    let (servers_at, searches_at) = (path.child("nameservers"), path.child("searches"));
    if spec["dnsPolicy"] == "None" {
        if !config.is_object() {
            return errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.push(FieldError::required(&servers_at, why));
        }
    }
    if servers.len() > MOST_SERVERS {
        let why = format!("must not have more than {MOST_SERVERS} nameservers");
        errors.push(FieldError::invalid(&servers_at, servers.to_vec(), why));
    }
    for (index, server) in servers.iter().enumerate() {
        address(server, &servers_at.index(index), errors);
    }
    if searches.len() > MOST_SEARCHES {
        let why = format!("must not have more than {MOST_SEARCHES} search paths");
        errors.push(FieldError::invalid(&searches_at, searches.to_vec(), why));
    }
    let length = searches.iter().filter_map(Value::as_str).map(|search| search.len() + 1).sum::<usize>();
    if length > LONGEST_SEARCHES + 1 {
        let why =
            format!("must not have more than {LONGEST_SEARCHES} characters (including spaces) in the search list");
        errors.push(FieldError::invalid(&searches_at, searches.to_vec(), why));
    }
    for (index, search) in searches.iter().filter_map(Value::as_str).enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        wrong(&searches_at.index(index), search, is_dns1123_subdomain_with_underscore(search), errors);
    }
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(&path.child("options").index(index), "must not be empty"));
        }
    }
}

fn gates(gates: &[Value], path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, gate) in gates.iter().enumerate() {
        let (name, at) = (text(gate, "name"), path.index(index));
        wrong(&at, name, is_qualified_name(name), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
}

fn host_name_override(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 64;
    let Some(name) = spec["hostnameOverride"].as_str() else { return };
    for (field, why) in [
        ("setHostnameAsFQDN", "may not be specified when setHostnameAsFQDN is true"),
        ("hostNetwork", "may not be specified when hostNetwork is true"),
    ] {
        if spec[field] == true {
            errors.push(FieldError::forbidden(path, why));
        }
    }
    if name.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
    wrong(path, name, is_dns1123_subdomain(name), errors);
}

/// Data keys of ConfigMaps and Secrets.
pub fn data_keys(object: &apimachinery::Object, fields: &[&str]) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in fields {
        for key in object.as_map().get(*field).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let at = Path::new(field).key(key);
            errors.extend(is_config_map_key(key).into_iter().map(|why| FieldError::invalid(&at, key.as_str(), why)));
        }
    }
    errors
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A spec that nothing is wrong with, changed.
    pub fn whole(change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({"containers": [{"name": "a", "image": "i:1", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}], "restartPolicy": "Always", "dnsPolicy": "Default", "terminationGracePeriodSeconds": 30});
        change(&mut spec);
        spec
    }

    #[test]
    fn mistakes_and_their_paths() {
        type Case = (fn(&mut Value), &'static str);
        let cases: [Case; 11] = [
            (|s| s["containers"] = json!([]), "spec.containers: Required value"),
            (|s| s["containers"][0]["name"] = json!(""), "spec.containers[0].name: Required value"),
            (
                |s| s["containers"][0]["volumeMounts"] = json!([{"name": "x", "mountPath": "/x"}]),
                "spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
            ),
            (
                |s| s["restartPolicy"] = json!("Maybe"),
                "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            (
                |s| s["volumes"] = json!([{"name": "a", "emptyDir": {}, "secret": {}}]),
                "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
            ),
            (
                |s| s["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ),
            (
                |s| s["dnsPolicy"] = json!("None"),
                "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            ),
            (
                |s| s["dnsConfig"] = json!({"options": [{}]}),
                "spec.dnsConfig.options[0]: Required value: must not be empty",
            ),
            (
                |s| s["resourceClaims"] = json!([{"name": "c"}]),
                "spec.resourceClaims[0]: Invalid value: {\"Name\":\"c\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ),
            (
                |s| s["overhead"] = json!({"pods": "1"}),
                "spec.overhead.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers",
            ),
            (
                |s| s["hostnameOverride"] = json!("A"),
                "spec.hostnameOverride: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
        ];
        for (change, expected) in cases {
            let errors = spec(&whole(change), None, &Path::new("spec"));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
        assert!(spec(&whole(|_| {}), None, &Path::new("spec")).is_empty());
    }
}
