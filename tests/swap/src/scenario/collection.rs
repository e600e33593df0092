//! What goes when something else goes: the garbage collector's three ways, and namespaces.

use super::{Place, deployment, pod};
use crate::api::until;
use anyhow::{Result, ensure};
use serde_json::json;

const IMAGE: &str = "none.test/app:1";

async fn running(place: &Place) -> Result<()> {
    place.api.create(&place.apps("deployments"), &deployment("web", 2, IMAGE)).await?;
    place.until_pods("web", 2).await.map(drop)
}

async fn nothing_left(place: &Place) -> Result<()> {
    until("the dependents are gone", 60, async || {
        let sets = place.api.list(&place.apps("replicasets")).await?.len();
        let pods = place.api.list(&place.core("pods")).await?.len();
        ensure!(sets == 0 && pods == 0, "{sets} replica sets and {pods} pods are left");
        Ok(())
    })
    .await
}

pub(crate) async fn background_deletion_takes_dependents(place: Place) -> Result<()> {
    running(&place).await?;
    place.api.delete(&place.apps("deployments/web"), &json!({"propagationPolicy": "Background"})).await?;
    place.api.gone(&place.apps("deployments/web")).await?;
    nothing_left(&place).await
}

pub(crate) async fn foreground_deletion_waits_for_dependents(place: Place) -> Result<()> {
    running(&place).await?;
    let path = place.apps("deployments/web");
    let going = place.api.delete(&path, &json!({"propagationPolicy": "Foreground"})).await?;
    ensure!(going["metadata"]["finalizers"] == json!(["foregroundDeletion"]), "{}", going["metadata"]);
    until("the deployment is gone", 60, async || place.api.gone(&path).await).await?;
    let sets = place.api.list(&place.apps("replicasets")).await?;
    ensure!(sets.is_empty(), "the owner went before its dependents");
    nothing_left(&place).await
}

pub(crate) async fn orphans_stay(place: Place) -> Result<()> {
    running(&place).await?;
    let path = place.apps("deployments/web");
    place.api.delete(&path, &json!({"propagationPolicy": "Orphan"})).await?;
    until("the deployment is gone", 60, async || place.api.gone(&path).await).await?;
    let sets = place.api.list(&place.apps("replicasets")).await?;
    ensure!(sets.len() == 1, "{} replica sets", sets.len());
    ensure!(sets[0]["metadata"]["ownerReferences"].is_null(), "{}", sets[0]["metadata"]);
    place.until_pods("web", 2).await.map(drop)
}

pub(crate) async fn a_namespace_goes_with_all_that_is_in_it(place: Place) -> Result<()> {
    running(&place).await?;
    place.api.create(&place.core("pods"), &pod("alone", &json!({}))).await?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}});
    place.api.create(&place.core("configmaps"), &map).await?;
    let path = format!("/api/v1/namespaces/{}", place.namespace);
    let going = place.api.delete(&path, &json!({})).await?;
    ensure!(going["status"]["phase"] == "Terminating", "{}", going["status"]);
    until("the namespace is gone", 90, async || place.api.gone(&path).await).await?;
    ensure!(place.api.list(&place.core("pods")).await?.is_empty(), "pods are left");
    place.api.gone(&place.core("configmaps/map")).await
}
