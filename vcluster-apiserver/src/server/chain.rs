//! The life of a request, from bytes off a connection to a response, in one function.
//!
//! The order is upstream's (k8s.io/apiserver `pkg/server/config.go`, `DefaultBuildHandlerChain`). Admission is none of
//! its layers: it runs inside the verbs that write.

use super::guards::{self, Trail};
use super::{Server, fixed};
use crate::api::{dispatch, error};
use crate::authn::{Outcome, Peer, bearer, front_proxy, impersonation};
use crate::authz::{Decision, forbidden};
use crate::request::body::{self, Body};
use crate::request::info::{self, RequestInfo};
use crate::request::negotiate::{self, Accepted, Offer};
use crate::request::query::Query;
use crate::request::{RequestCx, UserInfo};
use apimachinery::Status;
use apimachinery::time::parse_go_duration;
use futures::FutureExt;
use http::header::{CACHE_CONTROL, CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Who speaks on a connection.
#[derive(Clone, Debug)]
pub enum Identity {
    /// To be found out from the connection and the request.
    Unknown(Peer),
    /// Somebody of this process.
    Known(Arc<UserInfo>),
}

impl Server {
    /// Answers one request. Never fails and never panics.
    pub async fn handle(&self, identity: &Identity, request: Request<Body>) -> Response<Body> {
        // The audit id comes first, so that whatever happens can be found in the logs by it.
        let audit_id = audit_id(&request, &*self.inner.api.store.rng);
        let head = request.method() == Method::HEAD;
        // What a client accepts decides how even a refusal looks; when that is nothing we have, refusals are JSON.
        let pretty = Query::parse(request.uri().query().unwrap_or_default());
        let accepted = negotiate::response(request.headers(), pretty.get("pretty"), Offer::TRANSIENT)
            .unwrap_or_else(|_| Accepted::json());
        let started = tokio::time::Instant::now();
        let (verb, path) = (request.method().clone(), request.uri().path().to_owned());
        // The guard goes around everything that follows: one request's panic is its own 500.
        let mut trail = Trail::default();
        let guarded = AssertUnwindSafe(self.guarded(identity, &audit_id, request, &mut trail)).catch_unwind().await;
        let mut panicked = None;
        let mut response = match guarded {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => error::response(&status, &accepted),
            Err(_) => {
                tracing::error!(%audit_id, %verb, path, "a handler panicked");
                let text = "This request caused apiserver to panic. Look in the logs for details.";
                let status = Status::failure(500, "InternalError", text);
                let response = error::response(&status, &accepted);
                panicked = Some(status);
                response
            }
        };
        // How the request was classified stands on every answer, refusals included.
        response.headers_mut().extend(std::mem::take(&mut trail.marks));
        // The audit sees the answer last, with the status that everything before agreed upon.
        response = match (trail.record, panicked) {
            (None, _) => response,
            (Some(mut record), Some(status)) => {
                record.panicked(&status);
                response
            }
            (Some(record), None) => record.answered(response).await,
        };
        self.inner.metrics.count(&verb, response.status(), started.elapsed());
        tracing::debug!(%audit_id, %verb, path, code = response.status().as_u16(), elapsed = ?started.elapsed(), "answered");
        if head {
            let (parts, _) = response.into_parts();
            response = Response::from_parts(parts, body::empty());
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&audit_id) {
            headers.insert(AUDIT_ID, value);
        }
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        }
        response
    }

    async fn guarded(
        &self,
        identity: &Identity,
        audit_id: &str,
        mut request: Request<Body>,
        trail: &mut Trail,
    ) -> Result<Response<Body>, Status> {
        // What the request means must be known before anybody decides anything about it.
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let info = info::parse(request.method(), request.uri().path(), &query)
            .map_err(|e| Status::failure(500, "InternalError", e.to_string()))?;
        // The deadline spans authentication and authorization too: those may be slow as well.
        let deadline = self.deadline(&info, &query)?;
        let work = async {
            // Warnings collect in the context that is made with the user and leave with the answer.
            let user = self.authenticate(identity, &mut request, audit_id, &info).await?;
            // The record begins with the user who came, whomever it then acts as.
            let (parts, body) = request.into_parts();
            if let Some(audit) = &self.inner.guards.audit {
                let (attributes, peer) = (guards::attributes(&user, &info), guards::address(identity));
                trail.record = audit.begin(audit_id, &attributes, &parts, peer, info.is_long_running());
            }
            let mut request = Request::from_parts(parts, body);
            // An impersonation is authorized as the caller; from here on only the impersonated counts.
            let user = self.impersonate(user, &mut request, &info, trail).await?;
            // Flow control goes by whom a request acts as, and comes before anything that costs.
            let turn = match &self.inner.guards.flow {
                Some(flow) => flow.admit(&user, &info, &query, deadline, self.inner.deadline).await,
                None => None,
            };
            if let Some(refused) = turn.as_ref().and_then(|turn| trail.classified(turn)) {
                return Ok(refused);
            }
            let pass = turn.and_then(|turn| turn.outcome.ok());
            let cx = RequestCx::new((*user).clone(), audit_id);
            // Authorization sees the request before its body is read.
            self.authorize(&cx, &info, trail).await?;
            let request = trail.observe(request).await?;
            let answered = if info.is_resource {
                let group_version = apimachinery::GroupVersion::new(&*info.group, &*info.version);
                if self.inner.api.registry.snapshot().serves(&group_version) {
                    dispatch::serve(&self.inner.api, cx.clone(), info, request).await
                } else {
                    Ok(error::no_such_path())
                }
            } else {
                fixed::serve(self, &info, request).await
            };
            // Seats are given back when the answer is made; a watch stays counted.
            let watch = pass.and_then(crate::flowcontrol::Pass::answered);
            let answered = answered.map(|response| guards::counted(response, watch));
            // Refusals carry the warnings too.
            let warnings = cx.take_warnings();
            warn(&mut trail.marks, &warnings);
            answered
        };
        match deadline {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work)
                .await
                .unwrap_or_else(|_| Err(Status::timeout("request did not complete within the allotted timeout", 0))),
        }
    }

    /// None for long-running requests; the client may ask for less than the server's deadline.
    fn deadline(&self, info: &RequestInfo, query: &Query) -> Result<Option<std::time::Duration>, Status> {
        if info.is_long_running() {
            return Ok(None);
        }
        let asked = match query.filled("timeout") {
            None => return Ok(Some(self.inner.deadline)),
            Some(text) => parse_go_duration(text).map_err(|error| {
                Status::bad_request(format!("invalid timeout specified in the request URL - {error}"))
            })?,
        };
        // A time that has passed already is none.
        let asked = std::time::Duration::try_from(asked).unwrap_or_default();
        let asked = if asked.is_zero() { self.inner.deadline } else { asked };
        Ok(Some(asked.min(self.inner.deadline)))
    }

    async fn authenticate(
        &self,
        identity: &Identity,
        request: &mut Request<Body>,
        audit_id: &str,
        info: &RequestInfo,
    ) -> Result<Arc<UserInfo>, Status> {
        let peer = match identity {
            Identity::Known(user) => return Ok(user.clone()),
            Identity::Unknown(peer) => peer,
        };
        match self.inner.authenticator.authenticate(peer, request.headers()).await {
            Outcome::Authenticated { user, .. } if self.inner.guards.allows(&user, info) => {
                // Credentials have done their work; nothing behind this point may see or forward them.
                bearer::strip(request.headers_mut());
                front_proxy::strip(request.headers_mut());
                Ok(Arc::new(user))
            }
            outcome => {
                if let Outcome::Failed(why) = outcome {
                    tracing::debug!(why, "authentication failed");
                }
                if let Some(audit) = &self.inner.guards.audit {
                    let (parts, body) = std::mem::take(request).into_parts();
                    audit.refused(audit_id, &guards::attributes(&Arc::default(), info), &parts, peer.address);
                    *request = Request::from_parts(parts, body);
                }
                Err(Status::unauthorized())
            }
        }
    }

    async fn impersonate(
        &self,
        user: Arc<UserInfo>,
        request: &mut Request<Body>,
        info: &RequestInfo,
        trail: &mut Trail,
    ) -> Result<Arc<UserInfo>, Status> {
        let attributes = guards::attributes(&user, info);
        let acting = impersonation::impersonate(&attributes, request.headers(), &*self.inner.authorizer).await?;
        let Some(acting) = acting else { return Ok(user) };
        impersonation::strip(request.headers_mut());
        if let Some(record) = &mut trail.record {
            record.impersonates(&acting.user, &acting.constraint);
        }
        Ok(Arc::new(acting.user))
    }

    async fn authorize(&self, cx: &RequestCx, info: &RequestInfo, trail: &mut Trail) -> Result<(), Status> {
        let attributes = guards::attributes(&cx.user, info);
        let decision = match &mut trail.record {
            // Only an audit wants to know why.
            Some(record) => {
                let (decision, why) = self.inner.authorizer.explain(&attributes).await;
                record.authorized(&decision, &why);
                decision
            }
            None => self.inner.authorizer.authorize(&attributes).await,
        };
        match decision {
            Decision::Allow => Ok(()),
            Decision::Deny(why) | Decision::NoOpinion(why) => Err(forbidden(&attributes, &why)),
        }
    }
}

