//! Starts the controllers: which there are, in one list.

use crate::api::Api;
use crate::controller::{Controller, Planned, Reconcile};
use crate::driver;
use crate::garbage_collector::GarbageCollector;
use crate::health::Health;
use crate::monitors::Monitors;
use crate::namespace::Namespaces;
use crate::recorder::Recorder;
use apimachinery::clock::{Clock, Rng};
use informer::Informers;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A client that acts as the service account of this name in `kube-system`.
pub type Clients = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// What can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Controllers, by upstream's names, that are not started.
    pub disabled: Vec<String>,
}

/// What the controllers are handed from outside.
#[derive(Clone)]
pub struct Deps {
    pub informers: Informers,
    pub clients: Clients,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// Ends everything.
    pub stop: CancellationToken,
    /// The PEM bundle that pods trust the API server by; published as `kube-root-ca.crt`.
    pub ca_bundle: String,
    pub health: Health,
}

/// Runs all controllers until `deps.stop`; returns when the last has finished its work. `deps.health` tells meanwhile.
pub async fn run(config: Config, deps: Deps) {
    let mut running = JoinSet::new();
    let monitors = Monitors::new(deps.informers.clone(), (deps.clients)("generic-garbage-collector"));
    for controller in controllers(&deps, &monitors) {
        let descriptor = controller.descriptor();
        if config.disabled.iter().any(|name| name == descriptor.name) {
            continue;
        }
        let client = (deps.clients)(descriptor.account);
        let recorder = Recorder::start(client.clone(), descriptor.component, deps.clock.clone());
        let api = Api::new(client, deps.informers.clone(), recorder);
        running.spawn(driver::run(controller, api, deps.health.entry(descriptor.name), deps.stop.clone()));
    }
    running.spawn(monitors.run(deps.stop.clone()));
    while running.join_next().await.is_some() {}
}

fn planned<C: Controller>(deps: &Deps, controller: C) -> Arc<dyn Reconcile> {
    Arc::new(Planned { controller, clock: deps.clock.clone() })
}

fn controllers(deps: &Deps, monitors: &Monitors) -> Vec<Arc<dyn Reconcile>> {
    let informers = &deps.informers;
    vec![
        Arc::new(Namespaces::new(informers, monitors, deps.clock.clone())),
        Arc::new(crate::resource_quota::Quotas::new(informers, monitors, deps.clock.clone())),
        Arc::new(GarbageCollector::new(monitors.clone())),
        planned(deps, crate::service_account::ServiceAccounts::new(informers)),
        planned(deps, crate::root_ca::RootCa::new(informers, deps.ca_bundle.clone())),
        planned(deps, crate::endpoints::EndpointsController::new(informers)),
        planned(deps, crate::endpoint_slice::EndpointSlices::new(informers)),
        planned(deps, crate::endpoint_slice_mirroring::Mirroring::new(informers)),
        planned(deps, crate::deployment::Deployments::new(informers)),
        planned(deps, crate::stateful_set::StatefulSets::new(informers)),
        planned(deps, crate::daemon_set::DaemonSets::new(informers)),
        planned(deps, crate::cron_job::CronJobs::new(informers)),
        planned(deps, crate::disruption::Disruption::new(informers)),
        planned(deps, crate::job::Jobs::new(informers)),
        planned(deps, crate::ttl_after_finished::TtlAfterFinished::new(informers)),
        planned(deps, crate::node_lifecycle::NodeLifecycle::new(informers)),
        planned(deps, crate::cluster_role_aggregation::Aggregation::new(informers)),
        planned(deps, crate::volume_protection::ClaimProtection::new(informers)),
        planned(deps, crate::volume_protection::VolumeProtection::new(informers)),
        planned(deps, crate::pod_gc::PodGc::new(informers, deps.clock.clone())),
        planned(deps, crate::taint_eviction::TaintEviction::new(informers)),
        planned(deps, crate::replica_set::Replicas::<k8s_openapi::api::apps::v1::ReplicaSet>::new(informers)),
        planned(
            deps,
            crate::replica_set::Replicas::<k8s_openapi::api::core::v1::ReplicationController>::new(informers),
        ),
    ]
}
