//! What a cluster has without being asked: leaders, accounts, authorities.

use super::Place;
use crate::api::until;
use anyhow::{Result, ensure};

/// Either side holds upstream's leases, by upstream's rules.
pub(crate) async fn components_hold_their_leases(place: Place) -> Result<()> {
    for name in ["kube-scheduler", "kube-controller-manager"] {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}");
        let lease = until(&format!("somebody leads as {name}"), 30, async || {
            let lease = place.api.get(&path).await?;
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            ensure!(!holder.is_empty(), "nobody holds it");
            Ok(lease)
        })
        .await?;
        ensure!(lease["spec"]["leaseDurationSeconds"] == 15, "{name}: {}", lease["spec"]);
        until(&format!("the lease {name} is renewed"), 10, async || {
            let renewed = place.api.get(&path).await?;
            ensure!(renewed["spec"]["renewTime"] != lease["spec"]["renewTime"], "not yet");
            ensure!(renewed["spec"]["holderIdentity"] == lease["spec"]["holderIdentity"], "the leader changed");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

pub(crate) async fn a_namespace_gets_its_account_and_authority(place: Place) -> Result<()> {
    let path = place.core("configmaps/kube-root-ca.crt");
    let map = until("the authority is published", 30, async || place.api.get(&path).await).await?;
    let bundle = map["data"]["ca.crt"].as_str().unwrap_or_default();
    ensure!(bundle.contains("BEGIN CERTIFICATE"), "kube-root-ca.crt holds {bundle:?}");
    let account = place.core("serviceaccounts/default");
    let uid = place.api.get(&account).await?["metadata"]["uid"].clone();
    place.api.delete(&account, &serde_json::json!({})).await?;
    until("a deleted account is made again", 30, async || {
        ensure!(place.api.get(&account).await?["metadata"]["uid"] != uid, "it is the old one");
        Ok(())
    })
    .await
}
