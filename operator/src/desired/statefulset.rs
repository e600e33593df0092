//! The control plane pod.

use super::secrets::pki_name;
use super::service::{API_PORT, DNS_PORT};
use super::{CONTROL_PLANE_LABEL, Desired, Settings, build, control_plane_selector, labels};
use crate::api::PersistenceType;
use crate::observed::Observed;
use serde_json::{Value, json};

/// Where the store's volume is mounted; nothing else in the container can be written.
const DATA: &str = "/var/lib/coracle";
const PKI: &str = "/etc/coracle/pki";
/// The user of the image; the numbers that distroless images use for `nonroot`.
const USER: i64 = 65532;

pub fn object(observed: &Observed, settings: &Settings) -> Desired {
    let name = observed.name();
    let spec = &observed.tenant.spec;
    let mut pod_labels = labels(name);
    pod_labels["app.kubernetes.io/component"] = "control-plane".into();
    pod_labels[CONTROL_PLANE_LABEL] = name.into();
    let mut stateful = json!({
        "replicas": 1,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": control_plane_selector(name)},
        "template": {"metadata": {"labels": pod_labels}, "spec": pod(observed, settings)},
    });
    let persistence = &spec.store.persistence;
    match persistence.type_ {
        PersistenceType::PersistentVolumeClaim => {
            let mut claim = json!({
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": persistence.size}},
            });
            if let Some(class) = &persistence.storage_class_name {
                claim["storageClassName"] = class.as_str().into();
            }
            let metadata = json!({"name": "data", "labels": labels(name)});
            stateful["volumeClaimTemplates"] = json!([{"metadata": metadata, "spec": claim}]);
            // Without a retention policy: the host would write an owner into the claim while its scheduler binds it, and
            // the scheduler that lost the race tries again a second later. The finalizer takes the claim away.
        }
        PersistenceType::Ephemeral => {
            if let Some(volumes) = stateful["template"]["spec"]["volumes"].as_array_mut() {
                volumes.push(json!({"name": "data", "emptyDir": {}}));
            }
        }
    }
    build(observed, "apps/v1", "StatefulSet", "statefulsets", name, json!({"spec": stateful}))
}

fn pod(observed: &Observed, settings: &Settings) -> Value {
    let name = observed.name();
    let placement = &observed.tenant.spec.placement;
    let mut pod = json!({
        "serviceAccountName": name,
        "enableServiceLinks": false,
        // The name servers above the cluster: the tenant's own DNS answers for the cluster domain.
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(observed, settings)],
        "volumes": [{"name": "pki", "secret": {"secretName": pki_name(name), "defaultMode": 0o440}}],
    });
    if !placement.node_selector.is_empty() {
        pod["nodeSelector"] = json!(placement.node_selector);
    }
    if !placement.tolerations.is_empty() {
        pod["tolerations"] = json!(placement.tolerations);
    }
    if let Some(affinity) = &placement.affinity {
        pod["affinity"] = json!(affinity);
    }
    if let Some(class) = &placement.priority_class_name {
        pod["priorityClassName"] = class.as_str().into();
    }
    pod
}

fn container(observed: &Observed, settings: &Settings) -> Value {
    let spec = &observed.tenant.spec;
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let probe = |path: &str| json!({"path": path, "port": "https", "scheme": "HTTPS"});
    let resources = match &spec.resources {
        Some(resources) => json!(resources),
        None => json!({"requests": {"cpu": "10m", "memory": "32Mi"}}),
    };
    let mut container = json!({
        "name": "coracle",
        "image": image(observed, settings),
        "args": arguments(observed),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_UID", "metadata.uid"),
            field("POD_IP", "status.podIP"),
            field("NODE_NAME", "spec.nodeName"),
            // Each arena of the C library keeps what its threads freed.
            {"name": "MALLOC_ARENA_MAX", "value": "1"},
        ],
        "ports": [
            {"name": "https", "containerPort": API_PORT, "protocol": "TCP"},
            {"name": "dns", "containerPort": DNS_PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": DNS_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": probe("/readyz"), "periodSeconds": 2, "failureThreshold": 3, "timeoutSeconds": 2},
        "livenessProbe": {
            "httpGet": probe("/livez"), "initialDelaySeconds": 15, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5,
        },
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": DATA}, {"name": "pki", "mountPath": PKI, "readOnly": true}],
    });
    if let Some(policy) = &settings.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
    container
}

/// What the tenant process is told. Everything that may change while it runs (addresses of its Service, nodes) it
/// reads from the host itself.
fn arguments(observed: &Observed) -> Vec<String> {
    let spec = &observed.tenant.spec;
    let mut arguments = vec![
        "tenant".to_owned(),
        format!("--name={}", observed.name()),
        format!("--namespace={}", observed.namespace()),
        format!("--data-dir={DATA}"),
        format!("--pki-dir={PKI}"),
        format!("--cluster-domain={}", spec.networking.cluster_domain),
    ];
    arguments.extend(spec.expose.extra_names.iter().map(|name| format!("--extra-name={name}")));
    arguments.extend(spec.nodes.selector.iter().map(|(key, value)| format!("--node-selector={key}={value}")));
    arguments
}

/// A running tenant keeps its image: an upgrade of the operator restarts nothing.
fn image(observed: &Observed, settings: &Settings) -> String {
    let running = || {
        let template = &observed.statefulset.as_ref()?.data["spec"]["template"];
        template["spec"]["containers"][0]["image"].as_str().map(str::to_owned)
    };
    observed.tenant.spec.image.clone().or_else(running).unwrap_or_else(|| settings.image.clone())
}
