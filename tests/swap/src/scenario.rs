//! What every mixture must do, as a list of steps. Each step has a namespace of its own, so that all run at the same time.

mod cluster;
mod collection;
mod placement;
mod workloads;

use crate::api::{Api, until};
use anyhow::{Context, Result, ensure};
use futures::future::{LocalBoxFuture, try_join_all};
use serde_json::{Value, json};
use std::time::Instant;

/// One step, with the namespace that it has to itself.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) api: Api,
    pub(crate) namespace: String,
}

type Step = fn(Place) -> LocalBoxFuture<'static, Result<()>>;

const STEPS: &[(&str, Step)] = &[
    ("leases", |place| Box::pin(cluster::components_hold_their_leases(place))),
    ("defaults", |place| Box::pin(cluster::a_namespace_gets_its_account_and_authority(place))),
    ("deployment", |place| Box::pin(workloads::a_deployment_comes_up_rolls_out_and_shrinks(place))),
    ("job", |place| Box::pin(workloads::a_job_completes_and_releases_its_pods(place))),
    ("sets", |place| Box::pin(workloads::stateful_and_daemon_sets_come_up(place))),
    ("budget", |place| Box::pin(workloads::a_budget_counts_its_pods(place))),
    ("affinity", |place| Box::pin(placement::affinity_and_ports_are_kept(place))),
    ("pending", |place| Box::pin(placement::a_pod_waits_for_a_node_with_room(place))),
    ("background", |place| Box::pin(collection::background_deletion_takes_dependents(place))),
    ("foreground", |place| Box::pin(collection::foreground_deletion_waits_for_dependents(place))),
    ("orphan", |place| Box::pin(collection::orphans_stay(place))),
    ("namespace", |place| Box::pin(collection::a_namespace_goes_with_all_that_is_in_it(place))),
];

/// Runs all steps; the first that fails ends the rest.
pub async fn run(api: &Api) -> Result<()> {
    let steps = STEPS.iter().map(|(name, step)| async move {
        let begun = Instant::now();
        let place = Place { api: api.clone(), namespace: (*name).to_owned() };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.create("/api/v1/namespaces", &namespace).await?;
        // Pods are refused until their account is there.
        until("the namespace has a service account", 60, async || {
            api.get(&place.path("", "v1", "serviceaccounts/default")).await
        })
        .await?;
        step(place).await.with_context(|| format!("step {name}"))?;
        println!("  {name}: {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    });
    try_join_all(steps).await.map(drop)
}

impl Place {
    pub(crate) fn path(&self, group: &str, version: &str, rest: &str) -> String {
        let root = if group.is_empty() { "api".to_owned() } else { format!("apis/{group}") };
        format!("/{root}/{version}/namespaces/{}/{rest}", self.namespace)
    }

    pub(crate) fn core(&self, rest: &str) -> String {
        self.path("", "v1", rest)
    }

    pub(crate) fn apps(&self, rest: &str) -> String {
        self.path("apps", "v1", rest)
    }

    /// The pods with `app=NAME` that are not on their way out.
    pub(crate) async fn pods(&self, app: &str) -> Result<Vec<Value>> {
        let mut pods = self.api.list(&self.core(&format!("pods?labelSelector=app%3D{app}"))).await?;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(pods)
    }

    pub(crate) async fn until_pods(&self, app: &str, count: usize) -> Result<Vec<Value>> {
        until(&format!("{count} running pods of {app}"), 60, async || {
            let pods = self.pods(app).await?;
            let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
            ensure!(pods.len() == count && running == count, "{running} of {} run", pods.len());
            Ok(pods)
        })
        .await
    }
}

/// A pod template with `app=NAME`, in which nothing is ever run.
pub(crate) fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": image, "resources": {"requests": {"cpu": "10m"}},
        }]},
    })
}

/// A Deployment whose pods have `app=NAME`.
pub fn deployment(app: &str, replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(app, image)},
    })
}

/// A pod of its own.
pub(crate) fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = template(name, "none.test/app:1");
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = name.into();
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// The one controlling owner of an object is this one.
pub(crate) fn ensure_owned(object: &Value, owner: &Value) -> Result<()> {
    let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let expected = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    ensure!(Value::from(owners) == expected, "{} has other owners than {expected}", object["metadata"]);
    Ok(())
}
