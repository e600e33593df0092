//! The write side: the one place that sends requests, as one controller's service account.
//!
//! After a plan it waits until the shared caches show what was written, so that the next look at the same key cannot act
//! on a state from before its own writes. That is what upstream needs expectations for.

use crate::plan::{Announce, Event, PatchKind, Plan, Target, Write};
use crate::recorder::Recorder;
use apimachinery::GroupVersionResource;
use futures::future::join_all;
use http::Request;
use informer::{Barrier, Informers};
use kube::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// How long a cache may lag behind a write before the controller goes on without having seen it.
const LAG: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("cannot {verb} {target}: {source}")]
    Request {
        verb: &'static str,
        target: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("cannot build the request to {verb} {target}: {source}")]
    Build { verb: &'static str, target: String, source: http::Error },
    #[error("{target} is gone, replaced or terminating")]
    OwnerGone { target: String },
    #[error("{target} is still there")]
    StillThere { target: String },
    #[error("the cloud failed on {target}: {why}")]
    Cloud { target: String, why: String },
    #[error("no credentials for {target}: {why}")]
    Credentials { target: String, why: String },
}

impl ApiError {
    /// The HTTP status code that the API answered with; 0 when it gave no answer.
    pub fn code(&self) -> u16 {
        match self {
            Self::Request { source, .. } => match &**source {
                kube::Error::Api(status) => status.code,
                _ => 0,
            },
            _ => 0,
        }
    }

    /// The API's own words where it gave some.
    pub fn message(&self) -> String {
        match self {
            Self::Request { source, .. } => match &**source {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            },
            other => other.to_string(),
        }
    }

    /// The reason of the API's answer, `""` without one.
    pub fn reason(&self) -> &str {
        match self {
            Self::Request { source, .. } => match &**source {
                kube::Error::Api(status) => &status.reason,
                _ => "",
            },
            _ => "",
        }
    }

    /// Nothing can be created in a namespace that is going away, and nothing needs to be.
    pub fn is_namespace_terminating(&self) -> bool {
        let Self::Request { source, .. } = self else { return false };
        let kube::Error::Api(status) = &**source else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }
}

/// The path of a resource, or of one object of it when `name` is not empty.
pub(crate) fn path(target: &Target) -> String {
    let GroupVersionResource { group, version, resource } = &target.resource;
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let namespaced =
        if target.namespace.is_empty() { String::new() } else { format!("/namespaces/{}", target.namespace) };
    let name = if target.name.is_empty() { String::new() } else { format!("/{}", target.name) };
    let sub = if target.subresource.is_empty() { String::new() } else { format!("/{}", target.subresource) };
    format!("{root}{namespaced}/{resource}{name}{sub}")
}

/// The API as one controller may use it.
#[derive(Clone)]
pub struct Api {
    client: Client,
    informers: Informers,
    recorder: Recorder,
}

