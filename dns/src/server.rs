//! Sockets and lifetime of the DNS server.

use crate::forward::Upstream;
use crate::handler::Handler;
use crate::view::Caches;
use informer::Informers;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};

/// An idle TCP connection is closed after this.
const IDLE: Duration = Duration::from_secs(10);
/// Answers waiting for a slow TCP client.
const PENDING: usize = 32;

#[derive(Clone, Debug)]
pub struct Config {
    /// Served over UDP and TCP; port 0 takes any free port, the same for both.
    pub listen: SocketAddr,
    /// `cluster.local`
    pub domain: String,
    pub upstream: Upstream,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is no domain name")]
    Domain(String),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// A DNS server that is bound but answers only once [`Server::run`] is polled.
pub struct Server {
    inner: hickory_server::Server<Handler<Caches>>,
    address: SocketAddr,
}

impl Server {
    /// Binds the sockets after the caches have been filled once, so that the first answer is a true one.
    pub async fn bind(config: Config, informers: &Informers) -> Result<Self, Error> {
        let caches = Caches::new(informers);
        caches.synced().await;
        let handler = Handler::new(caches, &config.domain, config.upstream).ok_or(Error::Domain(config.domain))?;
        let failed = |source| Error::Listen { address: config.listen, source };
        let udp = UdpSocket::bind(config.listen).await.map_err(failed)?;
        let address = udp.local_addr().map_err(failed)?;
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let mut inner = hickory_server::Server::new(handler);
        inner.register_socket(udp);
        inner.register_listener(tcp, IDLE, PENDING);
        Ok(Self { inner, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until dropped.
    pub async fn run(mut self) {
        if let Err(error) = self.inner.block_until_done().await {
            tracing::error!(%error, "the DNS server ended");
        }
    }
}
