//! What becomes known of one request while it is served, and the events that tell it.

use super::event::{AuthenticationMetadata, Event, ObjectReference, User};
use super::policy::{Level, Stage, Telling};
use super::{Audit, body};
use crate::authz::{Attributes, Decision};
use crate::request::UserInfo;
use crate::request::body::{self as bodies, Body};
use apimachinery::Status;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Upstream's `maxUserAgentLength`.
const USER_AGENT: usize = 1024;

/// See the module.
pub struct Record {
    audit: Arc<Audit>,
    telling: Telling,
    event: Event,
    long_running: bool,
}

/// Tells that a long request is over when its body is.
struct Ending(Option<Box<Record>>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(mut record) = self.0.take() {
            record.stage(Stage::ResponseComplete);
        }
    }
}

impl Audit {
    /// Begins the record of a request and tells that it came in; none when the policy does not ask for it.
    pub fn begin(
        self: &Arc<Self>,
        audit_id: &str,
        attributes: &Attributes,
        request: &http::request::Parts,
        peer: Option<SocketAddr>,
        long_running: bool,
    ) -> Option<Record> {
        let mut record = self.record(audit_id, attributes, request, peer, long_running)?;
        record.stage(Stage::RequestReceived);
        Some(record)
    }

    /// Tells about credentials that were refused.
    pub fn refused(
        self: &Arc<Self>,
        audit_id: &str,
        attributes: &Attributes,
        request: &http::request::Parts,
        peer: Option<SocketAddr>,
    ) {
        let Some(mut record) = self.record(audit_id, attributes, request, peer, false) else { return };
        let tried = if request.headers.contains_key(http::header::AUTHORIZATION) { "bearer" } else { "x509" };
        record.event.user = User::default();
        record.event.response_status = Some(json!({"metadata": {}, "status": "Failure", "reason": "Unauthorized",
            "code": 401, "message": format!("Authentication failed, attempted: {tried}")}));
        record.stage(Stage::ResponseStarted);
    }

    fn record(
        self: &Arc<Self>,
        audit_id: &str,
        attributes: &Attributes,
        request: &http::request::Parts,
        peer: Option<SocketAddr>,
        long_running: bool,
    ) -> Option<Record> {
        let telling = self.rule(attributes)?;
        let a = attributes;
        let object_ref = a.is_resource.then(|| ObjectReference {
            resource: a.resource.clone(),
            namespace: a.namespace.clone(),
            name: a.name.clone(),
            api_group: a.group.clone(),
            api_version: a.version.clone(),
            subresource: a.subresource.clone(),
            ..ObjectReference::default()
        });
        let agent = request.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: telling.level,
            audit_id: audit_id.to_owned(),
            stage: Stage::RequestReceived,
            request_uri: request.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            verb: a.verb.clone(),
            user: User::from(&*a.user),
            impersonated_user: None,
            authentication_metadata: None,
            source_ips: sources(&request.headers, peer),
            user_agent: match agent.get(..USER_AGENT) {
                Some(begin) if agent.len() > USER_AGENT => format!("{begin}...TRUNCATED"),
                _ => agent.to_owned(),
            },
            object_ref,
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: self.now(),
            stage_timestamp: String::new(),
            annotations: std::collections::BTreeMap::default(),
        };
        Some(Record { audit: self.clone(), telling, event, long_running })
    }

    fn now(&self) -> String {
        self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }
}

/// Everybody on the way: what proxies say, then the peer itself (k8s.io/apimachinery `pkg/util/net`, `SourceIPs`).
fn sources(headers: &HeaderMap, peer: Option<SocketAddr>) -> Vec<String> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let given = header("x-forwarded-for").split(',').chain([header("x-real-ip")]);
    let mut sources: Vec<std::net::IpAddr> = given.filter_map(|text| text.trim().parse().ok()).collect();
    sources.dedup();
    sources.extend(peer.map(|peer| peer.ip()).filter(|ip| sources.last() != Some(ip)));
    sources.iter().map(ToString::to_string).collect()
}

