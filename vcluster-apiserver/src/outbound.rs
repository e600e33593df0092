//! Requests to the servers that an administrator names: webhooks for tokens, access and audit, and issuers of identities.
//!
//! One connection is kept while it is of use. Answers are read up to a limit, and redirects are not followed: what is
//! asked must not lead elsewhere.

use crate::pki::pem;
use crate::pki::tls::provider;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use schema::configuration;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

/// More than any review or key set is long.
const LIMIT: usize = 4 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{url} is no address of a server: {why}")]
    Address { url: String, why: &'static str },
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    #[error("certificates for {url} cannot be used: {why}")]
    Certificates { url: String, why: String },
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: String, why: String },
    #[error("{url} did not answer within {0:?}", .within)]
    Slow { url: String, within: Duration },
}

/// Whose certificates a server may show.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// The machine's authorities.
    #[default]
    System,
    /// A bundle, PEM.
    Bundle(String),
}

/// A server, and how to speak with it.
pub struct Endpoint {
    url: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    authorization: Option<HeaderValue>,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn roots(url: &str, trust: &Trust) -> Result<RootCertStore, Error> {
    let unusable = |why: String| Error::Certificates { url: url.to_owned(), why };
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Bundle(text) => {
            for certificate in pem::certificates(text).map_err(|e| unusable(e.to_string()))? {
                roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
            }
        }
        Trust::System => {
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(unusable("this machine knows no authorities; name one".to_owned()));
            }
        }
    }
    Ok(roots)
}

impl Endpoint {
    pub fn new(url: &str, trust: &Trust) -> Result<Self, Error> {
        Self::with_identity(url, trust, None, None)
    }

