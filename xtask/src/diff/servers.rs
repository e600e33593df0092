//! The two servers that are compared: upstream's kube-apiserver over its own etcd, and `coracle apiserver`.
//!
//! Both run on free ports of this machine with their state in `target/diff`, and believe in the same keys, which
//! Coracle makes: one client certificate opens both. Whatever was started is ended when this goes out of scope.

use super::client::{Client, NAME};
use super::exchange::Request;
use super::side::Memory;
use crate::bench::upstream::free_ports;
use crate::host::Host;
use crate::shell::{cmd, quiet};
use crate::workspace;
use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `default/kubernetes` points to; it is never dialled.
const ADVERTISED: &str = "192.0.2.10";
const SERVICES: &str = "10.96.0.0/16";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// In the order of their end.
const COMPONENTS: [&str; 3] = ["kube-apiserver", "etcd", "coracle"];

/// The running servers, each with a client.
pub struct Servers {
    processes: Host,
    pub upstream: Client,
    pub coracle: Client,
    /// How other programs reach upstream's, then ours.
    pub access: [Access; 2],
}

/// How other programs reach a server, as its administrator.
pub struct Access {
    pub kubeconfig: PathBuf,
    pub port: u16,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for component in COMPONENTS {
            self.processes.stop(component);
        }
    }
}

/// Starts everything anew in `folder` and waits until both are ready.
pub async fn start(folder: &Path, program: Option<&Path>) -> Result<Servers> {
    let processes = Host::at(folder.join("servers"));
    for component in COMPONENTS {
        processes.stop(component);
    }
    if folder.join("servers").exists() {
        fs::remove_dir_all(folder.join("servers"))?;
    }
    processes.make_folders()?;
    let data = |name: &str| folder.join("servers").join(name);
    let ports: [u16; 4] = free_ports()?;

    let coracle = program.map_or_else(|| workspace::target().join("debug/coracle"), Path::to_path_buf);
    if !coracle.is_file() {
        bail!("{} is not there: build it with `cargo build -p coracle`", coracle.display());
    }
    let keys = data("coracle");
    let arguments = [
        format!("--data-dir={}", keys.display()),
        format!("--listen=127.0.0.1:{}", ports[0]),
        format!("--advertise={ADVERTISED}"),
        format!("--service-cidr={SERVICES}"),
    ];
    let program = [coracle.display().to_string(), "apiserver".to_owned()].into_iter().chain(arguments);
    processes.start("coracle", &[], &program.collect::<Vec<_>>())?;
    processes.wait("coracle", "made its keys", 30, || keys.join("admin.kubeconfig").is_file())?;

    let etcd = flags(
        "etcd",
        &[
            ("data-dir", data("etcd").display().to_string()),
            ("listen-client-urls", format!("http://127.0.0.1:{}", ports[1])),
            ("advertise-client-urls", format!("http://127.0.0.1:{}", ports[1])),
            ("listen-peer-urls", format!("http://127.0.0.1:{}", ports[2])),
            ("initial-advertise-peer-urls", format!("http://127.0.0.1:{}", ports[2])),
            ("initial-cluster", format!("default=http://127.0.0.1:{}", ports[2])),
            ("unsafe-no-fsync", "true".to_owned()),
            ("log-level", "warn".to_owned()),
        ],
    );
    processes.start("etcd", &[], &etcd)?;
    let file = |name: &str| keys.join(name).display().to_string();
    // Upstream takes the public half from a file of its own only.
    let public = ["pkey", "-pubout", "-in", &file("sa.key"), "-out", &file("sa.pub")];
    quiet(&mut cmd("openssl", public))?;
    let certificates = data("kube-apiserver");
    let apiserver = flags(
        "kube-apiserver",
        &[
            ("etcd-servers", format!("http://127.0.0.1:{}", ports[1])),
            ("bind-address", "127.0.0.1".to_owned()),
            ("secure-port", ports[3].to_string()),
            ("advertise-address", ADVERTISED.to_owned()),
            ("cert-dir", certificates.display().to_string()),
            ("service-cluster-ip-range", SERVICES.to_owned()),
            ("allow-privileged", "true".to_owned()),
            ("authorization-mode", "Node,RBAC".to_owned()),
            ("enable-admission-plugins", "NodeRestriction".to_owned()),
            ("client-ca-file", file("ca.crt")),
            ("service-account-issuer", ISSUER.to_owned()),
            ("service-account-key-file", file("sa.pub")),
            ("service-account-signing-key-file", file("sa.key")),
        ],
    );
    processes.start("kube-apiserver", &[], &apiserver)?;
    let serving = certificates.join("apiserver.crt");
    processes.wait("kube-apiserver", "made its certificate", 60, || serving.is_file())?;

    let mut servers = Servers {
        upstream: Client::new(ports[3], tls(&keys, &serving)?),
        coracle: Client::new(ports[0], tls(&keys, &keys.join("ca.crt"))?),
        access: [
            access(&keys, &data("upstream.kubeconfig"), ports[3], &serving)?,
            access(&keys, &data("coracle.kubeconfig"), ports[0], &keys.join("ca.crt"))?,
        ],
        processes,
    };
    for component in ["coracle", "kube-apiserver"] {
        servers.ready(component).await?;
    }
    Ok(servers)
}

impl Servers {
    async fn ready(&mut self, component: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let client = if component == "coracle" { &mut self.coracle } else { &mut self.upstream };
            let answer = client.send(&Request::new("GET", "/readyz"), &Memory::default()).await;
            let why = match answer {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > end || !self.processes.alive(component) {
                bail!("{component} does not become ready: {why}{}", self.processes.last_lines(component));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn flags(program: &str, pairs: &[(&str, String)]) -> Vec<String> {
    let path = workspace::upstream_bin().join(program).display().to_string();
    std::iter::once(path).chain(pairs.iter().map(|(name, value)| format!("--{name}={value}"))).collect()
}

/// TLS as the administrator whose kubeconfig Coracle wrote, trusting the last certificate of `authority` (a server that
/// signs for itself puts its authority there).
fn tls(keys: &Path, authority: &PathBuf) -> Result<rustls::ClientConfig> {
    let kubeconfig = fs::read(keys.join("admin.kubeconfig"))?;
    let (kubeconfig, _) = schema::yaml::from_yaml(&kubeconfig)?;
    let user = &kubeconfig["users"][0]["user"];
    let certificate = CertificateDer::from_pem_slice(&data(user, "client-certificate-data")?)?;
    let key = PrivateKeyDer::from_pem_slice(&data(user, "client-key-data")?)?;
    let mut roots = rustls::RootCertStore::empty();
    let authorities = CertificateDer::pem_file_iter(authority)?.collect::<Result<Vec<_>, _>>()?;
    roots.add(authorities.into_iter().next_back().context("the server has no certificate")?)?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key)?)
}

/// The administrator's kubeconfig for the server on `port`, written to `file`.
fn access(keys: &Path, file: &Path, port: u16, authority: &Path) -> Result<Access> {
    let (mut kubeconfig, _) = schema::yaml::from_yaml(&fs::read(keys.join("admin.kubeconfig"))?)?;
    kubeconfig["clusters"][0]["cluster"] = serde_json::json!({
        "server": format!("https://127.0.0.1:{port}"),
        "tls-server-name": NAME,
        "certificate-authority": authority,
    });
    fs::write(file, kubeconfig.to_string())?;
    Ok(Access { kubeconfig: file.to_path_buf(), port })
}

fn data(user: &Value, name: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let text = user[name].as_str().with_context(|| format!("the kubeconfig has no {name}"))?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}
