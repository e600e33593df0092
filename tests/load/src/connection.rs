//! Connections to the server, HTTP/1.1 over TLS, one request at a time. Nothing is retried.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A name that the certificates of API servers carry.
const NAME: &str = "kubernetes.default.svc";

#[derive(clap::Args)]
pub struct Keys {
    /// Where the server listens
    #[arg(long)]
    server: SocketAddr,
    /// Its authority, PEM
    #[arg(long)]
    authority: PathBuf,
    /// The client's certificate, PEM
    #[arg(long)]
    certificate: PathBuf,
    /// The client's key, PEM
    #[arg(long)]
    key: PathBuf,
}

pub struct Client {
    server: SocketAddr,
    tls: ClientConfig,
}

/// What one request asks for.
pub struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    pub accept: &'static str,
    pub body: Bytes,
}

impl<'a> Ask<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, accept: "application/json", body: Bytes::new() }
    }

    pub fn post(path: &'a str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path, accept: "application/json", body: body.into() }
    }

    pub fn put(path: &'a str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::PUT, path, accept: "application/json", body: body.into() }
    }

    fn message(self) -> Result<Request<Full<Bytes>>> {
        let mut message = Request::builder().method(self.method).uri(self.path).header("accept", self.accept);
        message = message.header("host", NAME).header("user-agent", "load/v1");
        if !self.body.is_empty() {
            message = message.header("content-type", "application/json");
        }
        Ok(message.body(Full::new(self.body))?)
    }
}

impl Client {
    pub fn new(keys: &Keys) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_file_iter(&keys.authority)? {
            roots.add(authority?)?;
        }
        let certificate = CertificateDer::from_pem_file(&keys.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&keys.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key)?;
        Ok(Self { server: keys.server, tls })
    }

    async fn connect(&self, protocol: &[u8]) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.server).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(NAME)?, stream).await?)
    }

    pub async fn http1(&self) -> Result<Http1> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect(b"http/1.1").await?)).await?;
        // Its end shows as an error of the next request.
        tokio::spawn(connection);
        Ok(Http1(sender))
    }

    /// Asks for an answer that goes on, and returns the connection once it has begun. What comes is sealed, and whoever reads
    /// no more than its length spares the machine the opening of it.
    pub async fn sealed(&self, path: &str) -> Result<TcpStream> {
        let mut stream = self.connect(b"http/1.1").await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\naccept: application/json\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
            ensure!(stream.read_buf(&mut head).await? > 0, "{path}: the connection ended");
        }
        let status = head.get(b"HTTP/1.1 ".len()..).unwrap_or_default();
        ensure!(status.starts_with(b"200"), "{path}: {}", String::from_utf8_lossy(&head));
        Ok(stream.into_inner().0)
    }
}

pub struct Http1(http1::SendRequest<Full<Bytes>>);

impl Http1 {
    /// A request whose answer goes on.
    pub async fn open(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>> {
        let path = ask.path.to_owned();
        self.0.ready().await?;
        let answer = self.0.send_request(ask.message()?).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer)
    }

    /// The body of a 2xx answer; every other answer is an error.
    pub async fn ask(&mut self, ask: Ask<'_>) -> Result<Bytes> {
        let path = ask.path.to_owned();
        self.0.ready().await?;
        let answer = self.0.send_request(ask.message()?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&body[..body.len().min(500)]));
        }
        Ok(body)
    }
}
