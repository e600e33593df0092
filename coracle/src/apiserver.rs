//! The API server joined with its store, its keys and its rules; and `coracle apiserver`, which runs just that.

pub mod credentials;
pub mod guarding;
pub mod pki;
pub mod source;

use ::vcluster_apiserver::admission::chain::{self as admission, Deps as AdmissionDeps};
use ::vcluster_apiserver::authn::bearer::Bearer;
use ::vcluster_apiserver::authn::bootstrap_token::BootstrapTokens;
use ::vcluster_apiserver::authn::chain::Chain as Authentication;
use ::vcluster_apiserver::authn::front_proxy::FrontProxy;
use ::vcluster_apiserver::authn::issuer::{self, Issuer};
use ::vcluster_apiserver::authn::service_account::ServiceAccountTokens;
use ::vcluster_apiserver::authn::x509::{ClientCertificates, Verifier};
use ::vcluster_apiserver::authn::{Authenticator, TokenAuthenticator};
use ::vcluster_apiserver::authz::Authorizer;
use ::vcluster_apiserver::authz::node::NodeAuthorizer;
use ::vcluster_apiserver::authz::rbac::Rbac;
use ::vcluster_apiserver::backend::Backend;
use ::vcluster_apiserver::bootstrap::rbac as bootstrap;
use ::vcluster_apiserver::flowcontrol::{self, FlowControl};
use ::vcluster_apiserver::proxy::{Connector, Unconnected};
use ::vcluster_apiserver::registry::addresses::{Local, Network, ServiceAddresses};
use ::vcluster_apiserver::registry::{Registry, builtin};
use ::vcluster_apiserver::request::UserInfo;
use ::vcluster_apiserver::reviews::specials::{Deps as ReviewDeps, specials};
use ::vcluster_apiserver::server::bootstrap::Endpoint;
use ::vcluster_apiserver::server::guards::Guards;
use ::vcluster_apiserver::server::health::Health;
use ::vcluster_apiserver::server::{Config, DEADLINE, IssuerDocuments, Server};
use ::vcluster_apiserver::upkeep;
use anyhow::Context as _;
use apimachinery::clock::{Clock, Rng, SeededRng, SystemClock};
use apimachinery::time::parse_go_duration;
use pki::Keys;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use storage::{Bounds, Cache, Sqlite, Storage};
use tokio::net::TcpListener;

/// What every joined server needs, wherever it runs.
pub struct Parts {
    pub keys: Keys,
    pub cache: Arc<Cache>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub connector: Arc<dyn Connector>,
    pub addresses: Arc<dyn ServiceAddresses>,
    pub endpoint: Endpoint,
    pub cluster_domain: String,
    pub guarding: guarding::Args,
    /// How long history is kept, at least; at most twice as long.
    pub compaction: Duration,
}

/// Opens the SQLite store in a folder and loads its watch cache.
pub async fn open(folder: &Path, guarding: &guarding::Args) -> anyhow::Result<Arc<Cache>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("state.db");
    let store = tokio::task::spawn_blocking({
        let path = path.clone();
        move || Sqlite::open(path)
    });
    let store: Arc<dyn Storage> =
        Arc::new(store.await?.with_context(|| format!("cannot open the store {}", path.display()))?);
    let store = guarding.encrypted(store).await?;
    Ok(Arc::new(Cache::start(store, Bounds::default()).await.context("cannot load the store")?))
}

