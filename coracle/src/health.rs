//! `/livez` and `/readyz` for processes that serve nothing else.

use anyhow::Context as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Whether the process does its work; shared between the work and the probe.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Answers every request for ever. The kubelet's probes are one small GET each; nothing more is understood.
pub async fn serve(listen: SocketAddr, ready: Ready) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let ready = ready.clone();
        tokio::spawn(async move {
            let mut head = [0; 1024];
            let Ok(length) = stream.read(&mut head).await else { return };
            let path = head[..length].split(|b| *b == b' ').nth(1).unwrap_or_default();
            let (code, body) = match path {
                b"/livez" => ("200 OK", "ok"),
                b"/readyz" if ready.0.load(Ordering::Acquire) => ("200 OK", "ok"),
                b"/readyz" => ("503 Service Unavailable", "not ready"),
                _ => ("404 Not Found", "not found"),
            };
            let answer =
                format!("HTTP/1.1 {code}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            if let Err(error) = stream.write_all(answer.as_bytes()).await {
                tracing::debug!(%error, "a probe went away");
            }
        });
    }
}
