//! The loop: a TenantCluster or something of it changed -> observe -> desired -> apply -> one status write.

use crate::api::{FINALIZER, TENANT_LABEL, TenantCluster};
use crate::apply::{self, Error};
use crate::desired::secrets::{kubeconfig_name, pki_name};
use crate::desired::{self, MANAGER, Settings};
use crate::observed::Observed;
use crate::pki::{Authority, Client as AdminClient};
use crate::report::Report;
use crate::{cleanup, status};
use apimachinery::clock::Clock;
use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How soon a removal looks again at what is still going; nothing tells when the last copy of every kind is gone.
const REMOVAL_STEP: Duration = Duration::from_millis(500);

/// What the controller works with.
pub struct Context {
    pub client: Client,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub recorder: Recorder,
}

impl Context {
    pub fn new(client: Client, settings: Settings, clock: Arc<dyn Clock>, instance: Option<String>) -> Self {
        let reporter = Reporter { controller: MANAGER.into(), instance };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, settings, clock, recorder }
    }
}

/// Runs until `stop` resolves.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = context.client.clone();
    let (pods, maps) = (ApiResource::erase::<Pod>(&()), ApiResource::erase::<ConfigMap>(&()));
    let ours = watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let of_tenants = watcher::Config::default().labels(desired::CONTROL_PLANE_LABEL);
    let reports = watcher::Config::default().labels("coracle.dev/report=true");
    Controller::new(Api::<TenantCluster>::all(client.clone()), watcher::Config::default())
        .owns(Api::<StatefulSet>::all(client.clone()), ours.clone())
        .owns(Api::<Service>::all(client.clone()), ours.clone())
        .owns(Api::<Secret>::all(client.clone()), ours)
        .watches_with(Api::<DynamicObject>::all_with(client.clone(), &pods), pods, of_tenants, |pod| tenant_of(&pod))
        .watches_with(Api::<DynamicObject>::all_with(client, &maps), maps, reports, |report| tenant_of(&report))
        .graceful_shutdown_on(stop)
        .run(reconcile, on_error, context)
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "a TenantCluster was not reconciled");
            }
        })
        .await;
}

fn tenant_of(object: &DynamicObject) -> Option<ObjectRef<TenantCluster>> {
    let name = object.labels().get(TENANT_LABEL)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

fn on_error(tenant: Arc<TenantCluster>, error: &Error, _: Arc<Context>) -> Action {
    tracing::warn!(tenant = %tenant.name_any(), %error, reason = %error.reason(), "trying again soon");
    Action::requeue(Duration::from_secs(2))
}

async fn reconcile(tenant: Arc<TenantCluster>, context: Arc<Context>) -> Result<Action, Error> {
    let (name, namespace) = (tenant.name_any(), tenant.namespace().unwrap_or_default());
    let api: Api<TenantCluster> = Api::namespaced(context.client.clone(), &namespace);
    if tenant.metadata.deletion_timestamp.is_some() {
        return remove(&context, &api, &tenant, &namespace).await;
    }
    if !tenant.finalizers().iter().any(|f| f == FINALIZER) {
        set_finalizers(&api, &tenant, tenant.finalizers().iter().map(String::as_str).chain([FINALIZER])).await?;
    }
    let mut observed = Box::pin(observe(&context, &tenant, &namespace)).await?;
    if observed.foreign.is_empty() {
        // The pod comes last: it needs the rest to start.
        let (pod, rest): (Vec<_>, Vec<_>) = desired::objects(&observed, &context.settings)
            .into_iter()
            .partition(|desired| desired.resource.kind == "StatefulSet");
        let applied = try_join_all(rest.iter().map(|desired| apply::apply(&context.client, desired))).await?;
        // The Service's address is in the kubeconfig and the status: what the host just gave is used at once.
        let service = applied.iter().zip(&rest).find(|(_, desired)| desired.resource.kind == "Service");
        observed.service = service.and_then(|(applied, _)| applied.clone().try_parse().ok());
        try_join_all(pod.iter().map(|desired| apply::apply(&context.client, desired))).await?;
    }
    write_status(&context, &api, &observed, &name).await?;
    Ok(Action::await_change())
}

async fn remove(
    context: &Context,
    api: &Api<TenantCluster>,
    tenant: &TenantCluster,
    namespace: &str,
) -> Result<Action, Error> {
    if !tenant.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(Action::await_change());
    }
    if !cleanup::clean(&context.client, namespace, &tenant.name_any()).await? {
        return Ok(Action::requeue(REMOVAL_STEP));
    }
    let rest = tenant.finalizers().iter().map(String::as_str).filter(|f| *f != FINALIZER);
    set_finalizers(api, tenant, rest).await?;
    Ok(Action::await_change())
}

