//! Fields of pods whose features are off by default: what clients say of them is forgotten
//! (k8s.io/kubernetes `pkg/api/pod/util.go`, `dropDisabledFields`).

use crate::registry::kinds::fill::{items, object};
use serde_json::Value;

/// Forgets them in the spec of a pod or a template.
pub fn from_pod(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    for field in ["schedulingGroup", "evictionResponders"] {
        spec.remove(field);
    }
    for volume in items(spec, "volumes") {
        if let Some(directory) = object(volume, "emptyDir") {
            directory.remove("mode");
        }
    }
    for group in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, group) {
            for mount in items(container, "volumeMounts") {
                mount.remove("bindMountOptions");
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let Some(probe) = object(container, probe) else { continue };
                for (action, field) in [("httpGet", "protocol"), ("grpc", "mode")] {
                    if let Some(action) = object(probe, action) {
                        action.remove(field);
                    }
                }
            }
            let Some(lifecycle) = object(container, "lifecycle") else { continue };
            for hook in ["postStart", "preStop"] {
                if let Some(get) = object(lifecycle, hook).and_then(|hook| object(hook, "httpGet")) {
                    get.remove("protocol");
                }
            }
            if lifecycle.remove("stopSignal").is_some() && lifecycle.is_empty() {
                container.remove("lifecycle");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_yet_is_forgotten() {
        let mut spec = json!({"schedulingGroup": {}, "containers": [{"lifecycle": {"stopSignal": "SIGTERM"}}]});
        from_pod(&mut spec);
        assert_eq!(spec, json!({"containers": [{}]}));
    }
}
