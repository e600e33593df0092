//! Pods: golden translation, and every move of the plan. Expectations are upstream's kubelet's.

use super::plan::{Observed, plan};
use super::{Inputs, projection, status, to_host, update};
use crate::step::Step;
use crate::{Config, Decision, marks, names, service_env};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde_json::{Value, json};
use std::sync::Arc;

fn config() -> Config {
    Config {
        tenant: "t".into(),
        host_namespace: "hosted".into(),
        dns_addresses: vec!["10.0.0.10".into()],
        cluster_domain: "cluster.local".into(),
        ..Config::default()
    }
}

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

/// A bound pod, with fields of its spec replaced.
fn virt(spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "generation": 3, "resourceVersion": "9"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    });
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn translated(pod_json: Value) -> Value {
    match to_host(&config(), &pod(pod_json), &Inputs::default()) {
        Decision::Sync(host) => json!(host),
        other => panic!("{other:?}"),
    }
}

/// The host copy as the host would show it after some life.
fn host_of(virt: &Value, status: Value) -> Value {
    let mut host = translated(virt.clone());
    host["metadata"]["uid"] = "host-uid".into();
    host["metadata"]["generation"] = 1.into();
    host["spec"]["nodeName"] = "n1".into();
    host["status"] = status;
    host
}

#[test]
fn a_pod_becomes_what_the_tenants_kubelet_would_have_run() {
    let virt = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "ns", "uid": "u", "generation": 3, "labels": {"app": "web"},
            "annotations": {"note": "x"}, "finalizers": ["f"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r"}],
        },
        "spec": {
            "nodeName": "n1", "schedulerName": "default-scheduler", "serviceAccountName": "robot", "serviceAccount": "robot",
            "priority": 5, "priorityClassName": "high", "preemptionPolicy": "Never", "nodeSelector": {"mine": "1"},
            "affinity": {"podAntiAffinity": {}}, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "overhead": {"cpu": "1"}, "runtimeClassName": "sandbox", "enableServiceLinks": true,
            "terminationGracePeriodSeconds": 7, "restartPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
            "readinessGates": [{"conditionType": "gate"}], "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["h"]}],
            "securityContext": {"runAsUser": 7},
            "initContainers": [{"name": "side", "image": "s", "restartPolicy": "Always"}],
            "containers": [{
                "name": "c", "image": "i", "command": ["sh", "-c", "echo $(NAME)"],
                "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "livenessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "1", "fake.io/x": "1"}},
            }],
            "ephemeralContainers": [{"name": "debug", "image": "d"}],
        },
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
    });
    let services = json!({"configMapRef": {"name": service_env::host_name(&config(), "ns")}});
    let mut host = translated(virt);
    for key in [marks::APPLIED, marks::RESOURCES] {
        assert!(host["metadata"]["annotations"].as_object_mut().unwrap().remove(key).is_some());
    }
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-x-ns-x-t", "namespace": "hosted",
            "labels": {"app": "web", "coracle.dev/tenant": "t", "coracle.dev/namespace": "ns"},
            "annotations": {
                "note": "x", "coracle.dev/name": "web", "coracle.dev/namespace": "ns", "coracle.dev/uid": "u",
                "coracle.dev/tenant": "t", "coracle.dev/service-account": "robot", "coracle.dev/generation": "3",
            },
        },
        "spec": {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
            ]}}},
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "enableServiceLinks": false, "automountServiceAccountToken": false, "hostname": "web", "dnsPolicy": "None",
            "dnsConfig": {
                "nameservers": ["10.0.0.10"], "searches": ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local"],
                "options": [{"name": "ndots", "value": "5"}],
            },
            "terminationGracePeriodSeconds": 7, "restartPolicy": "Always", "imagePullSecrets": [{"name": "pull-x-ns-x-t"}],
            "readinessGates": [{"conditionType": "gate"}], "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["h"]}],
            "securityContext": {"runAsUser": 7},
            "initContainers": [{"name": "side", "image": "s", "restartPolicy": "Always", "envFrom": [services]}],
            "containers": [{
                "name": "c", "image": "i", "command": ["sh", "-c", "echo $(NAME)"], "envFrom": [services],
                "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['coracle.dev/name']"}}}],
                "livenessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "1"}},
            }],
        },
    });
    assert_eq!(host, expected);
}

