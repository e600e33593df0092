//! Flow control and audit on a request's way, where a server has them.

use super::chain::Identity;
use crate::api::error;
use crate::audit::Audit;
use crate::audit::record::Record;
use crate::authn::user::ANONYMOUS;
use crate::authz::Attributes;
use crate::authz::selectors::Selectors;
use crate::flowcontrol::watches::Counted;
use crate::flowcontrol::{FlowControl, Turn};
use crate::request::body::{self, Body};
use crate::request::{RequestInfo, UserInfo};
use http::header::{HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a server may have in front of its verbs. Nothing of it by default.
#[derive(Clone, Default)]
pub struct Guards {
    pub flow: Option<Arc<FlowControl>>,
    pub audit: Option<Arc<Audit>>,
    /// Where requests without credentials may go; none means everywhere.
    pub anonymous_paths: Option<Arc<[String]>>,
}

impl Guards {
    /// Whether somebody may be nobody here.
    pub fn allows(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        let Some(paths) = &self.anonymous_paths else { return true };
        user.name != ANONYMOUS || paths.contains(&info.path)
    }
}

/// What a request leaves behind on its way, however it ends.
#[derive(Default)]
pub struct Trail {
    /// Headers of the answer.
    pub marks: HeaderMap,
    pub record: Option<Record>,
}

/// What is asked of authorization about a request, and told of it to the audit.
pub fn attributes(user: &Arc<UserInfo>, info: &RequestInfo) -> Attributes {
    Attributes {
        user: user.clone(),
        verb: info.verb.clone(),
        namespace: info.namespace.clone(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        name: info.name.clone(),
        is_resource: info.is_resource,
        path: info.path.clone(),
        selectors: Selectors::of_request(&info.field_selector, &info.label_selector),
    }
}

pub fn address(identity: &Identity) -> Option<SocketAddr> {
    match identity {
        Identity::Known(_) => None,
        Identity::Unknown(peer) => peer.address,
    }
}

impl Trail {
    /// The request again, after the audit has seen what it looks at.
    pub async fn observe(&mut self, request: Request<Body>) -> Result<Request<Body>, apimachinery::Status> {
        let Some(record) = self.record.as_mut().filter(|record| record.wants_request()) else { return Ok(request) };
        let (parts, body) = request.into_parts();
        let bytes = body::read(body).await?;
        record.request(&parts.headers, &bytes);
        Ok(Request::from_parts(parts, body::full(bytes)))
    }

    /// Notes how flow control sorted the request; the answer when it is refused.
    pub fn classified(&mut self, turn: &Turn) -> Option<Response<Body>> {
        turn.mark(&mut self.marks);
        let seconds = turn.outcome.as_ref().err()?.0;
        let mut response = error::text(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        Some(response)
    }
}

/// Counts a watch for as long as its body lives.
pub fn counted(response: Response<Body>, counted: Option<Counted>) -> Response<Body> {
    let Some(counted) = counted else { return response };
    response.map(|body| {
        body::boxed(body.map_frame(move |frame| {
            let _alive = &counted;
            frame
        }))
    })
}
