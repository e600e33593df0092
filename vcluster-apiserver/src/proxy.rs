//! Connections that leave the API: to a pod's containers through the node side ([`Connector`]), and plain HTTP to pods,
//! services and nodes ([`http`]).

pub mod dial;
pub mod http;
mod links;
pub mod location;
pub mod tunnel;

use crate::request::RequestCx;
use crate::request::body::Body;
use crate::request::query::Query;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{GroupVersionKind, Object, Status};
use async_trait::async_trait;
use serde_json::Value;
use std::fmt::Write as _;

/// Where a connect goes.
#[derive(Clone, Debug)]
pub struct ConnectTarget {
    pub namespace: String,
    pub name: String,
    /// `log`, `exec`, `attach`, `portforward`.
    pub subresource: String,
    /// The pod as it was when the request was admitted, with the container of the query filled in.
    pub pod: Object,
}

/// The way to a pod's containers. In a tenant it goes to the host's API server, elsewhere to a kubelet.
///
/// The request comes as the client sent it, its query and upgrade headers included; authentication, authorization and
/// admission are behind it, and the caller's credentials must not be passed on. For an upgrade the answer is 101, and
/// the connection is taken over with `hyper::upgrade` (see [`tunnel`]).
#[async_trait]
pub trait Connector: Send + Sync {
    async fn connect(
        &self,
        cx: &RequestCx,
        target: &ConnectTarget,
        request: ::http::Request<Body>,
    ) -> ::http::Response<Body>;
}

/// A server without a node side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unconnected;

#[async_trait]
impl Connector for Unconnected {
    async fn connect(&self, _: &RequestCx, _: &ConnectTarget, _: ::http::Request<Body>) -> ::http::Response<Body> {
        let status = Status::service_unavailable("there is no way to the node of the pod");
        crate::api::error::response(&status, &crate::request::negotiate::Accepted::json())
    }
}

/// The options object that admission sees for a connect.
pub fn options(subresource: &str, query: &Query) -> Object {
    let kind = match subresource {
        "exec" => "PodExecOptions",
        "attach" => "PodAttachOptions",
        _ => "PodPortForwardOptions",
    };
    let mut object = Object::new(&GroupVersionKind::new("", "v1", kind));
    let map = object.as_map_mut();
    for flag in ["stdin", "stdout", "stderr", "tty"] {
        if query.contains(flag) {
            map.insert(flag.into(), query.flag(flag).into());
        }
    }
    if let Some(container) = query.filled("container") {
        map.insert("container".into(), container.into());
    }
    let command: Vec<Value> = query.all("command").map(Value::from).collect();
    if !command.is_empty() {
        map.insert("command".into(), command.into());
    }
    let ports: Vec<Value> = query.all("ports").filter_map(|p| p.parse::<u16>().ok()).map(Value::from).collect();
    if !ports.is_empty() {
        map.insert("ports".into(), ports.into());
    }
    object
}

fn container_names(pod: &Object, list: &str) -> Vec<String> {
    let containers = pod.at(&["spec", list]).and_then(Value::as_array).into_iter().flatten();
    containers.filter_map(|c| c.get("name")?.as_str().map(str::to_owned)).collect()
}

/// What is wrong with the options of a log (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidatePodLogOptions`).
pub fn log_errors(query: &Query) -> ErrorList {
    let number = |name: &str| query.filled(name).and_then(|text| text.parse::<i64>().ok());
    let mut errors = ErrorList::new();
    let mut least = |name: &str, least: i64, why: &str| {
        if let Some(count) = number(name).filter(|count| *count < least) {
            errors.push(FieldError::invalid(&Path::new(name), count, why));
        }
    };
    least("tailLines", 0, "must be greater than or equal to 0");
    least("limitBytes", 1, "must be greater than 0");
    if query.filled("sinceSeconds").is_some() && query.filled("sinceTime").is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        // That is how upstream prints a path without a name.
        errors.push(FieldError::forbidden(&Path::new("[]"), why));
    } else {
        least("sinceSeconds", 1, "must be greater than 0");
    }
    errors
}

/// Refuses what a pod cannot be connected for (k8s.io/kubernetes `pkg/registry/core/pod/strategy.go`: no container named
/// where there are several, a container that it does not have).
pub fn checked(pod: &Object, subresource: &str, query: &Query) -> Result<Object, Status> {
    if subresource == "portforward" {
        return Ok(pod.clone());
    }
    let (regular, init) = (container_names(pod, "containers"), container_names(pod, "initContainers"));
    let ephemeral = container_names(pod, "ephemeralContainers");
    let name = pod.name();
    match query.filled("container") {
        None if regular.len() > 1 && pod.annotation("kubectl.kubernetes.io/default-container").is_none() => {
            let mut text =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", regular.join(" "));
            if !init.is_empty() {
                let _ = write!(text, " or one of the init containers: [{}]", init.join(" "));
            }
            if !ephemeral.is_empty() {
                let _ = write!(text, " or one of the ephemeral containers: [{}]", ephemeral.join(" "));
            }
            Err(Status::bad_request(text))
        }
        Some(container) if !regular.iter().chain(&init).chain(&ephemeral).any(|c| c == container) => {
            Err(Status::bad_request(format!("container {container} is not valid for pod {name}")))
        }
        _ => Ok(pod.clone()),
    }
}
