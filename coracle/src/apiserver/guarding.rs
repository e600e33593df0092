//! What may be put in front of the API and its store by flags named as upstream's: audit, encryption at rest, foreign
//! identities, other authorizers.

use ::vcluster_apiserver::audit::batch::{Batches, Batching};
use ::vcluster_apiserver::audit::log::{Log, Output, Rotation};
use ::vcluster_apiserver::audit::policy::Policy;
use ::vcluster_apiserver::audit::webhook::Webhook;
use ::vcluster_apiserver::audit::{Audit, Sink};
use ::vcluster_apiserver::authn::TokenAuthenticator;
use ::vcluster_apiserver::authn::configuration::{Anonymous, Configuration};
use ::vcluster_apiserver::authn::oidc::{Discovered, Oidc};
use ::vcluster_apiserver::authn::webhook::TokenWebhook;
use ::vcluster_apiserver::authz::Authorizer;
use ::vcluster_apiserver::authz::always::Always;
use ::vcluster_apiserver::authz::configuration::{self as authorization, Kind};
use ::vcluster_apiserver::authz::union::Union;
use ::vcluster_apiserver::authz::webhook::AccessWebhook;
use ::vcluster_apiserver::encryption::Encrypted;
use ::vcluster_apiserver::encryption::config::Encryption;
use ::vcluster_apiserver::outbound::Endpoint;
use ::vcluster_apiserver::pki::pem;
use anyhow::Context as _;
use apimachinery::clock::Clock;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Guards of the API")]
#[group(skip)]
pub struct Args {
    /// What is audited; metadata of everything when only a place for events is given
    #[arg(long, value_name = "FILE")]
    audit_policy_file: Option<PathBuf>,
    /// Where audit events are written, a line each; - is the standard output
    #[arg(long, value_name = "FILE")]
    audit_log_path: Option<PathBuf>,
    /// How many days old audit logs are kept; 0 is for ever
    #[arg(long, default_value_t = 0)]
    audit_log_maxage: u32,
    /// How many old audit logs are kept; 0 is all
    #[arg(long, default_value_t = 0)]
    audit_log_maxbackup: usize,
    /// At how many megabytes an audit log is exchanged; 0 is never
    #[arg(long, default_value_t = 100)]
    audit_log_maxsize: u64,
    /// A kubeconfig of the server that audit events are posted to
    #[arg(long, value_name = "FILE")]
    audit_webhook_config_file: Option<PathBuf>,
    /// Which resources are encrypted in the store, and how
    #[arg(long, value_name = "FILE")]
    encryption_provider_config: Option<PathBuf>,
    /// Issuers of identities, and where nobody needs one
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// A kubeconfig of the server that reviews tokens
    #[arg(long, value_name = "FILE")]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// Who decides what is allowed, in order; the node authorizer and RBAC when it is not given
    #[arg(long, value_name = "FILE")]
    authorization_config: Option<PathBuf>,
    /// Authorities of front proxies, whose word about their users is believed
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that a front proxy's certificate may have; any when none is given
    #[arg(long, value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,
    /// How many seats the server has for requests at once
    #[arg(long, default_value_t = ::vcluster_apiserver::flowcontrol::SEATS)]
    pub max_requests_inflight: usize,
}

/// Who comes with which tokens, and who with none.
pub struct Identities {
    pub tokens: Vec<Arc<dyn TokenAuthenticator>>,
    pub anonymous: Anonymous,
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn endpoint(path: &Path) -> anyhow::Result<Endpoint> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    Endpoint::from_kubeconfig(&read(path)?, folder).with_context(|| format!("{} cannot be used", path.display()))
}

impl Args {
    /// Puts encryption over a store, where it is asked for, and writes again what an older key protects.
    pub async fn encrypted(&self, store: Arc<dyn Storage>) -> anyhow::Result<Arc<dyn Storage>> {
        let Some(path) = &self.encryption_provider_config else { return Ok(store) };
        let encryption =
            Encryption::parse(&read(path)?).with_context(|| format!("{} cannot be used", path.display()))?;
        let store = Encrypted::new(store, encryption);
        let count = store.rewrite().await.context("the store cannot be encrypted")?;
        if count > 0 {
            tracing::info!(count, "objects were written again with the present key");
        }
        Ok(Arc::new(store))
    }

