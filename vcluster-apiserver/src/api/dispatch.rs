//! From a resource request to the verb that serves it.

use super::verb::{connect, create, delete, delete_collection, get, list, patch, update, watch};
use super::{Api, Call, error};
use crate::registry::resource::{Resource, Subresource, Target};
use crate::registry::subresource::{binding, eviction, scale};
use crate::request::body::{self, Body};
use crate::request::negotiate;
use crate::request::query::Query;
use crate::request::{RequestCx, RequestInfo};
use apimachinery::Status;
use apimachinery::validation::name_is_path_segment;
use http::{Request, Response};
use std::fmt::Write as _;
use std::sync::Arc;

/// Serves a resource request, of which authorization is already known.
pub async fn serve(
    api: &Arc<Api>,
    cx: RequestCx,
    info: RequestInfo,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let snapshot = api.registry.snapshot();
    let Some(resource) = snapshot.get(&info.gvr()) else { return no_such_resource(&info.group) };
    let resource = resource.clone();
    if !fits(&resource, &info) {
        return no_such_resource(&info.group);
    }
    let subresource = if info.subresource.is_empty() {
        None
    } else {
        match resource.subresource(&info.subresource) {
            Some(found) => Some(found.clone()),
            None => return no_such_resource(&info.group),
        }
    };
    let routed = !resource.model.items_are_typed();
    // Custom resources are served beside the router, which knows HEAD of proxies only.
    if routed && request.method() == http::Method::HEAD && info.subresource != "proxy" {
        return Err(error::no_such_method());
    }
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
    let wrong = name_is_path_segment(&target.name, false);
    if !wrong.is_empty() {
        return Err(Status::bad_request(format!("Name parameter invalid: {:?}: {}", target.name, wrong.join(";"))));
    }
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
        return Err(unsupported(&call));
    }
    if routed {
        negotiate::route(&call.headers, verb)?;
    }
    if let Some(text) = deprecation(resource) {
        call.cx.warn(text);
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

/// What the type's lifecycle says about its end (upstream's `deprecation.WarningMessage`).
fn deprecation(resource: &Resource) -> Option<String> {
    let row = schema::kind(&resource.kind)?;
    let since = row.deprecated()?;
    let mut text = format!("{} {} is deprecated in v{since}+", resource.kind.api_version(), resource.kind.kind);
    if let Some(removed) = row.removed() {
        let _ = write!(text, ", unavailable in v{removed}+");
    }
    if let Some((version, kind)) = row.replacement().and_then(|replacement| replacement.rsplit_once('/')) {
        let _ = write!(text, "; use {version} {kind}");
    }
    Some(text)
}

/// 405 in the words of the router, or of the handler of custom resources.
fn unsupported(call: &Call) -> Status {
    let resource = &call.target.resource;
    if !resource.model.items_are_typed() {
        return error::no_such_method();
    }
    let verb = call.info.verb.as_str();
    let word = if verb.is_empty() { call.method.as_str() } else { verb };
    Status::method_not_supported(&resource.group_resource(), word)
}

/// 404: a Status below the paths of built-in groups, which upstream routes, and plain text elsewhere.
fn no_such_resource(group: &str) -> Result<Response<Body>, Status> {
    if schema::served().iter().any(|served| served.group == group) {
        return Err(Status::no_such_path());
    }
    Ok(error::no_such_path())
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
        return Err(unsupported(call));
    }
    if connects {
        return connect::serve(api, call, request).await;
    }
    if !call.target.resource.model.items_are_typed() {
        negotiate::route(&call.headers, verb)?;
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
            _ => Err(unsupported(call)),
        },
    }
}