    fn with_identity(
        url: &str,
        trust: &Trust,
        identity: Option<Identity>,
        server_name: Option<&str>,
    ) -> Result<Self, Error> {
        let wrong = |why| Error::Address { url: url.to_owned(), why };
        let parsed: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let host = parsed.host().ok_or_else(|| wrong("it names no host"))?.trim_matches(['[', ']']).to_owned();
        let tls = match parsed.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let unusable = |why: String| Error::Certificates { url: url.to_owned(), why };
                let builder = ClientConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()
                    .map_err(|e| unusable(e.to_string()))?
                    .with_root_certificates(roots(url, trust)?);
                let config = match identity {
                    Some((chain, key)) => {
                        builder.with_client_auth_cert(chain, key).map_err(|e| unusable(e.to_string()))?
                    }
                    None => builder.with_no_client_auth(),
                };
                let name = server_name.unwrap_or(&host).to_owned();
                let name = ServerName::try_from(name).map_err(|_| wrong("its host is no name"))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            _ => return Err(wrong("it is neither http nor https")),
        };
        Ok(Self { url: parsed, tls, authorization: None, connection: Mutex::default() })
    }

    /// The server of a kubeconfig's current context. Files that it names are relative to `folder`.
    pub fn from_kubeconfig(text: &str, folder: &Path) -> Result<Self, Error> {
        let config = configuration::tree(text).map_err(|e| Error::Kubeconfig(e.to_string()))?;
        let config: Kubeconfig = serde_json::from_value(config).map_err(|e| Error::Kubeconfig(e.to_string()))?;
        let missing = |what: &str| Error::Kubeconfig(format!("{what} is missing"));
        let context = config.contexts.into_iter().find(|c| c.name == config.current_context);
        let context = context.ok_or_else(|| missing("the current context"))?.context;
        let cluster = config.clusters.into_iter().find(|c| c.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("the context's cluster"))?.cluster;
        let user = config.users.into_iter().find(|u| u.name == context.user).map(|u| u.user).unwrap_or_default();
        if cluster.insecure_skip_tls_verify {
            return Err(Error::Kubeconfig("insecure-skip-tls-verify is not supported".to_owned()));
        }
        let read = |data: &str, file: &str| -> Result<Option<String>, Error> {
            if !data.is_empty() {
                let bytes = STANDARD.decode(data.trim()).map_err(|e| Error::Kubeconfig(e.to_string()))?;
                return String::from_utf8(bytes).map(Some).map_err(|e| Error::Kubeconfig(e.to_string()));
            }
            if file.is_empty() {
                return Ok(None);
            }
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path);
            text.map(Some).map_err(|e| Error::Kubeconfig(format!("{}: {e}", path.display())))
        };
        let bundle = read(&cluster.certificate_authority_data, &cluster.certificate_authority)?;
        let chain = read(&user.client_certificate_data, &user.client_certificate)?;
        let key = read(&user.client_key_data, &user.client_key)?;
        let identity = match chain.zip(key) {
            Some((chain, key)) => {
                let chain = pem::certificates(&chain).map_err(|e| Error::Kubeconfig(e.to_string()))?;
                let key =
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| Error::Kubeconfig(e.to_string()))?;
                Some((chain, key))
            }
            None => None,
        };
        let trust = bundle.map_or(Trust::System, Trust::Bundle);
        let name = Some(cluster.tls_server_name.as_str()).filter(|n| !n.is_empty());
        let mut endpoint = Self::with_identity(&cluster.server, &trust, identity, name)?;
        let token = read("", &user.token_file)?.unwrap_or(user.token);
        if !token.trim().is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            endpoint.authorization = Some(value.map_err(|e| Error::Kubeconfig(e.to_string()))?);
        }
        Ok(endpoint)
    }

    /// Posts JSON to the server's own URL.
    pub async fn post(&self, body: Bytes, within: Duration) -> Result<(StatusCode, Bytes), Error> {
        self.send(Method::POST, body, within).await
    }

    /// Gets the server's own URL.
    pub async fn get(&self, within: Duration) -> Result<(StatusCode, Bytes), Error> {
        self.send(Method::GET, Bytes::new(), within).await
    }

    async fn send(&self, method: Method, body: Bytes, within: Duration) -> Result<(StatusCode, Bytes), Error> {
        match tokio::time::timeout(within, self.exchange(&method, &body)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Slow { url: self.url.to_string(), within }),
        }
    }

    async fn exchange(&self, method: &Method, body: &Bytes) -> Result<(StatusCode, Bytes), Error> {
        let kept = self.connection.lock().await.take().filter(|c| !c.is_closed());
        let kept_one = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match self.over(connection, method, body).await {
            // The server may have closed what was kept just now; that says nothing about the request.
            Err(_) if kept_one => self.over(self.connect().await?, method, body).await,
            other => other,
        }
    }

    async fn over(
        &self,
        mut connection: SendRequest<Full<Bytes>>,
        method: &Method,
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), Error> {
        let unreachable = |why: String| Error::Unreachable { url: self.url.to_string(), why };
        let target = self.url.path_and_query().map_or("/", PathAndQuery::as_str);
        let host = self.url.authority().map(Authority::as_str).unwrap_or_default();
        let mut request =
            Request::builder().method(method).uri(target).header(HOST, host).header(ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(body.clone())).map_err(|e| unreachable(e.to_string()))?;
        connection.ready().await.map_err(|e| unreachable(e.to_string()))?;
        let response = connection.send_request(request).await.map_err(|e| unreachable(e.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LIMIT).collect().await.map_err(|e| unreachable(e.to_string()))?;
        *self.connection.lock().await = Some(connection);
        Ok((status, body.to_bytes()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let unreachable = |why: String| Error::Unreachable { url: self.url.to_string(), why };
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await.map_err(|e| unreachable(e.to_string()))?;
        let _ = stream.set_nodelay(true);
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(|e| unreachable(e.to_string()))?;
                speak(TokioIo::new(stream)).await.map_err(|e| unreachable(e.to_string()))
            }
            None => speak(TokioIo::new(stream)).await.map_err(|e| unreachable(e.to_string())),
        }
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, hyper::Error>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a webhook ended");
        }
    });
    Ok(sender)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    certificate_authority: String,
    #[serde(default)]
    certificate_authority_data: String,
    #[serde(default)]
    tls_server_name: String,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use hyper::service::service_fn;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    /// A server of plain HTTP that answers with what `answer` makes of path and body; its URL.
    pub async fn server(
        answer: impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static,
    ) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let path = request.uri().path().to_owned();
                        let body = request.into_body().collect().await?.to_bytes();
                        let (code, text) = answer(&path, &body);
                        let mut response = http::Response::new(Full::new(Bytes::from(text)));
                        *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
                        Ok::<_, hyper::Error>(response)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(url)
    }

    #[tokio::test]
    async fn requests_are_answered_over_a_kept_connection() {
        let url = server(|path, body| (201, format!("{path} {}", body.len()))).await.unwrap();
        let endpoint = Endpoint::new(&format!("{url}/hook?x=1"), &Trust::System).unwrap();
        for _ in 0..3 {
            let (code, body) = endpoint.post(Bytes::from("abc"), Duration::from_secs(5)).await.unwrap();
            assert_eq!((code.as_u16(), &*body), (201, &b"/hook 3"[..]));
        }
        assert!(endpoint.connection.lock().await.is_some());
    }

    #[test]
    fn a_kubeconfig_names_server_authority_and_credentials() {
        let config = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n\
            clusters: [{name: k, cluster: {server: 'http://hook.example:8080/authorize'}}]\nusers: [{name: u, user: {token: t}}]\n";
        let endpoint = Endpoint::from_kubeconfig(config, Path::new("/")).unwrap();
        assert_eq!(endpoint.url, "http://hook.example:8080/authorize");
        assert_eq!(endpoint.authorization.unwrap(), "Bearer t");
        for wrong in [
            "current-context: c".to_owned(),
            config.replace("http:", "ftp:"),
            config.replace("{server", "{insecure-skip-tls-verify: true, server"),
            config.replace("http:", "https:").replace("{server", "{certificate-authority-data: '!', server"),
            config.replace("http:", "https:").replace("{server", "{certificate-authority: /nowhere, server"),
        ] {
            assert!(Endpoint::from_kubeconfig(&wrong, Path::new("/")).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_a_kubeconfig_panic(text in "\\PC{0,200}") {
            let _ = Endpoint::from_kubeconfig(&text, Path::new("/nowhere"));
        }
    }
}
