//! Starts the controllers: which there are, in one list.

use crate::api::Api;
use crate::certificates::approving::Approving;
use crate::certificates::signing::Signing;
use crate::cloud::CloudProvider;
use crate::controller::{Controller, Planned, Reconcile};
use crate::credentials::Credentials;
use crate::driver;
use crate::garbage_collector::GarbageCollector;
use crate::health::Health;
use crate::horizontal_pod_autoscaler::Autoscalers;
use crate::monitors::Monitors;
use crate::namespace::Namespaces;
use crate::recorder::Recorder;
use crate::service_account_token::ServiceAccountTokens;
use apimachinery::clock::{Clock, Rng};
use informer::Informers;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A client that acts as the service account of this name in `kube-system`, or as the user of this name if it has a colon.
pub type Clients = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// What can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Controllers, by upstream's names, that are not started.
    pub disabled: Vec<String>,
    /// Controllers of those that upstream does not start by default, that are.
    pub enabled: Vec<String>,
    /// The annotation on volumes and classes that another party keeps in step with a cluster below this one, and binds
    /// itself. Without it all volumes are this cluster's own.
    pub mirror_annotation: Option<&'static str>,
    /// Ranges that nodes get their blocks of pod addresses from, one for each family; none are given without it.
    pub pod_cidrs: Vec<String>,
    /// Ranges of Services, which blocks of nodes keep clear of.
    pub service_cidrs: Vec<String>,
}

/// Upstream's `isDisabledByDefault`.
const OFF_BY_DEFAULT: [&str; 2] = ["bootstrap-signer-controller", "token-cleaner-controller"];

impl Config {
    fn starts(&self, name: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|own| own == name);
        !names(&self.disabled) && (names(&self.enabled) || !OFF_BY_DEFAULT.contains(&name))
    }
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
    /// The holder of the cluster's keys. Without it certificates are not signed and tokens in Secrets not made.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// Who makes load balancers. Without it that is left to an external controller.
    pub cloud: Option<Arc<dyn CloudProvider>>,
}

/// Runs all controllers until `deps.stop`; returns when the last has finished its work. `deps.health` tells meanwhile.
pub async fn run(config: Config, deps: Deps) {
    let mut running = JoinSet::new();
    let monitors = Monitors::new(deps.informers.clone(), (deps.clients)("generic-garbage-collector"));
    for controller in controllers(&config, &deps, &monitors) {
        let descriptor = controller.descriptor();
        if !config.starts(descriptor.name) {
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

fn controllers(config: &Config, deps: &Deps, monitors: &Monitors) -> Vec<Arc<dyn Reconcile>> {
    let informers = &deps.informers;
    let mirror = config.mirror_annotation;
    let mut all: Vec<Arc<dyn Reconcile>> = vec![
        Arc::new(Autoscalers::new(informers, monitors, deps.clock.clone())),
        Arc::new(Approving::new(informers, deps.clock.clone())),
        planned(deps, crate::certificates::cleaner::Cleaner::new(informers)),
        planned(deps, crate::certificates::cleaner::PodRequestCleaner::new(informers)),
        planned(deps, crate::bootstrap_tokens::cleaner::TokenCleaner::new(informers)),
        planned(deps, crate::bootstrap_tokens::signer::Signer::new(informers)),
        planned(deps, crate::attach_detach::AttachDetach::new(informers, mirror)),
        planned(deps, crate::cluster_trust_bundle::TrustBundles::new(informers, deps.ca_bundle.clone())),
        Arc::new(crate::storage_version_migration::Migrations::new(informers, monitors, deps.clock.clone())),
        planned(deps, crate::resource_claim::ResourceClaims::new(informers)),
        planned(deps, crate::validating_admission_policy::PolicyStatus::new(informers)),
        planned(deps, crate::ephemeral_volume::EphemeralVolumes::new(informers)),
        planned(deps, crate::legacy_token_cleaner::LegacyTokenCleaner::new(informers)),
        planned(deps, crate::service_cidr::ServiceCidrs::new(informers)),
        planned(deps, crate::ttl::Ttl::new(informers)),
        planned(deps, crate::volume_binder::VolumeBinder::new(informers, mirror)),
        planned(deps, crate::volume_expander::VolumeExpander::new(informers, mirror)),
        planned(deps, crate::volume_protection::AttributesClassProtection::new(informers)),
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
        planned(deps, crate::volume_protection::ClaimProtection::new(informers, mirror)),
        planned(deps, crate::volume_protection::VolumeProtection::new(informers)),
        planned(deps, crate::pod_gc::PodGc::new(informers, deps.clock.clone())),
        planned(deps, crate::taint_eviction::TaintEviction::new(informers)),
        planned(deps, crate::replica_set::Replicas::<k8s_openapi::api::apps::v1::ReplicaSet>::new(informers)),
        planned(
            deps,
            crate::replica_set::Replicas::<k8s_openapi::api::core::v1::ReplicationController>::new(informers),
        ),
    ];
    if !config.pod_cidrs.is_empty() {
        let ipam = crate::node_ipam::NodeIpam::new(informers, &config.pod_cidrs, &config.service_cidrs);
        all.push(planned(deps, ipam));
    }
    if let Some(cloud) = &deps.cloud {
        all.push(Arc::new(crate::service_load_balancer::LoadBalancers::new(informers, cloud.clone())));
    }
    if let Some(credentials) = &deps.credentials {
        all.push(Arc::new(Signing::new(informers, credentials.clone(), deps.clock.clone())));
        all.push(Arc::new(ServiceAccountTokens::new(informers, deps.ca_bundle.clone(), credentials.clone())));
    }
    all
}
