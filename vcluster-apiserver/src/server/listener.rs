//! The accept loop: TCP, TLS, HTTP/1.1 and HTTP/2 on one port, and a graceful end.
//!
//! It refuses connections that do not finish their handshake in time, and never lets one connection's error touch another.

use super::Server;
use super::chain::{self, Identity};
use crate::authn::Peer;
use crate::request::body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Upstream's `ReadHeaderTimeout`.
const HEADERS: Duration = Duration::from_secs(32);
/// How long connections may take to finish once the server drains.
const FAREWELL: Duration = Duration::from_secs(30);

impl Server {
    /// Serves TLS connections until `stop` resolves, then drains: no new connections, watches end, requests finish.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let acceptor = TlsAcceptor::from(tls);
        let connections = TaskTracker::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        connections.spawn(self.clone().connection(stream, address, acceptor.clone()));
                    }
                    // Out of descriptors, or a client that was gone before it was accepted: the listener itself is fine.
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                },
            }
        }
        drop(listener);
        self.drain();
        connections.close();
        if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "connections did not finish in time");
        }
        Ok(())
    }

    async fn connection(self, stream: TcpStream, address: SocketAddr, acceptor: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, %address, "a TLS handshake failed");
                return;
            }
            Err(_) => return,
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|c| c.as_ref().to_vec()).collect();
        let identity = Identity::Unknown(Peer { address: Some(address), certificates: Arc::new(certificates) });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(1024 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(250)
            .max_header_list_size(1024 * 1024)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024 * 25)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(Duration::from_secs(15));
        let mut draining = self.inner.drain.subscribe();
        let server = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, identity) = (server.clone(), identity.clone());
            async move {
                let first = request.version() < http::Version::HTTP_2;
                let mut response = server.handle(&identity, request.map(body::boxed)).await;
                if first && *server.inner.drain.borrow() {
                    chain::close(&mut response);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = super::drained(&mut draining) => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %address, "a connection ended with an error");
        }
    }
}