/// A merge patch under the revision that was read, so that nobody else's finalizer is lost.
async fn set_finalizers<'a>(
    api: &Api<TenantCluster>,
    tenant: &TenantCluster,
    finalizers: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let finalizers: Vec<&str> = finalizers.collect();
    let patch = json!({"metadata": {"resourceVersion": tenant.resource_version(), "finalizers": finalizers}});
    let name = tenant.name_any();
    match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::host("set the finalizers of", "TenantCluster", &name)(error)),
    }
}

async fn observe(context: &Context, tenant: &TenantCluster, namespace: &str) -> Result<Observed, Error> {
    let client = &context.client;
    let name = tenant.name_any();
    let mut observed = Observed { tenant: tenant.clone(), ..Observed::default() };
    let (pod, report) = (format!("{name}-0"), Report::name(&name));
    let (statefulset, service, pod, report) = tokio::try_join!(
        tree::<StatefulSet>(client, namespace, &name),
        get::<Service>(client, namespace, &name),
        tree::<Pod>(client, namespace, &pod),
        get::<ConfigMap>(client, namespace, &report),
    )?;
    (observed.statefulset, observed.service, observed.pod) = (statefulset, service, pod);
    observed.report = report.and_then(|map| serde_json::from_str(map.data?.get(crate::report::KEY)?).ok());
    keys(context, &mut observed, namespace, &name).await?;
    if observed.statefulset.is_none() || observed.service.is_none() {
        let uid = tenant.uid().unwrap_or_default();
        for desired in desired::objects(&observed, &context.settings) {
            if !desired.namespace.is_empty() && apply::is_foreign(client, &desired, &uid).await? {
                observed.foreign.push(format!("{} {}", desired.resource.kind, desired.name));
            }
        }
    }
    if tenant.spec.expose.type_ == crate::api::ExposeType::NodePort {
        observed.node_address = node_address(client).await?;
    }
    if observed.current_report().is_none() {
        observed.claim = get::<PersistentVolumeClaim>(client, namespace, &format!("data-{name}-0")).await?;
        observed.storage_class_missing = missing_class(client, observed.claim.as_ref()).await?;
    }
    Ok(observed)
}

/// Reads the tenant's keys, or makes them; they are stored by the same apply as everything else.
async fn keys(context: &Context, observed: &mut Observed, namespace: &str, name: &str) -> Result<(), Error> {
    let year = i32::from(context.clock.now().to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC).year());
    let stored = get::<Secret>(&context.client, namespace, &pki_name(name)).await?.and_then(|secret| {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        Some(Authority { ca_cert: text("ca.crt")?, ca_key: text("ca.key")?, service_account_key: text("sa.key")? })
    });
    let authority = match stored {
        Some(authority) => Some(authority),
        None => Authority::generate(name, year).map_err(|error| tracing::error!(%error, name, "no keys")).ok(),
    };
    let kubeconfig = get::<Secret>(&context.client, namespace, &kubeconfig_name(name)).await?;
    let admin = kubeconfig.and_then(|secret| stored_admin(&secret, authority.as_ref()?));
    observed.admin = admin.or_else(|| authority.as_ref()?.admin(year).ok());
    observed.authority = authority;
    Ok(())
}

