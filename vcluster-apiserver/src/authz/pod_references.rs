//! What a pod's specification refers to by name in its namespace: what its kubelet may read, and what mirror pods may
//! not name (k8s.io/kubernetes `pkg/api/pod`, `plugin/pkg/auth/authorizer/node/graph.go`).

use apimachinery::Object;
use serde_json::Value;

fn items<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Names of the `secrets`, `configmaps`, `serviceaccounts`, `persistentvolumeclaims` or `resourceclaims` that a pod
/// refers to; a name may come more than once.
pub fn references(pod: &Object, resource: &str) -> Vec<String> {
    let Some(spec) = pod.at(&["spec"]) else { return Vec::new() };
    let mut names: Vec<Option<&Value>> = Vec::new();
    let mut made: Vec<String> = Vec::new();
    match resource {
        "serviceaccounts" => names.push(spec.get("serviceAccountName")),
        "resourceclaims" => {
            names.extend(items(spec, "/resourceClaims").iter().map(|c| c.get("resourceClaimName")));
            let statuses = pod.at(&["status"]).map(|s| items(s, "/resourceClaimStatuses")).unwrap_or_default();
            names.extend(statuses.iter().map(|c| c.get("resourceClaimName")));
        }
        "persistentvolumeclaims" => {
            for volume in items(spec, "/volumes") {
                names.push(volume.pointer("/persistentVolumeClaim/claimName"));
                if volume.get("ephemeral").is_some_and(|e| !e.is_null()) {
                    let own = volume.get("name").and_then(Value::as_str).unwrap_or_default();
                    made.push(format!("{}-{own}", pod.name()));
                }
            }
        }
        "secrets" => {
            names.extend(items(spec, "/imagePullSecrets").iter().map(|s| s.get("name")));
            names.extend(in_volumes(spec, "/secret/secretName", "/secret/name"));
            names.extend(in_environment(spec, "secretRef", "secretKeyRef"));
            for volume in items(spec, "/volumes") {
                driver_secrets(volume, &mut names);
            }
        }
        "configmaps" => {
            names.extend(in_volumes(spec, "/configMap/name", "/configMap/name"));
            names.extend(in_environment(spec, "configMapRef", "configMapKeyRef"));
        }
        _ => {}
    }
    let names = names.into_iter().flatten().filter_map(Value::as_str).filter(|n| !n.is_empty());
    names.map(str::to_owned).chain(made).collect()
}

fn in_volumes<'a>(spec: &'a Value, direct: &'a str, projected: &'a str) -> impl Iterator<Item = Option<&'a Value>> {
    items(spec, "/volumes").iter().flat_map(move |volume| {
        let sources = items(volume, "/projected/sources").iter().map(move |s| s.pointer(projected));
        std::iter::once(volume.pointer(direct)).chain(sources)
    })
}

fn in_environment<'a>(spec: &'a Value, all: &str, one: &str) -> Vec<Option<&'a Value>> {
    let (all, one) = (format!("/{all}/name"), format!("/valueFrom/{one}/name"));
    let containers = ["/containers", "/initContainers", "/ephemeralContainers"];
    let mut names = Vec::new();
    for container in containers.iter().flat_map(|c| items(spec, c)) {
        names.extend(items(container, "/envFrom").iter().map(|e| e.pointer(&all)));
        names.extend(items(container, "/env").iter().map(|e| e.pointer(&one)));
    }
    names
}

/// Volume drivers name secrets of the pod's namespace in `secretRef`, `nodePublishSecretRef` and their like.
fn driver_secrets<'a>(volume: &'a Value, names: &mut Vec<Option<&'a Value>>) {
    let Value::Object(map) = volume else { return };
    for (key, inner) in map {
        if key.to_ascii_lowercase().ends_with("secretref") {
            names.push(inner.get("name"));
        } else if key == "azureFile" {
            names.push(inner.get("secretName"));
        }
        driver_secrets(inner, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_is_found() {
        let pod = json!({
            "metadata": { "name": "p" },
            "spec": {
                "serviceAccountName": "sa",
                "imagePullSecrets": [{ "name": "pull" }],
                "resourceClaims": [{ "name": "r", "resourceClaimName": "claim" }],
                "volumes": [
                    { "name": "a", "secret": { "secretName": "vol" } },
                    { "name": "b", "projected": { "sources": [
                        { "secret": { "name": "proj" } }, { "configMap": { "name": "map" } },
                    ] } },
                    { "name": "c", "csi": { "nodePublishSecretRef": { "name": "csi" } } },
                    { "name": "d", "ephemeral": {} },
                    { "name": "e", "persistentVolumeClaim": { "claimName": "pvc" } },
                ],
                "initContainers": [{ "envFrom": [{ "secretRef": { "name": "env-from" } }] }],
                "containers": [{ "env": [{ "valueFrom": { "secretKeyRef": { "name": "env" } } }] }],
            },
        });
        let pod = Object::from_value(pod).unwrap();
        assert_eq!(references(&pod, "secrets"), ["pull", "vol", "proj", "env", "env-from", "csi"]);
        assert_eq!(references(&pod, "configmaps"), ["map"]);
        assert_eq!(references(&pod, "persistentvolumeclaims"), ["pvc", "p-d"]);
        assert_eq!(references(&pod, "serviceaccounts"), ["sa"]);
        assert_eq!(references(&pod, "resourceclaims"), ["claim"]);
    }
}
