//! A [`Source`] over HTTP: list, then watch with bookmarks, resume where the watch ended, list again after 410.
//!
//! The rules are those of client-go's reflector, failures back off from 800 ms to 30 s. One rule is stricter: no list
//! may be older than what the server knows (client-go takes its first from the server's cache, `resourceVersion=0`), so
//! that a program that starts again is not shown a past before what it has done already.

use crate::{Change, Raw, Source};
use apimachinery::GroupVersionResource;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use futures::{AsyncBufRead, AsyncBufReadExt};
use kube::Client;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));
/// How long the server is asked to keep one watch.
const WATCH: Duration = Duration::from_secs(330);
/// A silent watch is given up a little after its time. A server that sends bookmarks does so every minute: from the first
/// on, silence means that the connection is lost.
const SILENCE: Duration = Duration::from_mins(6);
const BOOKMARKED_SILENCE: Duration = Duration::from_secs(150);
/// How long the server may take to begin an answer, or to give a page of a list; its own limit for a request is a minute.
const ANSWER: Duration = Duration::from_secs(70);
const PAGE: usize = 500;

/// Which part of a resource is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub namespace: Option<String>,
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
}

/// Follows resources of the API server behind a client.
#[derive(Clone)]
pub struct HttpSource {
    client: Client,
    scope: Scope,
    scopes: HashMap<GroupVersionResource, Scope>,
}

impl HttpSource {
    pub fn new(client: Client) -> Self {
        Self { client, scope: Scope::default(), scopes: HashMap::new() }
    }

    /// Follows only this part of every resource that has no scope of its own.
    pub fn scoped(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Follows only this part of one resource.
    pub fn scope_for(mut self, resource: GroupVersionResource, scope: Scope) -> Self {
        self.scopes.insert(resource, scope);
        self
    }
}

impl Source for HttpSource {
    fn follow(&self, resource: &GroupVersionResource) -> BoxStream<'static, Change> {
        let scope = self.scopes.get(resource).unwrap_or(&self.scope).clone();
        let reflector = Reflector {
            client: self.client.clone(),
            resource: resource.clone(),
            scope,
            state: State::List,
            backoff: BACKOFF.0,
        };
        stream::unfold(reflector, |mut reflector| async {
            let change = reflector.next().await;
            Some((change, reflector))
        })
        .boxed()
    }
}

type Lines = Pin<Box<dyn AsyncBufRead + Send>>;

enum State {
    /// Nothing is known, or what was known is too old to go on from.
    List,
    /// The next watch starts after this resource version.
    Resume(String),
    Watching {
        after: String,
        lines: Lines,
        since: Instant,
        idle: bool,
        /// How long nothing may be heard.
        patience: Duration,
    },
}