    /// The audit; none where events have no place to go. Needs a runtime for the webhook.
    pub fn audit(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Arc<Audit>>> {
        let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
        match &self.audit_log_path {
            Some(path) if path.as_os_str() == "-" => sinks.push(Arc::new(Output)),
            Some(path) => {
                let rotation = Rotation {
                    megabytes: self.audit_log_maxsize,
                    backups: self.audit_log_maxbackup,
                    days: self.audit_log_maxage,
                };
                let log = Log::open(path, rotation, clock.clone());
                sinks.push(Arc::new(log.with_context(|| format!("cannot write {}", path.display()))?));
            }
            None => {}
        }
        if let Some(path) = &self.audit_webhook_config_file {
            sinks.push(Arc::new(Batches::start(Arc::new(Webhook(endpoint(path)?)), Batching::default())));
        }
        if sinks.is_empty() {
            return Ok(None);
        }
        let policy = match &self.audit_policy_file {
            Some(path) => Policy::parse(&read(path)?).with_context(|| format!("{} cannot be used", path.display()))?,
            None => Policy::metadata(),
        };
        Ok(Some(Arc::new(Audit::new(policy, sinks, clock.clone()))))
    }

    /// `own`: the issuers of service account tokens.
    pub fn identities(&self, own: &[String], clock: &Arc<dyn Clock>) -> anyhow::Result<Identities> {
        let configuration = match &self.authentication_config {
            Some(path) => {
                let parsed = Configuration::parse(&read(path)?, own);
                parsed.with_context(|| format!("{} cannot be used", path.display()))?
            }
            None => Configuration::default(),
        };
        let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
        for jwt in configuration.issuers {
            let keys = Arc::new(Discovered::new(&jwt));
            tokens.push(Arc::new(Oidc::new(jwt, keys, clock.clone())));
        }
        if let Some(path) = &self.authentication_token_webhook_config_file {
            tokens.push(Arc::new(TokenWebhook::new(endpoint(path)?, Duration::from_mins(2))));
        }
        let everywhere = Anonymous { enabled: true, paths: Vec::new() };
        Ok(Identities { tokens, anonymous: configuration.anonymous.unwrap_or(everywhere) })
    }

    /// `node` and `rbac` in the order that is asked for, with what else is.
    pub fn authorizer(
        &self,
        node: Arc<dyn Authorizer>,
        rbac: Arc<dyn Authorizer>,
    ) -> anyhow::Result<Arc<dyn Authorizer>> {
        let kinds = match &self.authorization_config {
            Some(path) => {
                let parsed = authorization::parse(&read(path)?);
                parsed.with_context(|| format!("{} cannot be used", path.display()))?
            }
            None => vec![Kind::Node, Kind::Rbac],
        };
        let mut authorizers: Vec<Arc<dyn Authorizer>> = Vec::new();
        for kind in kinds {
            authorizers.push(match kind {
                Kind::Node => node.clone(),
                Kind::Rbac => rbac.clone(),
                Kind::AlwaysAllow => Arc::new(Always::allow()),
                Kind::AlwaysDeny => Arc::new(Always::deny()),
                Kind::Webhook(hook) => Arc::new(AccessWebhook::new(
                    endpoint(&hook.kubeconfig)?,
                    hook.timeout,
                    hook.authorized,
                    hook.unauthorized,
                    hook.deny_on_failure,
                )),
            });
        }
        Ok(Arc::new(Union::new(authorizers)))
    }

    /// Authorities of front proxies, and the names that those may have; no authorities where there are no proxies.
    pub fn front_proxy(&self) -> anyhow::Result<(Vec<CertificateDer<'static>>, Vec<String>)> {
        let Some(path) = &self.requestheader_client_ca_file else { return Ok((Vec::new(), Vec::new())) };
        let authorities =
            pem::certificates(&read(path)?).with_context(|| format!("{} cannot be used", path.display()))?;
        Ok((authorities, self.requestheader_allowed_names.clone()))
    }
}
