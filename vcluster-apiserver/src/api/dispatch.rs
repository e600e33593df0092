//! From a resource request to the verb that serves it.

use super::verb::{connect, create, delete, delete_collection, get, list, patch, update, watch};
use super::{Api, Call, error};
use crate::registry::resource::{Resource, Subresource, Target};
use crate::registry::subresource::{binding, eviction, scale};
use crate::request::body::{self, Body};
use crate::request::query::Query;
use crate::request::{RequestCx, RequestInfo};
use apimachinery::Status;
use http::{Request, Response};
use std::sync::Arc;

/// Serves a resource request, of which authorization is already known.
pub async fn serve(
    api: &Arc<Api>,
    cx: RequestCx,
    info: RequestInfo,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let snapshot = api.registry.snapshot();
    let Some(resource) = snapshot.get(&info.gvr()) else { return Ok(error::no_such_path()) };
    let resource = resource.clone();
    if !fits(&resource, &info) {
        return Ok(error::no_such_path());
    }
    let subresource = if info.subresource.is_empty() {
        None
    } else {
        match resource.subresource(&info.subresource) {
            Some(found) => Some(found.clone()),
            None => return Ok(error::no_such_path()),
        }
    };
    let target = Target {
        namespace: if resource.namespaced { info.namespace.clone() } else { String::new() },
        // A name out of a field selector is for authorization only.
        name: if matches!(info.verb.as_str(), "list" | "watch") && info.parts.len() < 2 {
            String::new()
        } else {
            info.name.clone()
        },
        subresource: info.subresource.clone(),
        resource,
    };
    let (parts, body) = request.into_parts();
    let call = Call {
        cx,
        method: parts.method.clone(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        headers: parts.headers.clone(),
        info,
        target,
    };
    if let Some(subresource) = subresource {
        return of_subresource(api, &call, &subresource, Request::from_parts(parts, body)).await;
    }
    let resource = &call.target.resource;
    let verb = call.info.verb.as_str();
    if verb == "proxy" {
        return connect::serve(api, &call, Request::from_parts(parts, body)).await;
    }
    // Some verbs are of one object, creation is of the collection; the other way round there is no such method.
    let misplaced = match verb {
        "update" | "patch" => call.target.name.is_empty(),
        "create" => !call.target.name.is_empty(),
        _ => false,
    };
    if misplaced || !resource.has_verb(verb) {
        return Err(Status::method_not_supported(&resource.group_resource(), method_word(&call)));
    }
    if &*resource.stored.resource == "bindings" {
        return binding::serve(api, &call, body::read(body).await?).await;
    }
    match verb {
        "get" => get::serve(api, &call).await,
        "list" => list::serve(api, &call).await,
        "watch" => watch::serve(api, &call).await,
        "create" => create::serve(api, &call, body::read(body).await?).await,
        "update" => update::serve(api, &call, body::read(body).await?).await,
        "patch" => patch::serve(api, &call, body::read(body).await?).await,
        "delete" => delete::serve(api, &call, body::read(body).await?).await,
        _ => delete_collection::serve(api, &call, body::read(body).await?).await,
    }
}

/// Whether scope and shape of the path are those of the resource.
fn fits(resource: &Resource, info: &RequestInfo) -> bool {
    if resource.namespaced {
        // Over all namespaces there are lists and watches only.
        return !info.namespace.is_empty() || (info.parts.len() == 1 && matches!(info.verb.as_str(), "list" | "watch"));
    }
    info.namespace.is_empty() || resource.gvr.resource == "namespaces"
}

fn method_word(call: &Call) -> &str {
    match call.info.verb.as_str() {
        "" => call.method.as_str(),
        verb => verb,
    }
}

async fn of_subresource(
    api: &Arc<Api>,
    call: &Call,
    subresource: &Subresource,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let verb = call.info.verb.as_str();
    let name = subresource.name.as_str();
    let connects = matches!(name, "log" | "exec" | "attach" | "portforward" | "proxy");
    if !subresource.verbs.iter().any(|v| v == verb) && !connects {
        let resource = call.target.resource.group_resource();
        return Err(Status::method_not_supported(&resource, method_word(call)));
    }
    if connects {
        return connect::serve(api, call, request).await;
    }
    let body = request.into_body();
    if let Some(special) = api.special.get(&call.target) {
        return create::special(api, call, subresource, special, body::read(body).await?).await;
    }
    match name {
        "scale" => scale::serve(api, call, body::read(body).await?).await,
        "binding" => binding::serve(api, call, body::read(body).await?).await,
        "eviction" => eviction::serve(api, call, body::read(body).await?).await,
        _ => match verb {
            "get" => get::serve(api, call).await,
            "update" => update::serve(api, call, body::read(body).await?).await,
            "patch" => patch::serve(api, call, body::read(body).await?).await,
            _ => Err(Status::method_not_supported(&call.target.resource.group_resource(), method_word(call))),
        },
    }
}
