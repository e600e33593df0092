//! What happens before a TenantCluster may go: its control plane first, then everything that was made for it.

use crate::api::TENANT_LABEL;
use crate::apply::Error;
use crate::desired::rbac::{cluster_binding_name, cluster_binding_resource};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::{NamespaceResourceScope, Resource};
use kube::api::{DeleteParams, DynamicObject, ListParams, PropagationPolicy};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Takes the next steps of a removal; `true` once nothing is left on the host.
///
/// The control plane pod goes first: while it runs, its syncer would make copies again.
pub async fn clean(client: &Client, namespace: &str, tenant: &str) -> Result<bool, Error> {
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    if exists(sets.delete(tenant, &foreground).await, "StatefulSet", tenant)? {
        return Ok(false);
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let control_plane = format!("{tenant}-0");
    let running =
        pods.get_metadata_opt(&control_plane).await.map_err(Error::host("look for", "Pod", &control_plane))?;
    if running.is_some() {
        return Ok(false);
    }
    let mut left = remove::<Pod>(client, namespace, tenant).await?;
    left += remove::<Service>(client, namespace, tenant).await?;
    left += remove::<EndpointSlice>(client, namespace, tenant).await?;
    left += remove::<Endpoints>(client, namespace, tenant).await?;
    left += remove::<ConfigMap>(client, namespace, tenant).await?;
    left += remove::<Secret>(client, namespace, tenant).await?;
    left += remove::<PersistentVolumeClaim>(client, namespace, tenant).await?;
    let bindings: Api<DynamicObject> = Api::all_with(client.clone(), &cluster_binding_resource());
    let binding = cluster_binding_name(namespace, tenant);
    left +=
        usize::from(exists(bindings.delete(&binding, &DeleteParams::default()).await, "ClusterRoleBinding", &binding)?);
    Ok(left == 0)
}

/// Asks for the deletion of every object of a kind that carries the tenant's label; how many there were.
async fn remove<K>(client: &Client, namespace: &str, tenant: &str) -> Result<usize, Error>
where
    K: Resource<Scope = NamespaceResourceScope>
        + kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let list = ListParams::default().labels(&format!("{TENANT_LABEL}={tenant}"));
    let kind = <K as Resource>::KIND;
    let found = api.list_metadata(&list).await.map_err(Error::host("list", kind, tenant))?;
    if !found.items.is_empty() {
        api.delete_collection(&DeleteParams::background(), &list).await.map_err(Error::host("delete", kind, tenant))?;
    }
    Ok(found.items.len())
}

/// Whether the object of a deletion was still there.
fn exists<T>(answer: Result<T, kube::Error>, kind: &str, name: &str) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Error::host("delete", kind, name)(error)),
    }
}
