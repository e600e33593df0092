//! Claims and volumes step by step as text; cases of upstream's `binder_test.go`, `delete_test.go` and `provision_test.go`.

use super::*;
use crate::pods::testing::merge;
use serde_json::{Value, json};

fn volume(name: &str, size: &str, reference: Option<(&str, &str)>, phase: &str, more: Value) -> Arc<PersistentVolume> {
    let reference = reference.map(|(claim, uid)| json!({"namespace": "ns", "name": claim, "uid": uid}));
    let mut tree = json!({"metadata": {"name": name, "uid": format!("uid-{name}")},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "claimRef": reference,
            "persistentVolumeReclaimPolicy": "Retain"},
        "status": {"phase": phase}});
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn claim(volume: &str, phase: &str, more: Value) -> Arc<PersistentVolumeClaim> {
    let mut tree = json!({"metadata": {"name": "c", "namespace": "ns", "uid": "u"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": phase}});
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn class(more: Value) -> Option<Arc<StorageClass>> {
    let mut tree = json!({"metadata": {"name": "gold"}, "provisioner": "example.com/p"});
    merge(&mut tree, more);
    Some(Arc::new(serde_json::from_value(tree).unwrap()))
}

fn delayed() -> Option<Arc<StorageClass>> {
    class(json!({"volumeBindingMode": "WaitForFirstConsumer"}))
}

fn gold() -> Value {
    json!({"spec": {"storageClassName": "gold"}})
}

fn annotated(annotations: &[&str]) -> Value {
    let all: serde_json::Map<_, _> = annotations.iter().map(|key| ((*key).to_owned(), json!("yes"))).collect();
    json!({"metadata": {"annotations": all}})
}

/// What is planned for a claim, and what the plan writes into `claimRef` and `volumeName`.
fn of_claim(
    claim: Arc<PersistentVolumeClaim>,
    class: Option<Arc<StorageClass>>,
    volumes: Vec<Arc<PersistentVolume>>,
) -> Vec<String> {
    let named = volume_name(&claim).and_then(|name| volumes.iter().find(|volume| volume.name() == name)).cloned();
    let volumes = if volume_name(&claim).is_some() { vec![] } else { volumes };
    text(&claim::plan(&claim::View { claim, class, default_class: None, named, volumes, waiting: vec![] }))
}

fn of_volume(volume: Arc<PersistentVolume>, claim: Option<Arc<PersistentVolumeClaim>>) -> Vec<String> {
    text(&volume::plan(&volume::View { volume, claim, users: vec![] }))
}

fn text(plan: &Plan) -> Vec<String> {
    let line = |write: &crate::plan::Write| match write {
        crate::plan::Write::Update { target, body } if target.subresource.is_empty() => {
            let spec = &body["spec"];
            let annotations = body["metadata"]["annotations"].as_object().into_iter().flatten();
            let annotations: Vec<&str> = annotations.filter_map(|(key, _)| key.rsplit('/').next()).collect();
            let bound = spec["claimRef"]["uid"].as_str().or(spec["volumeName"].as_str()).unwrap_or("nothing");
            format!("{write} to {bound} {}", annotations.join(",")).trim().to_owned()
        }
        other => other.to_string(),
    };
    plan.writes.iter().map(line).collect()
}

const PENDING: &str = "event FailedBinding no persistent volumes available for this claim and no storage class is set";
const VOLUME_FIRST: &str = "update persistentvolumes v to u";
const THEN_CLAIM: &str = "update persistentvolumeclaims ns/c to v bind-completed,bound-by-controller";

#[test]
fn a_claim_takes_the_smallest_volume_that_serves_it() {
    let free = |name: &str, size: &str| volume(name, size, None, "Available", json!({}));
    let bound_by_us = "update persistentvolumes v to u bound-by-controller";
    let none = claim("", "Pending", json!({}));
    assert_eq!(of_claim(none.clone(), None, vec![free("v", "1Gi")]), [bound_by_us, THEN_CLAIM], "1-1");
    assert_eq!(of_claim(none.clone(), None, vec![free("small", "500Mi")]), [PENDING], "1-2");
    let reset = claim("", "Bound", json!({}));
    let pending = r#"update persistentvolumeclaims/status ns/c {"phase":"Pending"}"#;
    assert_eq!(of_claim(reset, None, vec![]), [PENDING, pending], "1-3");
    assert_eq!(
        of_claim(none.clone(), None, vec![free("large", "10Gi"), free("v", "1Gi")]),
        [bound_by_us, THEN_CLAIM],
        "1-4"
    );
    let named = volume("v", "10Gi", Some(("c", "")), "Available", json!({}));
    assert_eq!(of_claim(none.clone(), None, vec![free("small", "1Gi"), named]), [VOLUME_FIRST, THEN_CLAIM], "1-5");
    let other = volume("v", "1Gi", Some(("c", "other")), "Available", json!({}));
    assert_eq!(of_claim(none.clone(), None, vec![other]), [PENDING], "1-7");
    let crashed = volume("v", "1Gi", Some(("c", "u")), "Bound", annotated(&[BOUND_BY_CONTROLLER]));
    assert_eq!(of_claim(none.clone(), None, vec![crashed]), [THEN_CLAIM], "1-9");
    let unready = ["Pending", "Failed", "Released", ""].map(|phase| volume("v", "1Gi", None, phase, json!({})));
    assert_eq!(of_claim(none.clone(), None, unready.to_vec()), [PENDING], "1-17");
    let block = volume("v", "1Gi", None, "Available", json!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(of_claim(none.clone(), None, vec![block]), [PENDING], "14-4");
    let going =
        volume("v", "1Gi", None, "Available", json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}));
    assert_eq!(of_claim(none.clone(), None, vec![going]), [PENDING]);
    let many =
        volume("a", "1Gi", None, "Available", json!({"spec": {"accessModes": ["ReadOnlyMany", "ReadWriteOnce"]}}));
    assert_eq!(of_claim(none, None, vec![many, free("v", "10Gi")]), [bound_by_us, THEN_CLAIM], "fewest access modes");
}

#[test]
fn selectors_classes_and_attributes_choose() {
    let selecting = claim("", "Pending", json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}));
    let labelled = volume("v", "1Gi", None, "Available", json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(of_claim(selecting.clone(), None, vec![labelled]).len(), 2, "1-11");
    assert_eq!(of_claim(selecting, None, vec![volume("v", "1Gi", None, "Available", json!({}))]), [PENDING], "1-12");
    let plain = claim("", "Pending", json!({"spec": {"storageClassName": ""}}));
    assert_eq!(of_claim(plain.clone(), None, vec![volume("v", "1Gi", None, "Available", gold())]), [PENDING], "13-4");
    let golden = claim("", "Pending", gold());
    let both = || vec![volume("x", "1Gi", None, "Available", json!({})), volume("v", "1Gi", None, "Available", gold())];
    assert_eq!(of_claim(golden, class(json!({})), both())[1], THEN_CLAIM, "13-1");
    let fast = volume("v", "1Gi", None, "Available", json!({"spec": {"volumeAttributesClassName": "fast"}}));
    assert_eq!(of_claim(plain, None, vec![fast]), [PENDING]);
}

#[test]
fn a_class_can_wait_for_the_first_consumer() {
    let golden = claim("", "Pending", gold());
    let free = || vec![volume("v", "1Gi", None, "Available", gold())];
    let waiting = "event WaitForFirstConsumer waiting for first consumer to be created before binding";
    assert_eq!(of_claim(golden.clone(), delayed(), free()), [waiting], "1-13");
    let named = volume("v", "1Gi", Some(("c", "")), "Available", gold());
    assert_eq!(of_claim(golden.clone(), delayed(), vec![named]), [VOLUME_FIRST, THEN_CLAIM], "1-14");
    let waiting = |waiting: &[&str]| {
        let waiting = waiting.iter().map(|pod| (*pod).to_owned()).collect();
        let view = claim::View {
            claim: golden.clone(),
            class: delayed(),
            default_class: None,
            named: None,
            volumes: vec![],
            waiting,
        };
        text(&claim::plan(&view)).remove(0)
    };
    assert_eq!(waiting(&["a"]), "event WaitForPodScheduled waiting for pod a to be scheduled");
    assert_eq!(waiting(&["a", "b"]), "event WaitForPodScheduled waiting for pods a,b to be scheduled");
}

#[test]
fn provisioners_are_asked() {
    let golden = |more: Value| {
        let mut tree = gold();
        merge(&mut tree, more);
        claim("", "Pending", tree)
    };
    let asked = json!({"metadata": {"annotations": {"volume.kubernetes.io/storage-provisioner": "example.com/p"}}});
    let named = ["update persistentvolumeclaims ns/c to  storage-provisioner,storage-provisioner"];
    assert_eq!(of_claim(golden(json!({})), class(json!({})), vec![]), named);
    let told = of_claim(golden(asked), class(json!({})), vec![]);
    assert!(told[0].starts_with("event ExternalProvisioning Waiting for a volume to be created either by the external provisioner 'example.com/p' or manually"), "{told:?}");
    let missing = ["warn ProvisioningFailed storageclass.storage.k8s.io \"gold\" not found"];
    assert_eq!(of_claim(golden(json!({})), None, vec![]), missing, "11-8");
    let none = class(json!({"provisioner": "kubernetes.io/no-provisioner"}));
    let failed = ["warn ProvisioningFailed no volume plugin matched name: kubernetes.io/no-provisioner"];
    assert_eq!(of_claim(golden(json!({})), none, vec![]), failed);
    let selected = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    assert_eq!(
        of_claim(golden(selected), delayed(), vec![])[0].split(' ').take(3).collect::<Vec<_>>(),
        ["update", "persistentvolumeclaims", "ns/c"]
    );
}

#[test]
fn a_claim_without_a_class_gets_the_default_when_there_is_one() {
    let view = |claim| claim::View {
        claim,
        class: None,
        default_class: class(json!({})),
        named: None,
        volumes: vec![],
        waiting: vec![],
    };
    let plan = claim::plan(&view(claim("", "Pending", json!({}))));
    let crate::plan::Write::Update { body, .. } = &plan.writes[0] else { panic!("{plan}") };
    assert_eq!(body["spec"]["storageClassName"], "gold");
    assert_eq!(text(&claim::plan(&view(claim("", "Pending", json!({"spec": {"storageClassName": ""}}))))), [PENDING]);
    let at = |name: &str, time: &str| {
        class(json!({"metadata": {"name": name, "creationTimestamp": time, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}})).unwrap()
    };
    let classes =
        vec![at("b", "2024-01-01T00:00:00Z"), at("a", "2024-01-01T00:00:00Z"), at("old", "2023-01-01T00:00:00Z")];
    assert_eq!(class::default_of(classes).unwrap().name(), "a");
}

#[test]
fn a_claim_may_ask_for_one_volume() {
    let asking = |phase: &str| claim("v", phase, json!({}));
    let pending = r#"update persistentvolumeclaims/status ns/c {"phase":"Pending"}"#;
    assert_eq!(of_claim(asking("Pending"), None, vec![]), [""; 0], "2-1");
    assert_eq!(of_claim(asking("Bound"), None, vec![]), [pending], "2-2");
    let then_claim = "update persistentvolumeclaims ns/c to v bind-completed";
    let free = volume("v", "1Gi", None, "Available", json!({}));
    assert_eq!(
        of_claim(asking("Pending"), None, vec![free.clone()]),
        ["update persistentvolumes v to u bound-by-controller", then_claim],
        "2-3"
    );
    let named = volume("v", "1Gi", Some(("c", "")), "Available", json!({}));
    assert_eq!(of_claim(asking("Pending"), None, vec![named]), [VOLUME_FIRST, then_claim], "2-4");
    let taken = volume("v", "1Gi", Some(("other", "o")), "Bound", json!({}));
    let told = "warn FailedBinding volume \"v\" already bound to a different claim.";
    assert_eq!(of_claim(asking("Bound"), None, vec![taken.clone()]), [told, pending], "2-6");
    assert_eq!(of_claim(claim("v", "Bound", annotated(&[BOUND_BY_CONTROLLER])), None, vec![taken]), [told], "2-7");
    for (more, reason) in [
        (json!({"spec": {"capacity": {"storage": "500Mi"}}}), "requested PV is too small"),
        (gold(), "storageClassName does not match"),
        (json!({"spec": {"volumeAttributesClassName": "x"}}), "volumeAttributesClassName does not match"),
        (json!({"spec": {"volumeMode": "Block"}}), "incompatible volumeMode"),
        (json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), "incompatible accessMode"),
    ] {
        let told = format!("warn VolumeMismatch Cannot bind to requested volume \"v\": {reason}");
        assert_eq!(
            of_claim(asking("Bound"), None, vec![volume("v", "1Gi", None, "Available", more)]),
            [&*told, pending]
        );
    }
}

#[test]
fn a_bound_claim_ends_bound_or_lost() {
    let bound = |volume: &str, phase: &str| claim(volume, phase, annotated(&[BIND_COMPLETED]));
    let lost = |reason: &str| {
        [r#"update persistentvolumeclaims/status ns/c {"phase":"Lost"}"#.to_owned(), format!("warn {reason}")]
    };
    let gone = "ClaimLost Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
    assert_eq!(of_claim(bound("", "Bound"), None, vec![]), lost(gone), "3-1");
    let gone = "ClaimLost Bound claim has lost its PersistentVolume. Data on the volume is lost!";
    assert_eq!(of_claim(bound("v", "Bound"), None, vec![]), lost(gone), "3-2");
    assert_eq!(of_claim(bound("v", "Lost"), None, vec![]), [""; 0]);
    let shown = r#"update persistentvolumeclaims/status ns/c {"accessModes":["ReadWriteOnce"],"capacity":{"storage":"10Gi"},"phase":"Bound"}"#;
    let free = volume("v", "10Gi", None, "Available", json!({}));
    assert_eq!(
        of_claim(bound("v", "Pending"), None, vec![free]),
        ["update persistentvolumes v to u bound-by-controller", shown],
        "3-3"
    );
    let misbound = "ClaimMisbound Two claims are bound to the same volume, this one is bound incorrectly";
    let other = volume("v", "10Gi", Some(("c", "x")), "Available", json!({}));
    assert_eq!(of_claim(bound("v", "Pending"), None, vec![other]), lost(misbound), "3-4");
    let ours = volume("v", "10Gi", Some(("c", "u")), "Available", json!({}));
    let status = r#"update persistentvolumes/status v {"phase":"Bound"}"#;
    assert_eq!(of_claim(bound("v", "Pending"), None, vec![ours]), [status, shown], "3-5");
    let done = volume("v", "10Gi", Some(("c", "u")), "Bound", json!({}));
    let mut settled = annotated(&[BIND_COMPLETED]);
    settled["status"] = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}});
    assert_eq!(
        of_claim(claim("v", "Bound", settled), None, vec![done]),
        [""; 0],
        "the size shown is not ours once bound"
    );
}