impl Api {
    pub(crate) fn new(client: Client, informers: Informers, recorder: Recorder) -> Self {
        Self { client, informers, recorder }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// One request and its JSON answer.
    pub(crate) async fn call(
        &self,
        verb: &'static str,
        method: http::Method,
        target: &Target,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let request = Request::builder()
            .method(method)
            .uri(path(target))
            .header("accept", "application/json")
            .header("content-type", content_type)
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(|source| ApiError::Build { verb, target: target.to_string(), source })?;
        let answer = self.client.request::<Value>(request).await;
        answer.map_err(|source| ApiError::Request { verb, target: target.to_string(), source: Box::new(source) })
    }

    /// A live read past all caches; absent is no error.
    pub(crate) async fn get(&self, target: &Target) -> Result<Option<Value>, ApiError> {
        match self.call("get", http::Method::GET, target, "application/json", None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies a plan's writes in order, up to the first that fails, then waits for the caches.
    pub async fn apply(&self, plan: &Plan) -> Result<(), ApiError> {
        let mut barriers = Vec::new();
        let mut rest = plan.writes.as_slice();
        let mut outcome = Ok(());
        while let (Some(first), Ok(())) = (rest.first(), &outcome) {
            let alike = rest.iter().take_while(|write| run_together(first, write)).count().max(1);
            let (group, others) = rest.split_at(alike);
            rest = others;
            outcome = self.apply_group(group, &mut barriers).await;
        }
        let waiting = barriers.iter().filter_map(|(resource, barrier)| {
            let store = self.informers.opened(resource)?;
            Some(async move { store.reached(barrier).await })
        });
        if timeout(LAG, join_all(waiting)).await.is_err() {
            tracing::warn!("a cache lags more than {LAG:?} behind a write");
        }
        outcome
    }

    /// Slow start: one, then two, then four at a time and so on while all succeed, so that a thousand creations that
    /// must fail alike (a quota, a webhook) fail once.
    async fn apply_group(
        &self,
        mut group: &[Write],
        barriers: &mut Vec<(GroupVersionResource, Barrier)>,
    ) -> Result<(), ApiError> {
        let mut size = if matches!(group.first(), Some(Write::Delete { .. })) { 32 } else { 1 };
        while !group.is_empty() {
            let (batch, rest) = group.split_at(size.min(group.len()));
            group = rest;
            size *= 2;
            let mut failure = None;
            for result in join_all(batch.iter().map(|write| self.apply_one(write))).await {
                match result {
                    Ok(barrier) => barriers.extend(barrier),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn apply_one(&self, write: &Write) -> Result<Option<(GroupVersionResource, Barrier)>, ApiError> {
        const JSON: &str = "application/json";
        match write {
            Write::Create { target, body, announce, existing_is_fine } => {
                let result = self.call("create", http::Method::POST, target, JSON, Some(body)).await;
                match result {
                    Ok(object) => {
                        self.announce(announce.as_ref(), object["metadata"]["name"].as_str().unwrap_or_default(), None);
                        Ok(written(target, &object))
                    }
                    Err(error) if error.is_namespace_terminating() => Ok(None),
                    Err(error) if *existing_is_fine && error.reason() == "AlreadyExists" => Ok(None),
                    Err(error) => {
                        self.announce(announce.as_ref(), "", Some(&error));
                        Err(error)
                    }
                }
            }
            Write::Update { target, body } => {
                let object = self.call("update", http::Method::PUT, target, JSON, Some(body)).await?;
                Ok(written(target, &object))
            }
            Write::Patch { target, kind, body } => {
                let content = match kind {
                    PatchKind::Json => "application/json-patch+json",
                    PatchKind::Merge => "application/merge-patch+json",
                    PatchKind::Strategic => "application/strategic-merge-patch+json",
                };
                match self.call("patch", http::Method::PATCH, target, content, Some(body)).await {
                    Ok(object) => Ok(written(target, &object)),
                    Err(error) if error.code() == 404 => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Write::Delete { target, options, shown, announce } => {
                match self.call("delete", http::Method::DELETE, target, JSON, Some(options)).await {
                    Ok(object) => {
                        self.announce(announce.as_ref(), &target.name, None);
                        let (namespace, name) = (target.namespace.clone(), target.name.clone());
                        let gone = || (target.resource.clone(), Barrier::Deleted { namespace, name, shown: *shown });
                        Ok(Some(written(target, &object).unwrap_or_else(gone)))
                    }
                    // Gone already, or another object has its name now: both are what was asked for.
                    Err(error) if matches!(error.code(), 404 | 409) => Ok(None),
                    Err(error) => {
                        self.announce(announce.as_ref(), &target.name, Some(&error));
                        Err(error)
                    }
                }
            }
            Write::Expect { target, uid } => {
                let live = self.get(target).await?.unwrap_or_default();
                let meta = &live["metadata"];
                if meta["uid"].as_str() == Some(uid) && meta["deletionTimestamp"].is_null() {
                    Ok(None)
                } else {
                    Err(ApiError::OwnerGone { target: target.to_string() })
                }
            }
            Write::ExpectGone { target, uid } => match self.get(target).await? {
                Some(live) if live["metadata"]["uid"].as_str() == Some(uid) => {
                    Err(ApiError::StillThere { target: target.to_string() })
                }
                _ => Ok(None),
            },
            Write::Event(event) => {
                self.recorder.record(event.clone());
                Ok(None)
            }
        }
    }

    fn announce(&self, announce: Option<&Announce>, name: &str, failure: Option<&ApiError>) {
        let Some(announce) = announce else { return };
        let (reason, template) = if failure.is_some() { &announce.failure } else { &announce.success };
        let detail = failure.map_or_else(|| name.to_owned(), ApiError::message);
        let message = template.replace("{}", &detail);
        let about = announce.about.clone();
        self.recorder.record(Event { about, warning: failure.is_some(), reason, message });
    }
}

fn run_together(first: &Write, other: &Write) -> bool {
    match (first, other) {
        (Write::Create { target: a, .. }, Write::Create { target: b, .. })
        | (Write::Delete { target: a, .. }, Write::Delete { target: b, .. }) => a.resource == b.resource,
        _ => false,
    }
}

fn written(target: &Target, object: &Value) -> Option<(GroupVersionResource, Barrier)> {
    let meta = &object["metadata"];
    let revision = meta["resourceVersion"].as_str()?.parse().ok()?;
    let name = meta["name"].as_str()?.to_owned();
    Some((target.resource.clone(), Barrier::Written { namespace: target.namespace.clone(), name, revision }))
}
