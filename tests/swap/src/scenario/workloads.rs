//! Workloads: what makes pods, counts them, and leads to them.

use super::{Place, deployment, ensure_owned, template};
use crate::api::until;
use crate::kubelet::NODES;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

fn nodes(pods: &[Value]) -> BTreeSet<&str> {
    pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect()
}

pub(crate) async fn a_deployment_comes_up_rolls_out_and_shrinks(place: Place) -> Result<()> {
    let api = &place.api;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    api.create(&place.core("services"), &service).await?;
    api.create(&place.apps("deployments"), &deployment("web", 3, "none.test/app:1")).await?;
    let made = available(&place, 3).await?;
    ensure!(condition(&made, "Available")["status"] == "True", "{}", made["status"]);
    ensure!(made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1", "{}", made["metadata"]);
    until("the rollout is complete", 20, async || {
        let progressing = condition(&api.get(&place.apps("deployments/web")).await?, "Progressing").clone();
        ensure!(progressing["reason"] == "NewReplicaSetAvailable", "{progressing}");
        Ok(())
    })
    .await?;

    let sets = api.list(&place.apps("replicasets")).await?;
    ensure!(sets.len() == 1, "{} replica sets", sets.len());
    let set = with_type(&sets[0], "apps/v1", "ReplicaSet");
    ensure_owned(&set, &with_type(&made, "apps/v1", "Deployment"))?;
    let pods = place.until_pods("web", 3).await?;
    ensure!(nodes(&pods).len() > 1, "not spread: {:?}", nodes(&pods));
    pods.iter().try_for_each(|pod| ensure_owned(pod, &set))?;
    endpoints(&place, 3).await?;

    api.merge(&place.apps("deployments/web"), &json!({"spec": {"template": template("web", "none.test/app:2")}}))
        .await?;
    until("the rollout has a second revision", 60, async || {
        let now = api.get(&place.apps("deployments/web")).await?;
        let status = &now["status"];
        ensure!(now["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2", "{}", now["metadata"]);
        ensure!(
            status["updatedReplicas"] == 3 && status["replicas"] == 3 && status["availableReplicas"] == 3,
            "{status}"
        );
        ensure!(status["observedGeneration"] == now["metadata"]["generation"], "{status}");
        Ok(())
    })
    .await?;
    endpoints(&place, 3).await?;

    api.merge(&place.apps("deployments/web/scale"), &json!({"spec": {"replicas": 1}})).await?;
    available(&place, 1).await?;
    place.until_pods("web", 1).await?;
    endpoints(&place, 1).await
}

async fn available(place: &Place, replicas: u32) -> Result<Value> {
    until(&format!("{replicas} replicas are available"), 60, async || {
        let now = place.api.get(&place.apps("deployments/web")).await?;
        let status = &now["status"];
        ensure!(status["availableReplicas"] == replicas && status["replicas"] == replicas, "{status}");
        Ok(now)
    })
    .await
}

/// Items of a list lack what the list says for all of them.
fn with_type(object: &Value, api_version: &str, kind: &str) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object
}

/// Service web leads to exactly its pods, by both kinds of endpoints.
async fn endpoints(place: &Place, count: usize) -> Result<()> {
    until(&format!("Service web leads to {count} pods"), 60, async || {
        let pods = place.pods("web").await?;
        let expected: BTreeSet<String> = pods.iter().filter_map(|pod| text(&pod["status"]["podIP"])).collect();
        ensure!(expected.len() == count, "{} pods have an address", expected.len());

        let endpoints = place.api.get(&place.core("endpoints/web")).await?;
        let subset = &endpoints["subsets"][0];
        let addresses = subset["addresses"].as_array().into_iter().flatten();
        let found: BTreeSet<String> = addresses.filter_map(|address| text(&address["ip"])).collect();
        ensure!(found == expected, "Endpoints {found:?}, pods {expected:?}");
        ensure!(subset["ports"][0]["port"] == 8080, "{}", subset["ports"]);

        let slices =
            place.path("discovery.k8s.io", "v1", "endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dweb");
        let slices = place.api.list(&slices).await?;
        let all: Vec<&Value> =
            slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten()).collect();
        let ready = all.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true);
        let found: BTreeSet<String> = ready.filter_map(|endpoint| text(&endpoint["addresses"][0])).collect();
        ensure!(found == expected, "EndpointSlices {found:?}, pods {expected:?}");
        let complete = all.iter().all(|e| e["targetRef"]["kind"] == "Pod" && e["nodeName"].is_string());
        ensure!(complete, "{all:?}");
        Ok(())
    })
    .await
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(crate) async fn a_job_completes_and_releases_its_pods(place: Place) -> Result<()> {
    let mut template = template("sum", "none.test/app:1");
    template["spec"]["restartPolicy"] = "Never".into();
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
        "spec": {"completions": 4, "parallelism": 2, "template": template},
    });
    let path = place.path("batch", "v1", "jobs/sum");
    place.api.create(&place.path("batch", "v1", "jobs"), &job).await?;
    let done = until("the job is complete", 60, async || {
        let job = place.api.get(&path).await?;
        ensure!(condition(&job, "Complete")["status"] == "True", "{}", job["status"]);
        Ok(job)
    });
    let done = done.await?;
    ensure!(done["status"]["succeeded"] == 4 && done["status"]["completionTime"].is_string(), "{}", done["status"]);
    until("the job's pods are released", 20, async || {
        let pods = place.pods("sum").await?;
        ensure!(pods.len() == 4, "{} pods", pods.len());
        let held = pods.iter().find(|pod| !pod["metadata"]["finalizers"].is_null());
        ensure!(held.is_none(), "{held:?}");
        Ok(())
    })
    .await?;
    place.api.delete(&path, &json!({"propagationPolicy": "Background"})).await?;
    until("the job's pods are gone", 60, async || {
        ensure!(place.pods("sum").await?.is_empty(), "some are left");
        place.api.gone(&path).await
    })
    .await
}

