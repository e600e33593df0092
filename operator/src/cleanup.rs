//! What happens before a TenantCluster may go: its control plane first, then everything that was made for it.

use crate::api::TENANT_LABEL;
use crate::apply::Error;
use crate::desired::rbac::{cluster_binding_name, cluster_binding_resource};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PropagationPolicy};
use kube::{Api, Client};

/// Takes the next steps of a removal; `true` once nothing is left on the host.
///
/// The control plane pod goes first: while it runs, its syncer would make copies again.
pub async fn clean(client: &Client, namespace: &str, tenant: &str) -> Result<bool, Error> {
    let of = |resource: &ApiResource| Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
    let sets = of(&ApiResource::erase::<StatefulSet>(&()));
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    if exists(sets.delete(tenant, &foreground).await, "StatefulSet", tenant)? {
        return Ok(false);
    }
    let pods = of(&ApiResource::erase::<Pod>(&()));
    let control_plane = format!("{tenant}-0");
    let running =
        pods.get_metadata_opt(&control_plane).await.map_err(Error::host("look for", "Pod", &control_plane))?;
    if running.is_some() {
        return Ok(false);
    }
    let kinds = [
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<EndpointSlice>(&()),
        ApiResource::erase::<Endpoints>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
    ];
    let mut left = 0;
    for kind in kinds {
        left += remove(&of(&kind), &kind.kind, tenant).await?;
    }
    let bindings: Api<DynamicObject> = Api::all_with(client.clone(), &cluster_binding_resource());
    let binding = cluster_binding_name(namespace, tenant);
    left +=
        usize::from(exists(bindings.delete(&binding, &DeleteParams::default()).await, "ClusterRoleBinding", &binding)?);
    Ok(left == 0)
}

/// Asks for the deletion of every object of a kind that carries the tenant's label; how many there were.
async fn remove(api: &Api<DynamicObject>, kind: &str, tenant: &str) -> Result<usize, Error> {
    let list = ListParams::default().labels(&format!("{TENANT_LABEL}={tenant}"));
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