#[test]
fn volumes_follow_their_claims() {
    let available = r#"update persistentvolumes/status v {"phase":"Available"}"#;
    assert_eq!(of_volume(volume("v", "1Gi", None, "", json!({})), None), [available], "4-1");
    assert_eq!(of_volume(volume("v", "1Gi", Some(("c", "")), "Pending", json!({})), None), [available], "4-2");
    let bound = |phase: &str, more: Value| volume("v", "1Gi", Some(("c", "u")), phase, more);
    let gone = "expect no persistentvolumeclaims ns/c";
    let released = r#"update persistentvolumes/status v {"phase":"Released"}"#;
    assert_eq!(of_volume(bound("Bound", json!({})), None), [gone, released], "4-3");
    let another = claim("v", "Bound", json!({"metadata": {"uid": "x"}}));
    assert_eq!(of_volume(bound("Bound", json!({})), Some(another)), [gone, released], "4-4");
    assert_eq!(of_volume(bound("Bound", json!({})), Some(claim("", "Pending", json!({})))), [""; 0], "4-5");
    let of_v = claim("v", "Bound", json!({}));
    assert_eq!(
        of_volume(bound("Available", json!({})), Some(of_v)),
        [r#"update persistentvolumes/status v {"phase":"Bound"}"#],
        "4-6"
    );
    let elsewhere = || Some(claim("w", "Bound", json!({})));
    let undone = ["update persistentvolumes v to nothing"];
    assert_eq!(of_volume(bound("Bound", annotated(&[BOUND_BY_CONTROLLER])), elsewhere()), undone, "4-7");
    assert_eq!(of_volume(bound("Bound", json!({})), elsewhere()), undone, "4-8");
    let provisioned = json!({"metadata": {"annotations": {PROVISIONED_BY: "p"}}, "spec": {"persistentVolumeReclaimPolicy": "Delete"}});
    assert_eq!(of_volume(bound("Bound", provisioned), elsewhere()), [released], "4-9");
    let block = claim("", "Pending", json!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(of_volume(bound("Bound", json!({})), Some(block)).len(), 2);
}

#[test]
fn released_volumes_are_reclaimed() {
    let released = |policy: &str, more: Value| {
        let mut tree = json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
        merge(&mut tree, more);
        let planned = of_volume(volume("v", "1Gi", Some(("c", "u")), "Released", tree), None);
        planned.into_iter().skip(1).collect::<Vec<_>>()
    };
    let failed = |reason: &str, message: &str| {
        let message = message.replace('"', "\\\"");
        let status = format!(r#"update persistentvolumes/status v {{"message":"{message}","phase":"Failed"}}"#);
        vec![status, format!("warn {reason} {}", message.replace("\\\"", "\""))]
    };
    assert_eq!(released("Retain", json!({})), [""; 0]);
    assert_eq!(released("Delete", json!({"spec": {"csi": {"driver": "d", "volumeHandle": "h"}}})), [""; 0], "external");
    assert_eq!(
        released("Delete", json!({"metadata": {"annotations": {PROVISIONED_BY: "example.com/p"}}})),
        [""; 0],
        "external"
    );
    assert_eq!(
        released("Delete", json!({"spec": {"hostPath": {"path": "/tmp/a"}}})),
        ["delete persistentvolumes v"],
        "8-1"
    );
    let told = "host_path deleter only supports /tmp/.+ but received provided /etc";
    assert_eq!(released("Delete", json!({"spec": {"hostPath": {"path": "/etc"}}})), failed("VolumeFailedDelete", told));
    let told = "error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched";
    assert_eq!(
        released("Delete", json!({"spec": {"local": {"path": "/a"}}})),
        failed("VolumeFailedDelete", told),
        "8-3"
    );
    assert_eq!(
        released("Recycle", json!({})),
        failed("VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        "6-4"
    );
    let told = "Volume has unrecognized PersistentVolumeReclaimPolicy";
    assert_eq!(released("Unknown", json!({})), failed("VolumeUnknownReclaimPolicy", told), "6-11");
    assert_eq!(released("Delete", json!({"metadata": {"annotations": {MIGRATED_TO: "d"}}})), [""; 0]);
}
