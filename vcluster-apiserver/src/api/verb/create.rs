//! POST of a new object (k8s.io/apiserver `pkg/endpoints/handlers/create.go`).

use super::super::decode::{self, Expected};
use super::super::{Api, Call, encode, table};
use crate::admission::Operation;
use crate::registry::builtin;
use crate::registry::resource::{Resource, Subresource, Target};
use crate::registry::special::SpecialResource;
use crate::registry::store::{place, wipe};
use crate::request::body::Body;
use crate::request::negotiate::{self, Accepted, Offer};
use crate::request::options::{WriteKind, WriteOptions};
use apimachinery::{Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use std::sync::Arc;

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let special = api.special.get(&call.target);
    let offer = if special.is_some() { Offer::TRANSIENT } else { Offer::RESOURCE };
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), offer)?;
    let options = options(call, WriteKind::Create)?;
    let object = decoded(call, resource, &body, &options)?;
    if let Some(special) = special {
        let mut object = object;
        wipe(&mut object);
        place(&mut object, &call.target)?;
        // Nobody keeps it, yet upstream tells who sent it.
        let tracking = api.store.tracking(&call.target, &options);
        resource.model.track_update(None, &mut object, &tracking);
        api.store.admit_only(&call.cx, &call.target, Operation::Create, options.dry_run, &mut object).await?;
        let answer = special.create(&call.cx, &api.store.backend, &call.target, object, options.dry_run).await?;
        return answer_object(StatusCode::CREATED, &accepted, &resource.kind, answer);
    }
    if !resource.is_persisted() {
        return Err(Status::method_not_supported(&resource.group_resource(), "create"));
    }
    let target = Target { name: object.name().to_owned(), ..call.target.clone() };
    let outcome = api.store.create(&call.cx, &target, object, &options).await?;
    respond(api, call, StatusCode::CREATED, &accepted, &outcome.body)
}

/// POST to a subresource that is answered and not stored; its kind often belongs to another group.
pub async fn special(
    api: &Api,
    call: &Call,
    subresource: &Subresource,
    special: &Arc<dyn SpecialResource>,
    body: Bytes,
) -> Result<Response<Body>, Status> {
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::TRANSIENT)?;
    let options = options(call, WriteKind::Create)?;
    let model = builtin::model(&subresource.kind);
    let expected = Expected { kind: &subresource.kind, model: &*model, protobuf: true };
    let mut object = decode::object(&call.cx, &call.headers, &body, &expected, options.field_validation)?;
    if object.name().is_empty() {
        object.set_meta_str("name", &call.target.name);
    }
    if object.namespace().is_empty() {
        object.set_meta_str("namespace", &call.target.namespace);
    }
    api.store.admit_only(&call.cx, &call.target, Operation::Create, options.dry_run, &mut object).await?;
    let answer = special.create(&call.cx, &api.store.backend, &call.target, object, options.dry_run).await?;
    answer_object(StatusCode::CREATED, &accepted, &subresource.kind, answer)
}

/// Write options with the manager filled in from the user agent.
pub fn options(call: &Call, kind: WriteKind) -> Result<WriteOptions, Status> {
    let mut options = WriteOptions::parse(&call.query, kind)?;
    options.field_manager = options.manager(call.user_agent()).to_owned();
    Ok(options)
}

/// The request's body as an object of the resource.
pub fn decoded(call: &Call, resource: &Resource, body: &Bytes, options: &WriteOptions) -> Result<Object, Status> {
    let expected =
        Expected { kind: &resource.kind, model: &*resource.model, protobuf: !resource.model.items_are_typed() };
    decode::object(&call.cx, &call.headers, body, &expected, options.field_validation)
}

/// Answers with a stored body.
pub fn respond(
    api: &Api,
    call: &Call,
    code: StatusCode,
    accepted: &Accepted,
    stored: &Bytes,
) -> Result<Response<Body>, Status> {
    let include = table::Include::parse(call.query.get("includeObject"))?;
    let now = api.store.clock.now();
    let (kind, json) = encode::shape(&call.target.resource, &accepted.form, include, stored, now)?;
    // Only reads are worth compressing; upstream compresses nothing else.
    encode::respond(&http::HeaderMap::new(), code, accepted, &kind, json)
}

/// Answers with an object that is not stored.
pub fn answer_object(
    code: StatusCode,
    accepted: &Accepted,
    kind: &apimachinery::GroupVersionKind,
    mut object: Object,
) -> Result<Response<Body>, Status> {
    builtin::model(kind).omit_empties(&mut object);
    encode::respond(&http::HeaderMap::new(), code, accepted, kind, object.to_bytes().into())
}