#[test]
fn a_pod_that_no_scheduler_bound_goes_straight_to_its_kubelet() {
    let mut virt = virt(json!({"affinity": {"podAntiAffinity": {}}}));
    assert!(translated(virt.clone())["spec"]["nodeName"].is_null());
    virt["status"] = json!({});
    let spec = &translated(virt)["spec"];
    assert_eq!((&spec["nodeName"], &spec["affinity"]), (&json!("n1"), &Value::Null));
}

#[test]
fn a_runtime_class_of_the_host_stays() {
    let virt = pod(virt(json!({"runtimeClassName": "sandbox"})));
    let Decision::Sync(host) = to_host(&config(), &virt, &Inputs { runtime_class: true, ..Inputs::default() }) else {
        panic!("not synced")
    };
    assert_eq!(host.spec.unwrap().runtime_class_name.as_deref(), Some("sandbox"));
}

#[test]
fn what_needs_objects_that_are_not_synced_is_refused() {
    let projected = |source: Value| json!({"volumes": [{"name": "v", "projected": {"sources": [source]}}]});
    for spec in [
        json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}]}),
        projected(json!({"podCertificate": {"signerName": "s", "keyType": "ED25519"}})),
    ] {
        let decision = to_host(&config(), &pod(virt(spec)), &Inputs::default());
        assert!(matches!(decision, Decision::Skip(_)), "{decision:?}");
    }
}

#[test]
fn what_a_pod_reads_is_remembered() {
    let spec = json!({
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "a", "configMap": {"name": "cm"}},
            {"name": "b", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "kube-root-ca.crt"}}]}},
        ],
        "ephemeralContainers": [{"name": "debug", "envFrom": [{"secretRef": {"name": "late"}}]}],
    });
    let uses = super::uses(&config(), &pod(virt(spec)));
    let uses: Vec<String> = uses.iter().map(|(kind, name)| format!("{kind:?}/{name}")).collect();
    let expected = [
        "ConfigMap/cm",
        "ConfigMap/kube-root-ca.crt",
        "Secret/late",
        "Secret/pull",
        "Secret/s",
        "PersistentVolumeClaim/data",
    ];
    assert_eq!(uses, expected);
}

/// A plan in short: what is written where.
fn moves(virt: Option<Value>, host: Option<Value>) -> String {
    moves_of(Observed {
        virt: virt.map(pod).map(Arc::new),
        host: host.map(pod).map(Arc::new),
        on_host_node: true,
        ..Observed::default()
    })
}

fn moves_of(observed: Observed) -> String {
    let plan = plan(&config(), &observed, Timestamp::UNIX_EPOCH);
    let shown: Vec<String> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::HostApply { kind, .. } => format!("apply {kind:?}"),
            Step::HostApplyStatus { .. } => "apply conditions".into(),
            Step::HostPatch { subresource, .. } => format!("patch host {subresource}"),
            Step::HostDelete { kind, grace, .. } => format!("delete host {kind:?} {grace:?}"),
            Step::VirtCreate { .. } => "create".into(),
            Step::VirtPatch { subresource, .. } => format!("patch {subresource}"),
            Step::VirtDelete { grace, .. } => format!("delete {grace:?}"),
            Step::Mint { tokens, .. } => format!("mint {}", tokens.len()),
        })
        .chain(plan.warning.iter().map(|_| "warn".to_owned()))
        .collect();
    shown.join(", ")
}

fn terminating(mut pod: Value, grace: i64) -> Value {
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    pod
}

