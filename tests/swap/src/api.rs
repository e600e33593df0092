//! The API as the scenario uses it: paths and JSON trees, and waiting for something to become true.

use anyhow::{Context, Result, bail};
use http::{Method, Request};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Clones share their connections.
#[derive(Clone)]
pub struct Api {
    pub client: Client,
}

impl Api {
    pub async fn connect(kubeconfig: &Path) -> Result<Api> {
        // Only the first call in a process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = Kubeconfig::read_from(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(text, &KubeConfigOptions::default()).await?;
        config.proxy_url = None;
        Ok(Api { client: Client::try_from(config)? })
    }

    async fn call(&self, method: Method, path: &str, content: &str, body: Option<&Value>) -> Result<Value> {
        let said = format!("{method} {path}");
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())?;
        self.client.request(request).await.context(said)
    }

    pub async fn text(&self, path: &str) -> Result<String> {
        Ok(self.client.request_text(Request::get(path).body(Vec::new())?).await?)
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, "application/json", None).await
    }

    /// The objects of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.get(path).await?["items"].as_array().cloned().unwrap_or_default())
    }

    /// Whether there is nothing at the path.
    pub async fn gone(&self, path: &str) -> Result<()> {
        match self.client.request::<Value>(Request::get(path).body(Vec::new())?).await {
            Ok(object) => bail!("{path} is still there: {}", object["metadata"]),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.call(Method::POST, path, "application/json", Some(object)).await
    }

    /// A merge patch.
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.call(Method::PATCH, path, "application/merge-patch+json", Some(patch)).await
    }

    /// A strategic merge patch.
    pub async fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.call(Method::PATCH, path, "application/strategic-merge-patch+json", Some(patch)).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.call(Method::DELETE, path, "application/json", Some(options)).await
    }
}

/// Tries until it succeeds. The error tells what was awaited and how the last try failed.
pub async fn until<T>(what: &str, seconds: u64, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > end => return Err(error.context(format!("not within {seconds} s: {what}"))),
            Err(_) => sleep(Duration::from_millis(150)).await,
        }
    }
}
