//! An HTTP/1.1 client over TLS for one server on this machine: one connection, one request at a time, nothing retried.
//!
//! Proxies, redirects, cookies and compression are left out on purpose: what the server sends is what is compared.

use super::exchange::{Answer, Request};
use super::side::Memory;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A name that both servers' certificates carry.
pub const NAME: &str = "kubernetes.default.svc";
/// Longer than any timeout that a request asks for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who the requests come from; managers of fields are named after it.
const USER_AGENT: &str = "diff/v1";

/// One server.
pub struct Client {
    address: SocketAddr,
    tls: TlsConnector,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub fn new(port: u16, tls: rustls::ClientConfig) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { address, tls: TlsConnector::from(Arc::new(tls)), connection: None }
    }

    /// Sends a request with what this side's memory fills in.
    pub async fn send(&mut self, request: &Request, memory: &Memory) -> Result<Answer> {
        let (path, body) = request.filled(memory);
        let watch = path.contains("watch=");
        let mut message = hyper::Request::builder().method(request.method.as_str()).uri(&path);
        message = message.header("host", NAME).header("user-agent", USER_AGENT);
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        let message = message.body(Full::new(body)).with_context(|| format!("{} {path}", request.method))?;
        match tokio::time::timeout(PATIENCE, self.exchange(message)).await {
            Ok(Ok((parts, body))) => {
                if parts.headers.get("connection").is_some_and(|value| value == "close") {
                    self.connection = None;
                }
                let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
                Ok(Answer::new(parts.status.as_u16(), headers, &body, watch))
            }
            Ok(Err(error)) => {
                self.connection = None;
                Err(error.context(format!("{} {path}", request.method)))
            }
            Err(_) => {
                self.connection = None;
                bail!("{} {path}: no answer after {PATIENCE:?}", request.method)
            }
        }
    }

    async fn exchange(
        &mut self,
        message: hyper::Request<Full<Bytes>>,
    ) -> Result<(hyper::http::response::Parts, Bytes)> {
        let ready = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !ready {
            self.connection = Some(self.connect().await?);
        }
        let connection = self.connection.as_mut().context("there is no connection")?;
        let (parts, body) = connection.send_request(message).await?.into_parts();
        Ok((parts, body.collect().await?.to_bytes()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from(NAME)?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its end shows as an error of the next request.
        tokio::spawn(connection);
        Ok(sender)
    }
}