#[test]
fn a_pod_lives_and_dies_on_both_sides() {
    let plain = virt(json!({}));
    let running = |mut pod: Value| {
        pod["status"] = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "hostIP": "1.2.3.4"});
        pod
    };
    let status = running(json!({}))["status"].clone();
    let host = host_of(&plain, status.clone());
    let virt_running = running(plain.clone());
    let mut other = host.clone();
    other["metadata"]["annotations"]["coracle.dev/uid"] = "earlier".into();

    // Creation, and a copy that is up to date.
    assert_eq!(moves(Some(plain.clone()), None), "apply Pod");
    assert_eq!(moves(Some(plain.clone()), Some(host.clone())), "patch status");
    assert_eq!(moves(Some(virt_running.clone()), Some(host.clone())), "");
    // Deletion by the tenant: the host with the tenant's grace, then the tenant without.
    assert_eq!(moves(Some(terminating(virt_running.clone(), 7)), Some(host.clone())), "delete host Pod Some(7)");
    assert_eq!(moves(Some(terminating(virt_running.clone(), 7)), Some(terminating(host.clone(), 7))), "");
    let shorter = moves(Some(terminating(virt_running.clone(), 1)), Some(terminating(host.clone(), 7)));
    assert_eq!(shorter, "delete host Pod Some(1)");
    assert_eq!(moves(Some(terminating(virt_running.clone(), 7)), None), "delete Some(0)");
    assert_eq!(moves(Some(terminating(virt_running.clone(), 0)), None), "", "finalizers are waited for");
    // Deletion on the host, seen or not.
    assert_eq!(moves(Some(virt_running.clone()), Some(terminating(host.clone(), 30))), "delete Some(30)");
    assert_eq!(moves(Some(virt_running.clone()), None), "delete Some(0)");
    // Force-deleted in the tenant, and the successor waits for its end.
    assert_eq!(moves(None, Some(host.clone())), "delete host Pod None");
    assert_eq!(moves(None, Some(terminating(host, 30))), "");
    assert_eq!(moves(Some(plain.clone()), Some(other.clone())), "delete host Pod None");
    assert_eq!(moves(Some(plain), Some(terminating(other, 1))), "");
}

#[test]
fn the_last_status_of_a_host_pod_still_comes_up() {
    let virt = virt(json!({}));
    let last = host_of(&virt, json!({"phase": "Succeeded", "startTime": "2026-01-01T00:00:00Z"}));
    let observed = Observed {
        virt: Some(Arc::new(pod(terminating(virt, 30)))),
        last: Some(Arc::new(pod(last))),
        on_host_node: true,
        ..Observed::default()
    };
    assert_eq!(moves_of(observed), "patch status, delete Some(0)");
}

#[test]
fn pods_that_are_not_on_the_host_are_left_alone() {
    let observed = Observed { virt: Some(Arc::new(pod(virt(json!({}))))), ..Observed::default() };
    assert_eq!(moves_of(observed), "");
}

#[test]
fn tokens_are_minted_before_the_pod_and_renewed_when_due() {
    let spec = json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]});
    let virt = virt(spec);
    assert_eq!(moves(Some(virt.clone()), None), "mint 1, apply Pod");
    let secret = |due: i64| {
        let mut secret = projection::secret(&config(), &pod(virt.clone()));
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(marks::REFRESH.into(), format!("{{\"v.0\":{due}}}"));
        secret.data = serde_json::from_value(json!({"v.0": "eA=="})).unwrap();
        secret
    };
    let host = host_of(&virt, json!({}));
    let with = |due| {
        let observed = Observed {
            virt: Some(Arc::new(pod(virt.clone()))),
            host: Some(Arc::new(pod(host.clone()))),
            tokens: Some(Arc::new(secret(due))),
            on_host_node: true,
            ..Observed::default()
        };
        let plan = plan(&config(), &observed, Timestamp::from_second(100).unwrap());
        (plan.steps.iter().any(|step| matches!(step, Step::Mint { .. })), plan.again.map(|again| again.as_secs()))
    };
    assert_eq!(with(150), (false, Some(50)));
    assert_eq!(with(100), (true, None));
    let orphan = Observed { tokens: Some(Arc::new(secret(0))), ..Observed::default() };
    assert_eq!(moves_of(orphan), "delete host Secret None");
}

