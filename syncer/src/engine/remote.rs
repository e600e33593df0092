//! One API server to write to: plain requests by path, since a step already says everything that a typed client would.

use http::{Method, Request};
use kube::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Under this name the host knows our fields.
pub(crate) const MANAGER: &str = "coracle";

/// How long an answer may take; upstream's webhooks may delay a write for 30 seconds. Without an end, one lost connection
/// would keep its key from being looked at for ever.
const PATIENCE: Duration = Duration::from_secs(35);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot build the request {method} {path}")]
    Request { method: Method, path: String, source: http::Error },
    #[error("{method} {path}")]
    Answer { method: Method, path: String, source: kube::Error },
    #[error("{method} {path} was not answered for {PATIENCE:?}")]
    Silent { method: Method, path: String },
}

impl Error {
    /// The status code of the answer, 0 when there was none.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Answer { source: kube::Error::Api(status), .. } => status.code,
            Self::Answer { .. } | Self::Request { .. } | Self::Silent { .. } => 0,
        }
    }

    /// What the server said; for errors that say no more than their code, the error's own words.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Answer { source: kube::Error::Api(status), .. } => status.message.clone(),
            Self::Answer { source, .. } => source.to_string(),
            Self::Request { source, .. } => source.to_string(),
            Self::Silent { .. } => self.to_string(),
        }
    }
}

/// How a body is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Apply,
    Merge,
    Strategic,
}

impl Content {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Apply => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Remote(Client);

impl Remote {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.send(Method::GET, path, Content::Json, Vec::new()).await
    }

    /// Server-side apply under our name; conflicts are decided for us, since each field has one owner by design.
    pub(crate) async fn apply(&self, path: &str, dry_run: bool, object: &Value) -> Result<Value, Error> {
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager={MANAGER}&force=true{dry_run}");
        self.send(Method::PATCH, &path, Content::Apply, object.to_string().into_bytes()).await
    }

    pub(crate) async fn patch(&self, path: &str, content: Content, patch: &Value) -> Result<Value, Error> {
        let path = format!("{path}?fieldManager={MANAGER}");
        self.send(Method::PATCH, &path, content, patch.to_string().into_bytes()).await
    }

    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, Error> {
        let path = format!("{path}?fieldManager={MANAGER}");
        self.send(Method::POST, &path, Content::Json, object.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str, uid: &str, grace: Option<i64>) -> Result<Value, Error> {
        let mut options =
            serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if !uid.is_empty() {
            options["preconditions"]["uid"] = uid.into();
        }
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = grace.into();
        }
        self.send(Method::DELETE, path, Content::Json, options.to_string().into_bytes()).await
    }

    async fn send(&self, method: Method, path: &str, content: Content, body: Vec<u8>) -> Result<Value, Error> {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(http::header::CONTENT_TYPE, content.media_type())
            .header(http::header::ACCEPT, "application/json")
            .body(body)
            .map_err(|source| Error::Request { method: method.clone(), path: path.to_owned(), source })?;
        let path = path.to_owned();
        match timeout(PATIENCE, self.0.request(request)).await {
            Ok(answer) => answer.map_err(|source| Error::Answer { method, path, source }),
            Err(_) => Err(Error::Silent { method, path }),
        }
    }
}
