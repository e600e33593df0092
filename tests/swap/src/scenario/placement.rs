//! Where pods go, and what is said of those that can go nowhere.

use super::{Place, pod};
use crate::api::until;
use crate::kubelet::{CPUS, join};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

async fn node_of(place: &Place, name: &str) -> Result<String> {
    until(&format!("pod {name} has a node"), 60, async || {
        let pod = place.api.get(&place.core(&format!("pods/{name}"))).await?;
        let node = pod["spec"]["nodeName"].as_str();
        ensure!(node.is_some(), "{}", pod["status"]);
        Ok(node.unwrap_or_default().to_owned())
    })
    .await
}

async fn unschedulable(place: &Place, name: &str, why: &str) -> Result<()> {
    until(&format!("pod {name} is said to be unschedulable"), 60, async || {
        let pod = place.api.get(&place.core(&format!("pods/{name}"))).await?;
        let condition = &pod["status"]["conditions"][0];
        ensure!(condition["type"] == "PodScheduled" && condition["status"] == "False", "{condition}");
        ensure!(condition["reason"] == "Unschedulable", "{condition}");
        ensure!(condition["message"].as_str().is_some_and(|message| message.contains(why)), "{condition}");
        Ok(())
    })
    .await
}

pub(crate) async fn affinity_and_ports_are_kept(place: Place) -> Result<()> {
    let api = &place.api;
    let create = async |name: &str, spec: Value| api.create(&place.core("pods"), &pod(name, &spec)).await.map(drop);
    let port = json!([{"name": "main", "image": "none.test/app:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]);
    create("first", json!({"nodeSelector": {"kubernetes.io/hostname": "n2"}, "containers": port})).await?;
    ensure!(node_of(&place, "first").await? == "n2", "the node selector was not kept");
    let beside = |kind: &str| {
        json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchLabels": {"app": "first"}}, "topologyKey": "kubernetes.io/hostname"}]}}})
    };
    create("near", beside("podAffinity")).await?;
    create("far", beside("podAntiAffinity")).await?;
    create("port", json!({"nodeSelector": {"kubernetes.io/hostname": "n2"}, "containers": port})).await?;
    ensure!(node_of(&place, "near").await? == "n2", "the affinity was not kept");
    ensure!(node_of(&place, "far").await? != "n2", "the anti-affinity was not kept");
    unschedulable(&place, "port", "didn't have free ports for the requested pod ports").await?;
    // Its way is free as soon as the port is.
    api.delete(&place.core("pods/first"), &json!({})).await?;
    ensure!(node_of(&place, "port").await? == "n2", "the freed port was not used");
    Ok(())
}

pub(crate) async fn a_pod_waits_for_a_node_with_room(place: Place) -> Result<()> {
    let containers = json!([{"name": "main", "image": "none.test/app:1",
        "resources": {"requests": {"cpu": (CPUS + 2).to_string()}}}]);
    place.api.create(&place.core("pods"), &pod("large", &json!({"containers": containers}))).await?;
    unschedulable(&place, "large", "Insufficient cpu").await?;
    until("an event tells why", 30, async || {
        let events = place.api.list(&place.core("events?fieldSelector=reason%3DFailedScheduling")).await?;
        ensure!(!events.is_empty(), "no event");
        Ok(())
    })
    .await?;
    join(&place.api, "large", CPUS * 2).await?;
    ensure!(node_of(&place, "large").await? == "large", "it went elsewhere");
    until("an event tells where it went", 30, async || {
        let events = place.api.list(&place.core("events?fieldSelector=reason%3DScheduled")).await?;
        ensure!(!events.is_empty(), "no event");
        Ok(())
    })
    .await
}
