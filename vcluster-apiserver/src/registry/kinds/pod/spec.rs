//! Defaults of a pod's spec, in pods and in every template
//! (k8s.io/kubernetes `pkg/apis/core/v1/{defaults,zz_generated.defaults}.go`).

use crate::registry::kinds::fill::{absent, empty, items, made, object, text, zero};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Defaults of templates and pods alike.
pub fn default(spec: &mut Fields) {
    absent(spec, "dnsPolicy", "ClusterFirst");
    empty(spec, "restartPolicy", "Always");
    absent(spec, "terminationGracePeriodSeconds", 30);
    empty(spec, "schedulerName", "default-scheduler");
    made(spec, "securityContext");
    // The deprecated name is a mirror of the current one.
    if text(spec, "serviceAccountName").is_empty() && !text(spec, "serviceAccount").is_empty() {
        let account = text(spec, "serviceAccount").to_owned();
        spec.insert("serviceAccountName".into(), account.into());
    }
    let account = text(spec, "serviceAccountName").to_owned();
    if account.is_empty() {
        spec.remove("serviceAccount");
    } else {
        spec.insert("serviceAccount".into(), account.into());
    }
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, field) {
            default_container(container, host_network && field != "ephemeralContainers");
        }
    }
    for volume in items(spec, "volumes") {
        default_volume(volume);
    }
}

/// What only real pods get (`SetDefaults_Pod`): requests from limits, service links, host ports of the host network.
pub fn default_pod(spec: &mut Fields) {
    absent(spec, "enableServiceLinks", true);
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".into(), 1.into());
    }
    for field in ["initContainers", "containers"] {
        for container in items(spec, field) {
            if let Some(resources) = object(container, "resources") {
                requests_from_limits(resources);
            }
        }
    }
}

fn requests_from_limits(resources: &mut Fields) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    if let Some(requests) = made(resources, "requests") {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn default_container(container: &mut Fields, host_network: bool) {
    empty(container, "imagePullPolicy", pull_policy(text(container, "image")));
    empty(container, "terminationMessagePath", "/dev/termination-log");
    empty(container, "terminationMessagePolicy", "File");
    made(container, "resources");
    for port in items(container, "ports") {
        empty(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            zero(port, "hostPort", number.as_i64().unwrap_or_default());
        }
    }
    for variable in items(container, "env") {
        if let Some(field) = object(variable, "valueFrom").and_then(|from| object(from, "fieldRef")) {
            empty(field, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = object(container, probe) {
            default_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        let handler = object(container, "lifecycle").and_then(|lifecycle| object(lifecycle, hook));
        if let Some(handler) = handler {
            default_handler(handler);
        }
    }
}

/// `Always` for the tag `latest` or none, else `IfNotPresent`. A digest pins the image whatever its tag.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn default_probe(probe: &mut Fields) {
    zero(probe, "timeoutSeconds", 1);
    zero(probe, "periodSeconds", 10);
    zero(probe, "successThreshold", 1);
    zero(probe, "failureThreshold", 3);
    default_handler(probe);
}

fn default_handler(handler: &mut Fields) {
    if let Some(get) = object(handler, "httpGet") {
        empty(get, "path", "/");
        empty(get, "scheme", "HTTP");
    }
    if let Some(grpc) = object(handler, "grpc") {
        absent(grpc, "service", "");
    }
}

/// Sources of volumes that are not one of these have no defaults that matter to a running cluster.
const SOURCES_WITH_MODE: [&str; 4] = ["secret", "configMap", "downwardAPI", "projected"];

fn default_volume(volume: &mut Fields) {
    let has_source = volume.iter().any(|(name, value)| name != "name" && !value.is_null());
    if !has_source {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in SOURCES_WITH_MODE {
        if let Some(source) = object(volume, source) {
            absent(source, "defaultMode", 0o644);
        }
    }
    if let Some(source) = object(volume, "downwardAPI") {
        default_downward(source);
    }
    if let Some(projected) = object(volume, "projected") {
        for source in items(projected, "sources") {
            if let Some(downward) = object(source, "downwardAPI") {
                default_downward(downward);
            }
            if let Some(token) = object(source, "serviceAccountToken") {
                absent(token, "expirationSeconds", 3600);
            }
        }
    }
    if let Some(path) = object(volume, "hostPath") {
        absent(path, "type", "");
    }
    if let Some(image) = object(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        empty(image, "pullPolicy", policy);
    }
    if let Some(iscsi) = object(volume, "iscsi") {
        empty(iscsi, "iscsiInterface", "default");
    }
    let template = object(volume, "ephemeral").and_then(|e| object(e, "volumeClaimTemplate"));
    if let Some(spec) = template.and_then(|t| object(t, "spec")) {
        absent(spec, "volumeMode", "Filesystem");
    }
}

fn default_downward(source: &mut Fields) {
    for item in items(source, "items") {
        if let Some(field) = object(item, "fieldRef") {
            empty(field, "apiVersion", "v1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies_follow_the_tag() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("host:5000/nginx", "Always"),
            ("host:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:ab", "IfNotPresent"),
        ];
        for (image, expected) in cases {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }

    #[test]
    fn a_bare_pod_is_completed() {
        let mut spec = json!({"containers": [{"name": "a", "image": "b:1", "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1"}}}], "volumes": [{"name": "v"}]});
        let fields = spec.as_object_mut().unwrap();
        default(fields);
        default_pod(fields);
        assert_eq!(spec["containers"][0]["ports"][0]["protocol"], "TCP");
        assert_eq!(spec["containers"][0]["resources"]["requests"]["cpu"], "1");
        assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
        assert_eq!(spec["terminationGracePeriodSeconds"], 30);
        assert_eq!(spec["enableServiceLinks"], true);
    }
}