/// Builds the server and brings up the objects that every cluster has.
pub async fn build(parts: Parts) -> anyhow::Result<Server> {
    let Parts { keys, cache, clock, rng, connector, addresses, endpoint, cluster_domain, guarding, compaction } = parts;
    let backend = Backend { storage: cache.clone() };
    // The policy must be there before the first request is judged by it.
    bootstrap::reconcile(&backend, clock.now(), &*rng).await.context("cannot write the bootstrap policy")?;
    flowcontrol::bootstrap::ensure(&backend, clock.now(), &*rng).await.context("cannot write the bootstrap levels")?;
    let flow = FlowControl::load(cache.clone(), clock.clone(), rng.clone(), guarding.max_requests_inflight).await;
    let (flow, configured) = flow.context("cannot read priority levels and flow schemas")?;
    tokio::spawn(flow.clone().run(configured));
    let (rbac, since) = Rbac::load(backend.clone()).await.context("cannot read roles and bindings")?;
    tokio::spawn(rbac.clone().run(since));
    let node_rules = bootstrap::rules_of("system:node");
    let node: Arc<dyn Authorizer> = Arc::new(NodeAuthorizer::new(backend.clone(), node_rules));
    let authorizer = guarding.authorizer(node, rbac.clone())?;

    let issuer_name = format!("https://kubernetes.default.svc.{cluster_domain}");
    let issuer = Arc::new(Issuer::new(issuer::Config {
        issuers: vec![issuer_name.clone()],
        audiences: vec![issuer_name.clone()],
        signing_key: keys.service_account,
        verifying_keys: Vec::new(),
    }));
    let identities = guarding.identities(std::slice::from_ref(&issuer_name), &clock)?;
    let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = vec![
        Arc::new(ServiceAccountTokens::new(issuer.clone(), backend.clone(), clock.clone())),
        Arc::new(BootstrapTokens::new(backend.clone(), clock.clone())),
    ];
    tokens.extend(identities.tokens);
    let bearer = Arc::new(Bearer::new(tokens));
    let mut schemes: Vec<Arc<dyn Authenticator>> = Vec::new();
    let (proxies, names) = guarding.front_proxy()?;
    if !proxies.is_empty() {
        schemes.push(Arc::new(FrontProxy::new(Verifier::new(proxies, clock.clone()), names)));
    }
    let certificates = ClientCertificates::new(vec![keys.authority.certificate().clone()], clock.clone());
    schemes.push(Arc::new(certificates));
    schemes.push(bearer.clone());
    let authenticator = Arc::new(Authentication::new(schemes, identities.anonymous.enabled));
    let paths = identities.anonymous.paths;
    let guards = Guards {
        flow: Some(flow),
        audit: guarding.audit(&clock)?,
        anonymous_paths: (!paths.is_empty()).then(|| paths.into()),
    };

    let deps = AdmissionDeps {
        authorizer: authorizer.clone(),
        rbac: Some(rbac.clone()),
        clock: clock.clone(),
        rng: rng.clone(),
    };
    let special = specials(&ReviewDeps {
        authorizer: authorizer.clone(),
        rbac,
        tokens: bearer,
        issuer: issuer.clone(),
        clock: clock.clone(),
    });
    let document = |value: serde_json::Value| bytes::Bytes::from(value.to_string());
    let config = Config {
        cache,
        registry: Arc::new(Registry::new(builtin::snapshot())),
        authenticator,
        authorizer,
        admission: admission::built_in(deps, Vec::new()),
        special,
        connector,
        addresses,
        clock: clock.clone(),
        rng,
        health: Arc::new(Health::new()),
        issuer: IssuerDocuments {
            configuration: document(issuer.discovery(&issuer_name)),
            keys: document(issuer.key_set()),
        },
        address: endpoint.address(),
        deadline: DEADLINE,
    };
    let server = Server::guarded_by(config, guards);
    server.bootstrap(&endpoint).await.context("cannot write the bootstrap objects")?;
    let published = server.publish_client_authority(&keys.authority.certificate_pem()).await;
    published.context("cannot publish the authority of client certificates")?;
    tokio::spawn(upkeep::run(server.cache(), clock, compaction));
    Ok(server)
}

/// A client of the server in this process, acting as `user`, through authorization and admission.
pub fn client(server: &Server, user: UserInfo) -> kube::Client {
    kube::Client::new(server.in_process(user), "default")
}

/// The identity of the parts that may do everything.
pub fn loopback() -> UserInfo {
    let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
    UserInfo { name: "system:apiserver".to_owned(), groups, ..UserInfo::default() }
}

/// Run only the API server, for other components to work against
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the store and, when they are not there yet, the keys and an administrator's kubeconfig are kept
    #[arg(long)]
    data_dir: PathBuf,
    /// Where TLS connections are accepted
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// The address that clients reach the server at
    #[arg(long, default_value = "127.0.0.1")]
    advertise: IpAddr,
    /// The range of Service addresses
    #[arg(long, default_value = "10.96.0.0/16")]
    service_cidr: ipnet::IpNet,
    /// The domain of services
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// How often history is cut off; a revision lives for one to two intervals
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = interval)]
    etcd_compaction_interval: Duration,
    #[command(flatten)]
    guarding: guarding::Args,
}

/// An interval as Go writes it, and no empty one.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_go_duration(text).map_err(|error| error.to_string())?;
    Duration::try_from(interval)
        .ok()
        .filter(|interval| !interval.is_zero())
        .ok_or("it must be longer than 0".to_owned())
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cache = open(&self.data_dir, &self.guarding).await?;
        let keys = Keys::load_or_generate(&self.data_dir, &*clock)?;
        let network = Network { service_cidr: self.service_cidr, node_ports: (30000, 32767) };
        let service = network.first().context("the service range has no address")?;
        let listener =
            TcpListener::bind(self.listen).await.with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let mut names = pki::service_names(&self.cluster_domain);
        names.extend([service.to_string(), self.advertise.to_string()]);
        let tls = keys.tls(names, &self.guarding.front_proxy()?.0, clock.clone())?;
        let server = format!("https://{}", SocketAddr::new(self.advertise, address.port()));
        keys.write_kubeconfig(&self.data_dir.join("admin.kubeconfig"), &server, &*clock)?;
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::from_entropy());
        let parts = Parts {
            keys,
            cache,
            clock,
            connector: Arc::new(Unconnected),
            addresses: Arc::new(Local { network, rng: rng.clone() }),
            rng,
            endpoint: Endpoint {
                service,
                addresses: vec![self.advertise],
                port: address.port(),
                service_cidr: self.service_cidr.to_string(),
            },
            cluster_domain: self.cluster_domain,
            guarding: self.guarding,
            compaction: self.etcd_compaction_interval,
        };
        let built = build(parts).await?;
        tracing::info!(%address, "serving");
        built.serve(listener, tls, crate::operator::terminated()).await.context("the listener failed")?;
        Ok(ExitCode::SUCCESS)
    }
}