/// The client's id when it sends one, else a new one.
fn audit_id(request: &Request<Body>, rng: &dyn apimachinery::clock::Rng) -> String {
    let given =
        request.headers().get(AUDIT_ID).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty() && v.len() <= 64);
    given.map_or_else(|| rng.uuid(), str::to_owned)
}

/// Upstream's budget for all warnings of one answer.
const WARNING_BYTES: usize = 4 * 1024;
const WARNING: HeaderName = HeaderName::from_static("warning");

fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    let mut left = WARNING_BYTES;
    for text in warnings {
        let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let quoted = format!("299 - \"{}\"", printable.replace('\\', "\\\\").replace('"', "\\\""));
        if quoted.len() > left {
            break;
        }
        left -= quoted.len();
        if let Ok(value) = HeaderValue::from_bytes(quoted.as_bytes()) {
            headers.append(WARNING, value);
        }
    }
}

/// Tells HTTP/1.1 clients to come back over a new connection while the server drains.
pub fn close(response: &mut Response<Body>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted() {
        let mut headers = HeaderMap::new();
        warn(&mut headers, &["unknown field \"spec.foo\"".into(), "a\\b".into()]);
        let values: Vec<_> = headers.get_all("warning").iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(values, [r#"299 - "unknown field \"spec.foo\"""#, r#"299 - "a\\b""#]);
    }
}
