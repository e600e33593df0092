//! A tenant's keys on disk: the authority and the key of service account tokens, as the operator's Secret holds them.

use anyhow::Context as _;
use apimachinery::clock::Clock;
use rustls::pki_types::CertificateDer;
use std::path::Path;
use std::sync::Arc;
use vcluster_apiserver::pki::authority::Authority;
use vcluster_apiserver::pki::key::PrivateKey;
use vcluster_apiserver::pki::kubeconfig::{Credentials, Kubeconfig};
use vcluster_apiserver::pki::tls::{ServingCertificate, server_config};

pub struct Keys {
    pub authority: Arc<Authority>,
    pub service_account: PrivateKey,
}

/// Names under which pods know the API server.
pub fn service_names(cluster_domain: &str) -> Vec<String> {
    let service = "kubernetes.default.svc";
    let names = ["kubernetes", "kubernetes.default", service, "localhost", "127.0.0.1"];
    names.into_iter().map(str::to_owned).chain([format!("{service}.{cluster_domain}")]).collect()
}

impl Keys {
    /// Reads `ca.crt`, `ca.key` and `sa.key` (PEM) from a folder.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let authority =
            Authority::from_pem(&read("ca.crt")?, &read("ca.key")?).context("the authority cannot be used")?;
        let service_account = PrivateKey::from_pem(&read("sa.key")?).context("sa.key cannot be used")?;
        Ok(Self { authority: Arc::new(authority), service_account })
    }

    /// The same, making keys in an empty folder.
    pub fn load_or_generate(folder: &Path, clock: &dyn Clock) -> anyhow::Result<Self> {
        if !folder.join("ca.crt").exists() {
            let authority = Authority::generate("kubernetes", clock.now())?;
            let service_account = PrivateKey::generate()?;
            private(&folder.join("ca.key"), &authority.key_pem())?;
            private(&folder.join("sa.key"), &service_account.to_pem())?;
            private(&folder.join("ca.crt"), &authority.certificate_pem())?;
        }
        Self::load(folder)
    }

    /// TLS that serves a certificate for `names` and asks clients for one of this authority, or of a front proxy's.
    pub fn tls(
        &self,
        names: Vec<String>,
        proxies: &[CertificateDer<'static>],
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let certificate = ServingCertificate::new(self.authority.clone(), names, clock)?;
        let mut authorities = vec![self.authority.certificate().clone()];
        authorities.extend_from_slice(proxies);
        Ok(Arc::new(server_config(Arc::new(certificate), &authorities)?))
    }

    pub fn write_kubeconfig(&self, path: &Path, server: &str, clock: &dyn Clock) -> anyhow::Result<()> {
        let lifetime = jiff::SignedDuration::from_hours(24 * 365);
        let issued = self.authority.issue_client("kubernetes-admin", &["system:masters"], lifetime, clock.now())?;
        let config = Kubeconfig {
            name: "coracle".to_owned(),
            server: server.to_owned(),
            authority: Some(self.authority.certificate_pem()),
            user: "kubernetes-admin".to_owned(),
            credentials: Credentials::Certificate { certificate: issued.certificate_pem(), key: issued.key.to_pem() },
            namespace: None,
        };
        private(path, &config.to_yaml())
    }
}

fn private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
