//! GET and HEAD of one object.

use super::super::{Api, Call, encode, table};
use crate::registry::store::storage_status;
use crate::request::body::Body;
use crate::request::negotiate::{self, Offer};
use apimachinery::Status;
use apimachinery::field::{FieldError, Path};
use http::{Response, StatusCode};
use std::time::Duration;
use storage::Revision;

/// How long a read waits for a revision that has not happened yet (upstream's `blockTimeout`).
const WAIT: Duration = Duration::from_secs(3);

pub async fn serve(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::RESOURCE)?;
    let include = table::Include::parse(call.query.get("includeObject"))?;
    reach(api, call, call.query.get("resourceVersion").unwrap_or_default()).await?;
    let entry = api.cache.entry(&call.target.key());
    let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), &call.target.name))?;
    let now = api.store.clock.now();
    let (kind, json) = encode::shape(resource, &accepted.form, include, &entry.body, now)?;
    encode::respond(&call.headers, StatusCode::OK, &accepted, &kind, json)
}

/// Waits until the cache is as new as the client's resourceVersion demands; answers where it stands.
pub async fn reach(api: &Api, call: &Call, version: &str) -> Result<Revision, Status> {
    let known = parse_version(version).map_err(|status| match &*call.target.resource.stored.resource {
        // Upstream keeps events in no cache and asks its store, which has other words for it.
        "events" => Status::bad_request(format!("invalid resource version: {}", status.message)),
        _ => status,
    });
    let reached = match known? {
        None => api.cache.consistent().await,
        Some(Revision(0)) => Ok(api.cache.applied()),
        Some(asked) => api.cache.fresh(asked, WAIT).await,
    };
    reached.map_err(|e| storage_status(&e, &call.target))
}

/// None when nothing was said.
pub fn parse_version(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(|n| Some(Revision(n))).map_err(|_| {
        let why = format!("strconv.ParseUint: parsing \"{text}\": invalid syntax");
        // Upstream returns the bare error of the field, to which nobody gives a code.
        crate::api::error::untyped(FieldError::invalid(&Path::new("resourceVersion"), text, why).to_string())
    })
}
