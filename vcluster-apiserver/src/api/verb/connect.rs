//! Connects: logs, exec, attach and port-forward go to the node side through the [`Connector`](crate::proxy::Connector),
//! proxy requests to the object itself.

use super::super::{Api, Call};
use crate::admission::Operation;
use crate::proxy::{self, ConnectTarget};
use crate::request::body::{self, Body};
use apimachinery::{GroupVersionKind, Object, Status};
use http::{Request, Response, StatusCode};

pub async fn serve(api: &Api, call: &Call, request: Request<Body>) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let subresource = if call.info.verb == "proxy" { "proxy" } else { call.target.subresource.as_str() };
    if call.target.name.is_empty() {
        return Err(Status::bad_request("name must be provided"));
    }
    if subresource == "proxy" {
        let mut options = Object::default();
        api.store.admit_only(&call.cx, &call.target, Operation::Connect, false, &mut options).await?;
        let rest = if call.info.verb == "proxy" {
            call.info.parts.get(2..).map(|p| p.join("/")).unwrap_or_default()
        } else {
            call.info.rest()
        };
        return proxy::http::serve(api, call, &rest, request).await;
    }
    if subresource == "log" {
        let errors = proxy::log_errors(&call.query);
        if !errors.is_empty() {
            let kind = GroupVersionKind::new("", "v1", "PodLogOptions");
            return Err(Status::invalid(&kind, &call.target.name, &errors));
        }
    }
    let key = call.target.key();
    let pod = api.store.backend.storage.get(&key).await;
    let pod = pod.map_err(|e| crate::registry::store::storage_status(&e, &call.target))?;
    let pod = pod.ok_or_else(|| Status::not_found(&resource.group_resource(), &call.target.name))?;
    let pod = crate::registry::store::tree(&pod)?;
    let pod = proxy::checked(&pod, subresource, &call.query)?;
    if subresource != "log" {
        let mut options = proxy::options(subresource, &call.query);
        api.store.admit_only(&call.cx, &call.target, Operation::Connect, false, &mut options).await?;
    }
    if pod.text_at(&["spec", "nodeName"]).is_empty() {
        if subresource == "log" {
            // Nobody has run it, so nobody has said anything.
            let mut nothing = Response::new(body::empty());
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            return Ok(nothing);
        }
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.target.name)));
    }
    let target = ConnectTarget {
        namespace: call.target.namespace.clone(),
        name: call.target.name.clone(),
        subresource: subresource.to_owned(),
        pod,
    };
    Ok(api.connector.connect(&call.cx, &target, request).await)
}