struct Reflector {
    client: Client,
    resource: GroupVersionResource,
    scope: Scope,
    state: State,
    backoff: Duration,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("request failed: {0}")]
    Request(#[from] kube::Error),
    #[error("bad request: {0}")]
    Build(#[from] http::Error),
    #[error("unreadable answer: {0}")]
    Decode(#[from] serde_json::Error),
    #[error("connection lost: {0}")]
    Read(#[from] std::io::Error),
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
    #[error("the watch answered {code}: {message}")]
    Status { code: u16, message: String },
}

impl FollowError {
    /// 410 Gone, and the internal error by which old servers say the same.
    fn is_expired(&self) -> bool {
        match self {
            Self::Status { code: 410, .. } => true,
            Self::Request(kube::Error::Api(status)) => status.code == 410,
            _ => false,
        }
    }
}

/// An answer within its time.
async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, FollowError> {
    Ok(timeout(ANSWER, request).await.map_err(|_| FollowError::Silent(ANSWER))??)
}

impl Reflector {
    /// The next change, however long and over however many connections it takes.
    async fn next(&mut self) -> Change {
        loop {
            match self.step().await {
                Ok(Some(change)) => {
                    self.backoff = BACKOFF.0;
                    return change;
                }
                Ok(None) => {}
                Err(error) => {
                    if error.is_expired() {
                        tracing::debug!(resource = %self.resource, "watch expired, listing again");
                        self.state = State::List;
                    } else {
                        tracing::warn!(resource = %self.resource, %error, retry_in = ?self.backoff, "cannot follow");
                        if let State::Watching { after, .. } = &self.state {
                            self.state = State::Resume(after.clone());
                        }
                    }
                    sleep(self.backoff).await;
                    self.backoff = (self.backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Change>, FollowError> {
        match &mut self.state {
            State::List => {
                let (objects, revision) = self.list().await?;
                self.state = State::Resume(revision);
                Ok(Some(Change::Replaced(objects)))
            }
            State::Resume(after) => {
                let after = after.clone();
                let query = format!(
                    "watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={after}",
                    WATCH.as_secs()
                );
                let lines = answered(self.client.request_stream(self.request(&query)?)).await?;
                let lines = Box::pin(lines);
                self.state = State::Watching { after, lines, since: Instant::now(), idle: true, patience: SILENCE };
                Ok(None)
            }
            State::Watching { after, lines, since, idle, patience } => {
                let mut line = Vec::new();
                let read = timeout(*patience, lines.read_until(b'\n', &mut line)).await;
                if read.map_err(|_| FollowError::Silent(*patience))?? == 0 {
                    // A server that ends its watches at once must not be asked in a loop.
                    let hurried = *idle && since.elapsed() < Duration::from_secs(1);
                    self.state = State::Resume(after.clone());
                    if hurried {
                        sleep(self.backoff).await;
                    }
                    return Ok(None);
                }
                *idle = false;
                let event: WatchEvent<'_> = serde_json::from_slice(&line)?;
                let change = event.into_change()?;
                if let Some((revision, told)) = &change {
                    *after = revision.clone();
                    if told.is_none() {
                        *patience = BOOKMARKED_SILENCE;
                    }
                }
                Ok(change.and_then(|(_, change)| change))
            }
        }
    }

    async fn list(&mut self) -> Result<(Vec<Raw>, String), FollowError> {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let query = if next.is_empty() {
                format!("limit={PAGE}")
            } else {
                format!("limit={PAGE}&continue={}", utf8_percent_encode(&next, NON_ALPHANUMERIC))
            };
            let text = answered(self.client.request_text(self.request(&query)?)).await?;
            let list: ListAnswer<'_> = serde_json::from_str(&text)?;
            let kind = list.kind.strip_suffix("List").unwrap_or(&list.kind);
            for item in list.items.unwrap_or_default() {
                let bytes = with_type(item.get(), list.api_version, kind)?;
                objects.push(raw_of(bytes)?.0);
            }
            match list.metadata.next {
                Some(token) if !token.is_empty() => next = token,
                _ => return Ok((objects, list.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    fn request(&self, query: &str) -> Result<http::Request<Vec<u8>>, http::Error> {
        let GroupVersionResource { group, version, resource } = &self.resource;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let part = self.scope.namespace.as_ref().map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let selector = |name: &str, selector: &Option<String>| {
            let encoded = selector.as_ref().map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
            encoded.map(|text| format!("&{name}={text}")).unwrap_or_default()
        };
        let labels = selector("labelSelector", &self.scope.label_selector);
        let fields = selector("fieldSelector", &self.scope.field_selector);
        let uri = format!("{root}{part}/{resource}?{query}{labels}{fields}");
        http::Request::get(uri).header("accept", "application/json").body(Vec::new())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAnswer<'a> {
    #[serde(default)]
    api_version: &'a str,
    #[serde(default)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    metadata: ListHead,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListHead {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct WatchEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl WatchEvent<'_> {
    /// The revision to resume after, and the change, if the event is one.
    fn into_change(self) -> Result<Option<(String, Option<Change>)>, FollowError> {
        if self.kind == "ERROR" {
            #[derive(Deserialize)]
            struct Status {
                #[serde(default)]
                code: u16,
                #[serde(default)]
                message: String,
            }
            let Status { code, message } = serde_json::from_str(self.object.get())?;
            return Err(FollowError::Status { code, message });
        }
        let (raw, revision) = raw_of(Bytes::copy_from_slice(self.object.get().as_bytes()))?;
        Ok(match self.kind {
            "ADDED" | "MODIFIED" => Some((revision, Some(Change::Applied(raw)))),
            "DELETED" => Some((revision, Some(Change::Deleted(raw)))),
            "BOOKMARK" => Some((revision, None)),
            _ => None,
        })
    }
}

/// Items of a list carry no type; in a cache each object stands alone and needs its own.
fn with_type(item: &str, api_version: &str, kind: &str) -> Result<Bytes, serde_json::Error> {
    #[derive(Deserialize)]
    struct Typed {
        kind: Option<serde::de::IgnoredAny>,
    }
    let Typed { kind: own } = serde_json::from_str(item)?;
    let fields = item.trim_start().strip_prefix('{').filter(|_| own.is_none());
    Ok(match fields {
        Some(fields) => {
            let comma = if fields.trim_start().starts_with('}') { "" } else { "," };
            format!("{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\"{comma}{fields}").into()
        }
        None => Bytes::copy_from_slice(item.as_bytes()),
    })
}

fn raw_of(bytes: Bytes) -> Result<(Raw, String), serde_json::Error> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        metadata: Meta,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        #[serde(default)]
        name: String,
        #[serde(default)]
        namespace: String,
        #[serde(default)]
        resource_version: String,
    }
    let Head { metadata } = serde_json::from_slice(&bytes)?;
    let revision = metadata.resource_version.parse().unwrap_or(0);
    let (namespace, name): (Arc<str>, Arc<str>) = (metadata.namespace.into(), metadata.name.into());
    Ok((Raw { namespace, name, revision, bytes }, metadata.resource_version))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
