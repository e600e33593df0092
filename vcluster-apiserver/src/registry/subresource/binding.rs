//! `pods/binding` and `bindings`: a scheduler gives a pod its node
//! (k8s.io/kubernetes `pkg/registry/core/pod/storage/storage.go`).

use super::condition;
use crate::admission::Operation;
use crate::api::verb::create::{answer_object, options};
use crate::api::{Api, Call, decode};
use crate::registry::builtin;
use crate::registry::kinds::read::{needed, subdomain};
use crate::registry::resource::Target;
use crate::registry::store::{Change, place, timestamp};
use crate::request::body::Body;
use crate::request::negotiate::{self, Offer};
use crate::request::options::WriteKind;
use apimachinery::field::{FieldError, Path};
use apimachinery::{GroupResource, GroupVersionKind, GroupVersionResource, Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let kind = GroupVersionKind::new("", "v1", "Binding");
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::TRANSIENT)?;
    let options = options(call, WriteKind::Create)?;
    let model = builtin::model(&kind);
    let expected = decode::Expected { kind: &kind, model: &*model, protobuf: true };
    let mut binding = decode::object(&call.cx, &call.headers, &body, &expected, options.field_validation)?;
    let name = if call.target.name.is_empty() { binding.name().to_owned() } else { call.target.name.clone() };
    if !call.target.name.is_empty() && !binding.name().is_empty() && binding.name() != name {
        return Err(Status::bad_request(format!("name in URL does not match name in Binding object: {name}")));
    }
    let snapshot = api.registry.snapshot();
    let pods = snapshot.get(&GroupVersionResource::new("", "v1", "pods"));
    let pods = pods.ok_or_else(Status::no_such_path)?.clone();
    let target =
        Target { name, resource: pods, subresource: "binding".to_owned(), namespace: call.target.namespace.clone() };
    place(&mut binding, &target)?;
    api.store.admit_only(&call.cx, &target, Operation::Create, options.dry_run, &mut binding).await?;

    let text = |field: &str| binding.at(&["target", field]).and_then(Value::as_str).unwrap_or_default();
    let mut errors = Vec::new();
    let path = Path::new("target");
    if !matches!(text("kind"), "" | "Node") {
        errors.push(FieldError::not_supported(&path.child("kind"), text("kind"), &["Node", "<empty>"]));
    }
    let at = path.child("name");
    if matches!(text("kind"), "" | "Node") {
        needed(&at, text("name"), subdomain, &mut errors);
    } else if text("name").is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if !errors.is_empty() {
        // Upstream returns what it found as it is, and nobody gives it a code.
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(crate::api::error::untyped(match texts.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        }));
    }
    if target.name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let change = Bind {
        pod: target.name.clone(),
        node: text("name").to_owned(),
        uid: binding.uid().to_owned(),
        version: binding.resource_version().to_owned(),
        annotations: binding.at(&["metadata", "annotations"]).cloned(),
        labels: binding.at(&["metadata", "labels"]).cloned(),
        now: timestamp(api.store.clock.now()),
    };
    api.store.update_quietly(&target, &change, options.dry_run).await?;
    let mut status = Status::success(apimachinery::status::Details::default());
    status.details = None;
    status.code = 201;
    let value = serde_json::to_value(&status).unwrap_or_default();
    let answer = Object::from_value(value).unwrap_or_default();
    answer_object(StatusCode::CREATED, &accepted, &GroupVersionKind::new("", "v1", "Status"), answer)
}

struct Bind {
    pod: String,
    node: String,
    uid: String,
    version: String,
    annotations: Option<Value>,
    labels: Option<Value>,
    now: String,
}

impl Change for Bind {
    fn apply(&self, live: Option<&Object>) -> Result<Object, Status> {
        let pods = GroupResource::new("", "pods");
        let mut pod = live.cloned().ok_or_else(|| Status::not_found(&pods, &self.pod))?;
        let conflict = |why: String| Status::conflict(&GroupResource::new("", "pods/binding"), &self.pod, why);
        if !self.uid.is_empty() && self.uid != pod.uid() {
            let why =
                format!("Precondition failed: UID in precondition: {}, UID in object meta: {}", self.uid, pod.uid());
            return Err(Status::conflict(&pods, &self.pod, why));
        }
        if !self.version.is_empty() && self.version != pod.resource_version() {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {}, ResourceVersion in object meta: {}",
                self.version,
                pod.resource_version()
            );
            return Err(Status::conflict(&pods, &self.pod, why));
        }
        if pod.is_terminating() {
            return Err(conflict(format!("pod {} is being deleted, cannot be assigned to a host", self.pod)));
        }
        let bound = pod.at(&["spec", "nodeName"]).and_then(Value::as_str).unwrap_or_default();
        if !bound.is_empty() {
            return Err(conflict(format!("pod {} is already assigned to node \"{bound}\"", self.pod)));
        }
        let gates = pod.at(&["spec", "schedulingGates"]).and_then(Value::as_array);
        if gates.is_some_and(|g| !g.is_empty()) {
            return Err(conflict(format!("pod {} has non-empty .spec.schedulingGates", self.pod)));
        }
        pod.set_at(&["spec", "nodeName"], self.node.as_str().into());
        pod.remove_at(&["status", "nominatedNodeName"]);
        for (field, given) in [("annotations", &self.annotations), ("labels", &self.labels)] {
            for (key, value) in given.as_ref().and_then(Value::as_object).into_iter().flatten() {
                pod.set_at(&["metadata", field, key], value.clone());
            }
        }
        condition::hold(&mut pod, "PodScheduled", None, &self.now);
        Ok(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bind(pod: Value) -> Result<Object, u16> {
        let bind = Bind {
            pod: "p".into(),
            node: "n".into(),
            uid: "u".into(),
            version: String::new(),
            annotations: Some(json!({"a": "b"})),
            labels: None,
            now: "2026-01-01T00:00:00Z".into(),
        };
        bind.apply(Object::from_value(pod).as_ref()).map_err(|s| s.code)
    }

    #[test]
    fn a_pod_is_bound_once() {
        let bound = bind(json!({"metadata": {"uid": "u"}, "spec": {}})).unwrap();
        assert_eq!(bound.at(&["spec", "nodeName"]), Some(&json!("n")));
        assert_eq!(bound.annotation("a"), Some("b"));
        assert_eq!(bound.at(&["status", "conditions"]).unwrap()[0]["status"], "True");
        for pod in [
            json!({"metadata": {"uid": "u"}, "spec": {"nodeName": "m"}}),
            json!({"metadata": {"uid": "v"}, "spec": {}}),
            json!({"metadata": {"uid": "u", "deletionTimestamp": "t"}, "spec": {}}),
            json!({"metadata": {"uid": "u"}, "spec": {"schedulingGates": [{"name": "g"}]}}),
        ] {
            assert_eq!(bind(pod), Err(409));
        }
    }
}
