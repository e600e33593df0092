//! `coracle tenant`: a whole cluster in one process, with its pods on the host.
//!
//! Start order is data order: the store, the API over it, then everything that is a client of that API. Nothing waits
//! for a timer. The parts reach the API without sockets; only the host and outside clients are reached through them.

mod connector;
mod host;
mod report;
mod service_addresses;

use crate::apiserver::credentials::KeyHolder;
use crate::apiserver::{self, Parts, client, loopback, pki, source::CacheSource};
use anyhow::Context as _;
use apimachinery::clock::{Clock, Rng, SeededRng, SystemClock};
use host::Host;
use informer::Informers;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vcluster_apiserver::authn::chain::with_authenticated_group;
use vcluster_apiserver::authn::user::service_account;
use vcluster_apiserver::request::UserInfo;
use vcluster_apiserver::server::Server;
use vcluster_apiserver::server::bootstrap::Endpoint;
use vcluster_apiserver::upkeep;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The name of the tenant: its Service and its TenantCluster have it too
    #[arg(long)]
    pub name: String,
    /// The host namespace of the tenant
    #[arg(long)]
    pub namespace: String,
    /// Where the store is kept
    #[arg(long, default_value = "/var/lib/coracle")]
    pub data_dir: PathBuf,
    /// Where ca.crt, ca.key and sa.key are
    #[arg(long, default_value = "/etc/coracle/pki")]
    pub pki_dir: PathBuf,
    /// The domain of the tenant's services
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Another name or address for the server's certificate
    #[arg(long = "extra-name")]
    pub extra_names: Vec<String>,
    /// A label that a host node must have to be seen by the tenant, KEY=VALUE
    #[arg(long = "node-selector")]
    pub node_selector: Vec<String>,
    /// Where the API is served
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where DNS is served
    #[arg(long, default_value = "0.0.0.0:1053")]
    pub dns_listen: SocketAddr,
    /// The name servers for everything outside the cluster domain
    #[arg(long, default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    #[command(flatten)]
    pub guarding: apiserver::guarding::Args,
    #[arg(long, env = "POD_UID", default_value = "", hide = true)]
    pub pod_uid: String,
    #[arg(long, env = "POD_IP", default_value = "127.0.0.1", hide = true)]
    pub pod_ip: IpAddr,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::from_entropy());
        let stop = CancellationToken::new();
        let (cache, host) = tokio::try_join!(apiserver::open(&self.data_dir, &self.guarding), Host::find(&self))?;
        let keys = pki::Keys::load(&self.pki_dir)?;
        let ca_bundle = keys.authority.certificate_pem();
        let credentials = Arc::new(KeyHolder::new(&keys)?);
        let proxies = self.guarding.front_proxy()?.0;
        let tls = keys.tls(host.certificate_names(&self), &proxies, clock.clone())?;
        let listener =
            TcpListener::bind(self.listen).await.with_context(|| format!("cannot listen on {}", self.listen))?;

        let syncer_config = host.syncer_config(&self, &ca_bundle);
        let (services, releases) = syncer::HostServices::new(syncer_config.clone(), host.client.clone(), clock.clone());
        let streams = syncer::HostStreams::new(syncer_config.clone(), host.client.clone());
        let server = apiserver::build(Parts {
            keys,
            cache: cache.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            connector: Arc::new(connector::HostConnector(streams)),
            addresses: Arc::new(service_addresses::HostAddresses(services)),
            endpoint: Endpoint {
                service: host.address,
                addresses: vec![self.pod_ip],
                port: self.listen.port(),
                service_cidr: host.service_range(),
            },
            cluster_domain: self.cluster_domain.clone(),
            guarding: self.guarding.clone(),
            compaction: upkeep::INTERVAL,
        })
        .await?;
        host.ensure_dns_service(&client(&server, loopback())).await?;

        let informers = Informers::new(Arc::new(CacheSource(cache)));
        let shared = Shared { args: self, server: server.clone(), informers, clock, rng, stop: stop.clone() };
        let mut parts = tokio::task::JoinSet::new();
        let health = report::Parts::default();
        parts.spawn(shared.clone().controllers(ca_bundle, credentials, health.controllers.clone()));
        parts.spawn(shared.clone().scheduler(health.scheduler.clone()));
        parts.spawn(shared.clone().dns(health.dns.clone()));
        parts.spawn(shared.clone().syncer(syncer_config, host.clone(), releases, health.syncer.clone()));
        parts.spawn(report::run(shared.clone(), host, health));
        let served = server.serve(listener, tls, async {
            tokio::select! {
                () = crate::operator::terminated() => {}
                // A part that ends takes the process with it: the kubelet starts all of it again.
                Some(ended) = parts.join_next() => tracing::error!(?ended, "a part of the control plane ended"),
            }
            stop.cancel();
        });
        served.await.context("the listener failed")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What every part is made from.
#[derive(Clone)]
pub(crate) struct Shared {
    args: Args,
    server: Server,
    informers: Informers,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    stop: CancellationToken,
}

impl Shared {
    async fn controllers(self, ca_bundle: String, credentials: Arc<KeyHolder>, health: controllers::Health) {
        let server = self.server.clone();
        let deps = controllers::Deps {
            informers: self.informers,
            clients: Arc::new(move |account| {
                let user = if account.contains(':') {
                    UserInfo { name: account.to_owned(), ..UserInfo::default() }
                } else {
                    service_account("kube-system", account, "")
                };
                client(&server, with_authenticated_group(user))
            }),
            clock: self.clock,
            rng: self.rng,
            stop: self.stop,
            ca_bundle,
            health,
            credentials: Some(credentials),
            cloud: None,
        };
        // The syncer binds what the host provides.
        let config = controllers::Config { mirror_annotation: Some(syncer::marks::HOST_STATE), ..Default::default() };
        controllers::run(config, deps).await;
    }

    async fn scheduler(self, healthy: Arc<AtomicBool>) {
        let user = UserInfo {
            name: "system:kube-scheduler".to_owned(),
            groups: vec!["system:authenticated".to_owned()],
            ..Default::default()
        };
        let deps = scheduler::Deps {
            client: client(&self.server, user),
            informers: self.informers,
            clock: self.clock,
            rng: self.rng,
            cancel: self.stop,
            health: healthy,
        };
        scheduler::run(scheduler::Config::default(), deps).await;
    }

    async fn dns(self, healthy: Arc<AtomicBool>) {
        let above = tokio::fs::read_to_string(&self.args.resolv_conf).await.unwrap_or_default();
        let config = dns::Config {
            listen: self.args.dns_listen,
            domain: self.args.cluster_domain.clone(),
            upstream: dns::forward::Upstream::from_resolv_conf(&above),
        };
        match dns::Server::bind(config, &self.informers).await {
            Ok(server) => {
                healthy.store(true, std::sync::atomic::Ordering::Release);
                tokio::select! {
                    () = server.run() => {}
                    () = self.stop.cancelled() => {}
                }
            }
            Err(error) => tracing::error!(%error, "DNS cannot be served"),
        }
    }

    async fn syncer(self, config: syncer::Config, host: Host, releases: syncer::Releases, health: Arc<AtomicBool>) {
        let deps = syncer::Deps {
            virt: client(&self.server, loopback()),
            virt_informers: self.informers,
            host: host.client.clone(),
            host_informers: host.informers(),
            clock: self.clock,
            releases: Some(releases),
            health,
            cancel: self.stop,
        };
        syncer::run(config, deps).await;
    }
}