/// The administrator's certificate out of a kubeconfig that was written before, when it belongs to this authority.
fn stored_admin(secret: &Secret, authority: &Authority) -> Option<AdminClient> {
    let document: serde_json::Value = serde_json::from_slice(&secret.data.as_ref()?.get("value")?.0).ok()?;
    let pem = |value: &serde_json::Value| -> Option<String> {
        let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).ok()?;
        String::from_utf8(bytes.0).ok()
    };
    let ca = pem(&document["clusters"][0]["cluster"]["certificate-authority-data"])?;
    let user = &document["users"][0]["user"];
    let admin = AdminClient { cert: pem(&user["client-certificate-data"])?, key: pem(&user["client-key-data"])? };
    (ca == authority.ca_cert).then_some(admin)
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let kind = K::kind(&()).into_owned();
    Api::<K>::namespaced(client.clone(), namespace).get_opt(name).await.map_err(Error::host("read", &kind, name))
}

/// An object of a large kind, of which little is wanted.
async fn tree<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<DynamicObject>, Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    let resource = ApiResource::erase::<K>(&());
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    api.get_opt(name).await.map_err(Error::host("read", &resource.kind, name))
}

async fn node_address(client: &Client) -> Result<Option<String>, Error> {
    let resource = ApiResource::erase::<Node>(&());
    let nodes = Api::<DynamicObject>::all_with(client.clone(), &resource).list(&ListParams::default().limit(1)).await;
    let nodes = nodes.map_err(Error::host("list", "Node", ""))?;
    let mut addresses = nodes.items.iter().filter_map(|node| node.data["status"]["addresses"].as_array()).flatten();
    let internal = addresses.find(|address| address["type"] == "InternalIP");
    Ok(internal.and_then(|address| address["address"].as_str()).map(str::to_owned))
}

/// The class that a pending claim names, when the host does not have it.
async fn missing_class(client: &Client, claim: Option<&PersistentVolumeClaim>) -> Result<Option<String>, Error> {
    let Some(claim) = claim else { return Ok(None) };
    let pending = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Pending");
    let Some(class) = claim.spec.as_ref().and_then(|s| s.storage_class_name.clone()).filter(|_| pending) else {
        return Ok(None);
    };
    let found = Api::<StorageClass>::all(client.clone()).get_metadata_opt(&class).await;
    Ok(found.map_err(Error::host("read", "StorageClass", &class))?.is_none().then_some(class))
}

/// Writes the status when it differs, and an event for each condition that turned.
async fn write_status(
    context: &Context,
    api: &Api<TenantCluster>,
    observed: &Observed,
    name: &str,
) -> Result<(), Error> {
    let now = Time(context.clock.now());
    let new = status::status(observed, &now);
    let old = observed.tenant.status.clone().unwrap_or_default();
    if new == old {
        return Ok(());
    }
    let patch = json!({"apiVersion": "coracle.dev/v1alpha1", "kind": "TenantCluster", "status": new});
    api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await.map_err(Error::host(
        "write the status of",
        "TenantCluster",
        name,
    ))?;
    let turned = new.conditions.iter().filter(|condition| {
        let before = old.conditions.iter().find(|c| c.type_ == condition.type_);
        // A condition that is not true yet, whether known or not, is no transition worth an event.
        before.is_some_and(|b| b.status == "True") != (condition.status == "True")
    });
    let tenant = observed.tenant.object_ref(&());
    let events = turned.map(|condition| {
        let event = Event {
            type_: if condition.status == "False" { EventType::Warning } else { EventType::Normal },
            reason: format!("{}{}", condition.type_, if condition.status == "True" { "" } else { "Lost" }),
            note: Some(if condition.message.is_empty() { condition.reason.clone() } else { condition.message.clone() }),
            action: "Reconcile".into(),
            secondary: None,
        };
        let tenant = &tenant;
        async move {
            if let Err(error) = context.recorder.publish(&event, tenant).await {
                tracing::debug!(%error, name, "an event was not recorded");
            }
        }
    });
    join_all(events).await;
    Ok(())
}