pub(crate) async fn stateful_and_daemon_sets_come_up(place: Place) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"},
        "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]},
    });
    place.api.create(&place.core("services"), &service).await?;
    let stateful = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"app": "db"}},
            "template": template("db", "none.test/app:1")},
    });
    let daemon = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "none.test/app:1")},
    });
    place.api.create(&place.apps("statefulsets"), &stateful).await?;
    place.api.create(&place.apps("daemonsets"), &daemon).await?;
    let members = place.until_pods("db", 2).await?;
    let mut names: Vec<&str> = members.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    names.sort_unstable();
    ensure!(names == ["db-0", "db-1"], "{names:?}");
    let created = |name: &str| {
        members.iter().find(|p| p["metadata"]["name"] == name).map(|p| &p["metadata"]["creationTimestamp"])
    };
    let order = created("db-0").and_then(Value::as_str) <= created("db-1").and_then(Value::as_str);
    ensure!(order, "db-1 came before db-0");
    until("one agent runs on each node", 60, async || {
        let pods = place.pods("agent").await?;
        ensure!(nodes(&pods).is_superset(&BTreeSet::from(NODES)), "{:?}", nodes(&pods));
        let status = &place.api.get(&place.apps("daemonsets/agent")).await?["status"];
        ensure!(status["numberAvailable"] == status["desiredNumberScheduled"], "{status}");
        Ok(())
    })
    .await
}

pub(crate) async fn a_budget_counts_its_pods(place: Place) -> Result<()> {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    });
    place.api.create(&place.path("policy", "v1", "poddisruptionbudgets"), &budget).await?;
    place.api.create(&place.apps("deployments"), &deployment("web", 3, "none.test/app:1")).await?;
    let path = place.path("policy", "v1", "poddisruptionbudgets/web");
    until("the budget allows one disruption", 60, async || {
        let status = &place.api.get(&path).await?["status"];
        ensure!(status["disruptionsAllowed"] == 1 && status["currentHealthy"] == 3, "{status}");
        Ok(())
    })
    .await?;
    let pods = place.until_pods("web", 3).await?;
    let name = pods[0]["metadata"]["name"].as_str().context("a pod has a name")?;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    place.api.create(&place.core(&format!("pods/{name}/eviction")), &eviction).await?;
    until("the evicted pod is replaced", 60, async || {
        let pods = place.until_pods("web", 3).await?;
        ensure!(pods.iter().all(|pod| pod["metadata"]["name"] != name), "it is still there");
        Ok(())
    })
    .await
}