impl Record {
    /// Whether the request's body is looked at: for what it holds, or only for the name in it.
    pub fn wants_request(&self) -> bool {
        !self.long_running
            && matches!(self.event.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    pub fn request(&mut self, headers: &HeaderMap, bytes: &Bytes) {
        let Some(json) = body::json(headers, bytes) else { return };
        if let Some(object_ref) = &mut self.event.object_ref
            && matches!(self.event.verb.as_str(), "create" | "update")
        {
            let named = body::named(&json);
            for (known, found) in [
                (&mut object_ref.namespace, named.namespace),
                (&mut object_ref.name, named.name),
                (&mut object_ref.uid, named.uid),
                (&mut object_ref.resource_version, named.resource_version),
            ] {
                if known.is_empty() {
                    *known = found;
                }
            }
        }
        if self.telling.level >= Level::Request {
            // A patch is told as it came.
            let omit = self.telling.omit_managed_fields && self.event.verb != "patch";
            self.event.request_object = body::raw(&json, omit);
        }
    }

    /// `constraint`: the verb of a constrained impersonation; empty for the other kind.
    pub fn impersonates(&mut self, user: &UserInfo, constraint: &str) {
        self.event.impersonated_user = Some(User::from(user));
        if !constraint.is_empty() {
            let impersonation_constraint = constraint.to_owned();
            self.event.authentication_metadata = Some(AuthenticationMetadata { impersonation_constraint });
        }
    }

    pub fn authorized(&mut self, decision: &Decision, reason: &str) {
        let decision = if *decision == Decision::Allow { "allow" } else { "forbid" };
        self.annotate("authorization.k8s.io/decision", decision);
        self.annotate("authorization.k8s.io/reason", reason);
    }

    /// The first word stands.
    pub fn annotate(&mut self, key: &str, value: &str) {
        self.event.annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }

    pub fn panicked(&mut self, status: &Status) {
        self.event.response_status = serde_json::to_value(status).ok();
        self.stage(Stage::Panic);
    }

    /// Tells how the request was answered. A long one is over only with its body.
    pub async fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let code = response.status();
        self.event.response_status = Some(json!({"metadata": {}, "code": code.as_u16()}));
        let (parts, body) = response.into_parts();
        if self.long_running && !code.is_client_error() && !code.is_server_error() {
            self.stage(Stage::ResponseStarted);
            let ending = Ending(Some(Box::new(self)));
            let body = body.map_frame(move |frame| {
                let _alive = &ending;
                frame
            });
            return Response::from_parts(parts, bodies::boxed(body));
        }
        let body = if self.telling.level == Level::RequestResponse || code >= StatusCode::BAD_REQUEST {
            match body.collect().await {
                Ok(collected) => {
                    let bytes = collected.to_bytes();
                    self.response(&parts.headers, &bytes);
                    bodies::full(bytes)
                }
                Err(_) => bodies::empty(),
            }
        } else {
            body
        };
        if self.long_running {
            self.stage(Stage::ResponseStarted);
        }
        self.stage(Stage::ResponseComplete);
        Response::from_parts(parts, body)
    }

    fn response(&mut self, headers: &HeaderMap, bytes: &Bytes) {
        let Some(json) = body::json(headers, bytes) else { return };
        if json.starts_with(br#"{"kind":"Status""#)
            && let Ok(Value::Object(mut status)) = serde_json::from_slice(&json)
        {
            status.remove("kind");
            status.remove("apiVersion");
            self.event.response_status = Some(Value::Object(status));
        }
        if self.telling.level == Level::RequestResponse {
            self.event.response_object = body::raw(&json, self.telling.omit_managed_fields);
        }
    }

    fn stage(&mut self, stage: Stage) {
        if self.telling.omit_stages.contains(&stage) {
            return;
        }
        self.event.stage = stage;
        self.event.stage_timestamp = self.audit.now();
        self.audit.tell(&Arc::new(self.event.clone()));
    }
}
