//! Plain requests to a cluster's API through `kubectl proxy`: cheap enough for a stream of writes, and any client's.

use crate::Cluster;
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A running `kubectl proxy`.
pub struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    pub fn start(cluster: &Cluster) -> Result<Proxy> {
        let mut command = cluster.command("kubectl", &["proxy", "--port=0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot run kubectl")?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        // "Starting to serve on 127.0.0.1:41223"
        let address = line.split_whitespace().last().unwrap_or_default().to_owned();
        Ok(Proxy { child, address })
    }

    /// Sends one request on a connection of its own, a merge patch where the method is PATCH. An error means that nobody
    /// can say whether it was heard.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let body = body.to_string();
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        // HTTP/1.0: one answer, not in chunks, and the end of the connection ends it.
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let code =
            head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).context("an answer without a code")?;
        // What is no JSON is the proxy's own word that nobody answered.
        Ok((code, serde_json::from_str(body).unwrap_or_default()))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