#[test]
fn changes_of_a_running_pod_go_down_where_upstream_allows_them() {
    let before = virt(json!({}));
    let host = host_of(&before, json!({}));
    let change = |changed: Value| {
        let mut after = virt(changed);
        after["metadata"]["generation"] = 4.into();
        let wanted = pod(translated(after.clone()));
        let ephemeral = update::ephemeral(&config(), &pod(after), &Inputs::default());
        update::steps(&pod(host.clone()), &wanted, &ephemeral)
    };
    let steps = change(json!({"containers": [{"name": "c", "image": "new"}], "activeDeadlineSeconds": 5}));
    let [Step::HostApply { object, .. }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(object["spec"]["containers"][0]["image"], "new");
    assert_eq!(object["spec"]["activeDeadlineSeconds"], 5);
    assert_eq!(object["spec"]["nodeName"], "n1", "what the host added stays");
    assert_eq!(object["metadata"]["uid"], "host-uid", "an earlier or later pod is not meant");
    assert_eq!(object["metadata"]["annotations"]["coracle.dev/generation"], "4");

    let steps = change(json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}]}));
    let [Step::HostPatch { subresource: "resize", patch, .. }, Step::HostApply { object, .. }] = steps.as_slice()
    else {
        panic!("{steps:?}")
    };
    assert_eq!(patch["spec"]["containers"], json!([{"name": "c", "resources": {"limits": {"cpu": "2"}}}]));
    assert_eq!(object["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "2"}}));

    let steps = change(json!({"ephemeralContainers": [{"name": "debug", "image": "d", "targetContainerName": "c"}]}));
    let [Step::HostPatch { subresource: "ephemeralcontainers", patch, .. }, Step::HostApply { object, .. }] =
        steps.as_slice()
    else {
        panic!("{steps:?}")
    };
    assert_eq!(patch["spec"]["ephemeralContainers"][0]["targetContainerName"], "c");
    assert!(object["spec"].get("ephemeralContainers").is_none());
}

fn conditions(pod: &Value, host: &Value) -> Vec<String> {
    let status = status::to_virtual(&self::pod(pod.clone()), &self::pod(host.clone())).unwrap();
    let show = |c: &PodCondition| format!("{}={}@{}", c.type_, c.status, c.observed_generation.unwrap_or_default());
    status.conditions.iter().flatten().map(show).collect()
}

#[test]
fn conditions_have_one_owner_each() {
    let mut virt = virt(json!({"readinessGates": [{"conditionType": "gate"}]}));
    virt["status"] = json!({"conditions": [
        {"type": "PodScheduled", "status": "True"}, {"type": "gate", "status": "True"},
        {"type": "DisruptionTarget", "status": "True"}, {"type": "PodResizePending", "status": "True"},
    ]});
    let before = host_of(&virt, json!({"phase": "Pending"}));
    assert_eq!(conditions(&virt, &before), ["PodScheduled=True@0", "gate=True@0", "DisruptionTarget=True@0"]);
    let host = host_of(
        &virt,
        json!({"observedGeneration": 1, "conditions": [
            {"type": "PodScheduled", "status": "True", "observedGeneration": 1},
            {"type": "Ready", "status": "False", "observedGeneration": 0}, {"type": "gate", "status": "False"},
        ]}),
    );
    let expected = ["PodScheduled=True@3", "Ready=False@0", "gate=True@0", "DisruptionTarget=True@0"];
    assert_eq!(conditions(&virt, &host), expected);
    let Some(Step::HostApplyStatus { object, .. }) = status::gates_down(&pod(virt), &pod(host)) else {
        panic!("no gate")
    };
    assert_eq!(object["status"], json!({"conditions": [{"type": "gate", "status": "True"}]}));
}

#[test]
fn the_observed_generation_is_the_tenants() {
    let virt = virt(json!({}));
    let observed = |virt: &Value, host_generation: i64, host_observed: i64| {
        let mut host = host_of(virt, json!({"observedGeneration": host_observed}));
        host["metadata"]["generation"] = host_generation.into();
        status::to_virtual(&pod(virt.clone()), &pod(host)).unwrap().observed_generation
    };
    assert_eq!(observed(&virt, 1, 1), Some(3));
    assert_eq!(observed(&virt, 2, 1), None, "while the host lags, nothing new is known");
    let mut known = virt.clone();
    known["status"] = json!({"observedGeneration": 2});
    assert_eq!(observed(&known, 2, 1), Some(2));
}

#[test]
fn the_hosts_names_do_not_come_up() {
    let virt = virt(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}));
    let secret = names::host_name("s", "ns", "t");
    let waiting = json!({"reason": "CreateContainerConfigError", "message": format!("secret \"{secret}\" not found")});
    let host = host_of(
        &virt,
        json!({"phase": "Pending", "containerStatuses": [
            {"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": waiting}},
        ]}),
    );
    let (virt, host) = (pod(virt), pod(host));
    let uses = super::uses(&config(), &virt);
    let step = status::up(&virt, &host, &status::scrubber(&config(), &virt, &host, &uses));
    let Some(Step::VirtPatch { patch, .. }) = step else { panic!("no patch") };
    let message = &patch["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(message, "secret \"s\" not found");
    assert_eq!(patch["metadata"], json!({"uid": "u", "resourceVersion": "9"}));
}
