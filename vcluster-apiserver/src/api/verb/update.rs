//! PUT (k8s.io/apiserver `pkg/endpoints/handlers/update.go`).

use super::super::{Api, Call};
use super::create::{decoded, options, respond};
use crate::registry::store::Change;
use crate::request::body::Body;
use crate::request::negotiate::{self, Offer};
use crate::request::options::WriteKind;
use apimachinery::{Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::RESOURCE)?;
    let options = options(call, WriteKind::Update)?;
    let object = decoded(call, resource, &body, &options)?;
    if object.name().is_empty() {
        let name = &call.target.name;
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if object.name() != call.target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            object.name(),
            call.target.name
        )));
    }
    let replacement = Replacement(object);
    let outcome = api.store.update(&call.cx, &call.target, &replacement, &options).await?;
    let code = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    respond(api, call, code, &accepted, &outcome.body)
}

/// The whole object as the client wants it.
struct Replacement(Object);

impl Change for Replacement {
    fn apply(&self, _: Option<&Object>) -> Result<Object, Status> {
        Ok(self.0.clone())
    }

    fn uid(&self) -> Option<&str> {
        Some(self.0.uid()).filter(|uid| !uid.is_empty())
    }
}
