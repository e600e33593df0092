//! Nodes without machines: a client that keeps nodes Ready and says of every pod bound to them what a kubelet would say,
//! without running anything.
//!
//! A pod that restarts runs for ever; one that does not has succeeded as soon as it ran; one that is deleted is gone at once.

use crate::api::{Api, until};
use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api as KubeApi, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The nodes that every row has.
pub const NODES: [&str; 2] = ["n1", "n2"];
/// What each of them has to give.
pub const CPUS: u32 = 4;

/// Ends when dropped.
pub struct Kubelet {
    _tasks: JoinSet<()>,
}

impl Kubelet {
    pub async fn start(api: Api) -> Result<Kubelet> {
        for node in NODES {
            join(&api, node, CPUS).await?;
        }
        // Admission taints new nodes until the node lifecycle controller has seen them Ready; a pod that comes between the
        // first node's turn and the second's has one node to go to.
        for node in NODES {
            until(&format!("node {node} is free of taints"), 60, async || {
                let node = api.get(&format!("/api/v1/nodes/{node}")).await?;
                ensure!(node["spec"]["taints"].is_null(), "{}", node["spec"]["taints"]);
                Ok(())
            })
            .await?;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(pods(api.clone()));
        tasks.spawn(heartbeats(api));
        Ok(Kubelet { _tasks: tasks })
    }
}

/// Brings a node into the cluster, Ready and with room.
pub async fn join(api: &Api, name: &str, cpus: u32) -> Result<()> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
    });
    api.create("/api/v1/nodes", &node).await?;
    let room = json!({"cpu": cpus.to_string(), "memory": "8Gi", "pods": "110", "ephemeral-storage": "20Gi"});
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
            "lastHeartbeatTime": now(), "lastTransitionTime": now()})
    };
    let status = json!({"status": {
        "capacity": room, "allocatable": room,
        "conditions": [
            condition("Ready", "True", "KubeletReady"),
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}, {"type": "Hostname", "address": name}],
    }});
    api.patch(&format!("/api/v1/nodes/{name}/status"), &status).await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now_micro()},
    });
    api.create("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &lease).await?;
    Ok(())
}

/// Renews the leases of all nodes, those that join later too.
async fn heartbeats(api: Api) {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    loop {
        sleep(Duration::from_secs(10)).await;
        let leases = api.list(LEASES).await.unwrap_or_default();
        for name in leases.iter().filter_map(|lease| lease["metadata"]["name"].as_str()) {
            let renewed = json!({"spec": {"renewTime": now_micro()}});
            if let Err(error) = api.merge(&format!("{LEASES}/{name}"), &renewed).await {
                eprintln!("kubelet: {error:#}");
            }
        }
    }
}

async fn pods(api: Api) {
    let all: KubeApi<Pod> = KubeApi::all(api.client.clone());
    let mut pods = pin!(watcher(all, watcher::Config::default()).default_backoff().applied_objects());
    // What was said last of each pod, so that an echo of it is not answered.
    let mut told: HashMap<String, &'static str> = HashMap::new();
    let mut addresses = 0_u32;
    while let Some(pod) = pods.next().await {
        let handled = match pod {
            Ok(pod) => handle(&api, &pod, &mut told, &mut addresses).await,
            Err(error) => Err(error).context("watch of pods"),
        };
        if let Err(error) = handled {
            eprintln!("kubelet: {error:#}");
        }
    }
}

async fn handle(api: &Api, pod: &Pod, told: &mut HashMap<String, &'static str>, addresses: &mut u32) -> Result<()> {
    let Some(spec) = pod.spec.as_ref().filter(|spec| spec.node_name.is_some()) else { return Ok(()) };
    let uid = pod.uid().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let restarts =
        spec.restart_policy.as_deref() != Some("Never") && spec.restart_policy.as_deref() != Some("OnFailure");
    let next = if pod.metadata.deletion_timestamp.is_some() {
        "gone"
    } else if phase == "Pending" {
        "Running"
    } else if phase == "Running" && !restarts {
        "Succeeded"
    } else {
        return Ok(());
    };
    if told.get(&uid) == Some(&next) {
        return Ok(());
    }
    told.insert(uid.clone(), next);
    let done = if next == "gone" {
        api.delete(&path, &json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})).await
    } else {
        *addresses += 1;
        let running = next == "Running";
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let address = address.unwrap_or_else(|| format!("10.244.{}.{}", *addresses / 250, *addresses % 250 + 2));
        let containers: Vec<Value> = spec.containers.iter().map(|c| container(c, running)).collect();
        api.patch(&format!("{path}/status"), &json!({"status": status(running, &address, &containers)})).await
    };
    match done {
        Ok(_) => Ok(()),
        // Gone, or another of its name has come.
        Err(error) if code(&error).is_some_and(|code| code == 404 || code == 409) => Ok(()),
        Err(error) => Err(error),
    }
}

fn container(container: &k8s_openapi::api::core::v1::Container, running: bool) -> Value {
    let state = if running {
        json!({"running": {"startedAt": now()}})
    } else {
        json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}})
    };
    json!({
        "name": container.name, "image": container.image, "imageID": "sha256:0", "restartCount": 0,
        "ready": running, "started": running, "state": state,
    })
}

fn status(running: bool, address: &str, containers: &[Value]) -> Value {
    let ready = if running { "True" } else { "False" };
    let reason = if running { Value::Null } else { "PodCompleted".into() };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": now()});
    json!({
        "phase": if running { "Running" } else { "Succeeded" },
        "hostIP": "10.0.0.9", "hostIPs": [{"ip": "10.0.0.9"}],
        "podIP": address, "podIPs": [{"ip": address}],
        "startTime": now(),
        "conditions": [
            condition("PodReadyToStartContainers", ready), condition("Initialized", "True"),
            condition("ContainersReady", ready), condition("Ready", ready),
        ],
        "containerStatuses": containers,
    })
}

fn code(error: &anyhow::Error) -> Option<u16> {
    match error.downcast_ref::<kube::Error>()? {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn now_micro() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
