//! A namespace's limit ranges: defaults for containers, bounds for containers, pods and claims
//! (k8s.io/kubernetes `plugin/pkg/admission/limitranger`).

use super::pod_resources::{Resources, containers, read, total};
use super::{Attributes, Plugin, list};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::quantity::Quantity;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

#[derive(Clone, Copy, Debug, Default)]
pub struct LimitRanger;

fn limits(range: &Object) -> &[Value] {
    range.at(&["spec", "limits"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Gives containers the defaults of one range; returns the sentences for the annotation.
fn apply_defaults(range: &Object, pod: &mut Object) -> Vec<String> {
    let mut defaults =
        [("requests", "defaultRequest", "request", Resources::new()), ("limits", "default", "limit", Resources::new())];
    for limit in limits(range).iter().filter(|l| l.get("type").and_then(Value::as_str) == Some("Container")) {
        for (_, field, _, resources) in &mut defaults {
            resources.extend(read(limit.get(*field)));
        }
    }
    let mut sentences = Vec::new();
    let Some(Value::Object(spec)) = pod.as_map_mut().get_mut("spec") else { return sentences };
    for (list, called) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
        for container in containers.iter_mut().filter(|c| c.is_object()) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            if container.get("resources").is_none_or(Value::is_null) {
                container["resources"] = json!({});
            }
            for (kind, _, word, resources) in &defaults {
                let missing: Vec<_> = {
                    let given = container["resources"].get(*kind).and_then(Value::as_object);
                    resources.iter().filter(|(r, _)| given.is_none_or(|g| !g.contains_key(*r))).collect()
                };
                if missing.is_empty() {
                    continue;
                }
                if !container["resources"].get(*kind).is_some_and(Value::is_object) {
                    container["resources"][*kind] = json!({});
                }
                for (resource, quantity) in &missing {
                    container["resources"][*kind][resource.as_str()] = json!(quantity.to_string());
                }
                let names: Vec<&str> = missing.iter().map(|(r, _)| r.as_str()).collect();
                sentences.push(format!("{} {word} for {called} {name}", names.join(", ")));
            }
        }
    }
    sentences
}

/// The bounds of one limit on one set of requests and limits.
struct Bounds<'a> {
    kind: &'a str,
    requests: &'a Resources,
    limits: &'a Resources,
}

impl Bounds<'_> {
    fn min(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let kind = self.kind;
        let Some(request) = self.requests.get(name) else {
            return Some(format!("minimum {name} usage per {kind} is {enforced}.  No request is specified"));
        };
        if request < enforced {
            return Some(format!("minimum {name} usage per {kind} is {enforced}, but request is {request}"));
        }
        let limit = self.limits.get(name).filter(|l| *l < enforced)?;
        Some(format!("minimum {name} usage per {kind} is {enforced}, but limit is {limit}"))
    }

    fn max(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let kind = self.kind;
        let Some(limit) = self.limits.get(name) else {
            return Some(format!("maximum {name} usage per {kind} is {enforced}.  No limit is specified"));
        };
        if limit > enforced {
            return Some(format!("maximum {name} usage per {kind} is {enforced}, but limit is {limit}"));
        }
        let request = self.requests.get(name).filter(|r| *r > enforced)?;
        Some(format!("maximum {name} usage per {kind} is {enforced}, but request is {request}"))
    }

    fn max_request(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let kind = self.kind;
        let Some(request) = self.requests.get(name) else {
            return Some(format!("maximum {name} usage per {kind} is {enforced}.  No request is specified"));
        };
        (request > enforced).then(|| format!("maximum {name} usage per {kind} is {enforced}, but request is {request}"))
    }

    fn ratio(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let head = format!("{name} max limit to request ratio per {} is {enforced}", self.kind);
        let of = |list: &Resources| list.get(name).filter(|q| !q.is_zero()).map(Quantity::as_f64);
        let Some(request) = of(self.requests) else {
            return Some(format!("{head}, but no request is specified or request is 0"));
        };
        let Some(limit) = of(self.limits) else {
            return Some(format!("{head}, but no limit is specified or limit is 0"));
        };
        let ratio = limit / request;
        (ratio > enforced.as_f64()).then(|| format!("{head}, but provided ratio is {ratio:.6}"))
    }

    fn check(&self, limit: &Value, errors: &mut Vec<String>) {
        let each = |field: &str| read(limit.get(field)).into_iter();
        errors.extend(each("min").filter_map(|(name, q)| self.min(&name, &q)));
        if self.kind == "PersistentVolumeClaim" {
            errors.extend(each("max").filter_map(|(name, q)| self.max_request(&name, &q)));
            return;
        }
        errors.extend(each("max").filter_map(|(name, q)| self.max(&name, &q)));
        errors.extend(each("maxLimitRequestRatio").filter_map(|(name, q)| self.ratio(&name, &q)));
    }
}

fn violations(range: &Object, object: &Object, is_pod: bool) -> Vec<String> {
    let mut errors = Vec::new();
    for limit in limits(range) {
        let kind = limit.get("type").and_then(Value::as_str).unwrap_or_default();
        let mut check = |requests: &Resources, limits: &Resources| {
            Bounds { kind, requests, limits }.check(limit, &mut errors);
        };
        match (kind, is_pod) {
            ("Container", true) => {
                for container in containers(object, "containers").iter().chain(containers(object, "initContainers")) {
                    let of = |kind: &str| read(container.pointer(&format!("/resources/{kind}")));
                    check(&of("requests"), &of("limits"));
                }
            }
            ("Pod", true) => check(&total(object, "requests"), &total(object, "limits")),
            ("PersistentVolumeClaim", false) => {
                check(&read(object.at(&["spec", "resources", "requests"])), &Resources::new());
            }
            _ => {}
        }
    }
    // Several errors are shown once each, in brackets.
    let mut seen = std::collections::HashSet::new();
    errors.retain(|e| seen.insert(e.clone()));
    errors
}

fn aggregate(mut errors: Vec<String>) -> String {
    if errors.len() == 1 { errors.remove(0) } else { format!("[{}]", errors.join(", ")) }
}

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, a: &Attributes) -> bool {
        if a.old.as_ref().is_some_and(Object::is_terminating) {
            return false;
        }
        (a.creates() && a.is("", "pods"))
            || (a.updates() && a.is_at("", "pods", "resize"))
            || ((a.creates() || a.updates()) && a.is("", "persistentvolumeclaims"))
    }

    async fn admit(&self, _: &RequestCx, backend: &Backend, a: &Attributes, object: &mut Object) -> Result<(), Status> {
        if a.resource.resource != "pods" {
            return Ok(());
        }
        for range in list(backend, "", "limitranges", Some(&a.namespace)).await? {
            let sentences = apply_defaults(&range, object);
            if !sentences.is_empty() {
                let text = format!("LimitRanger plugin set: {}", sentences.join("; "));
                object.set_at(&["metadata", "annotations", ANNOTATION], Value::String(text));
            }
        }
        Ok(())
    }

    async fn validate(
        &self,
        _: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        for range in list(backend, "", "limitranges", Some(&a.namespace)).await? {
            let errors = violations(&range, object, a.resource.resource == "pods");
            if !errors.is_empty() {
                return Err(a.forbidden(object, aggregate(errors)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;

    async fn ask(limits: Value, spec: Value) -> Result<Value, Status> {
        let store = Fixture::default();
        let range = json!({ "metadata": { "name": "r", "namespace": "ns" }, "spec": { "limits": [limits] } });
        store.put("limitranges", "", range).await;
        let pod = json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": spec });
        Asked::create("/pods", pod).run(&LimitRanger, &store).await.map(|(pod, ..)| pod)
    }

    #[tokio::test]
    async fn containers_get_what_they_did_not_say() {
        let limits = json!({ "type": "Container", "defaultRequest": { "cpu": "100m", "memory": "1Gi" }, "default": { "cpu": "1" } });
        let given = json!({ "name": "a", "resources": { "requests": { "cpu": "50m" } } });
        let pod = ask(limits, json!({ "containers": [given] })).await.unwrap();
        let wanted = json!({ "requests": { "cpu": "50m", "memory": "1Gi" }, "limits": { "cpu": "1" } });
        assert_eq!(pod["spec"]["containers"][0]["resources"], wanted);
        let text = "LimitRanger plugin set: memory request for container a; cpu limit for container a";
        assert_eq!(pod["metadata"]["annotations"][ANNOTATION], text);
    }

    #[tokio::test]
    async fn bounds_are_enforced_in_upstreams_words() {
        let container = |requests: Value, limits: Value| json!({ "containers": [{ "name": "a", "resources": { "requests": requests, "limits": limits } }] });
        let cases = [
            (
                json!({ "type": "Container", "min": { "cpu": "100m" } }),
                container(json!({ "cpu": "50m" }), json!({})),
                "minimum cpu usage per Container is 100m, but request is 50m",
            ),
            (
                json!({ "type": "Container", "max": { "cpu": "1" } }),
                container(json!({}), json!({})),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (
                json!({ "type": "Pod", "max": { "cpu": "1" } }),
                container(json!({ "cpu": "1" }), json!({ "cpu": "2" })),
                "maximum cpu usage per Pod is 1, but limit is 2",
            ),
            (
                json!({ "type": "Container", "maxLimitRequestRatio": { "cpu": "2" } }),
                container(json!({ "cpu": "1" }), json!({ "cpu": "3" })),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
            (
                json!({ "type": "Container", "min": { "cpu": "1" }, "max": { "memory": "1" } }),
                container(json!({ "cpu": "1" }), json!({ "cpu": "900m", "memory": "2" })),
                "[minimum cpu usage per Container is 1, but limit is 900m, maximum memory usage per Container is 1, but limit is 2]",
            ),
        ];
        for (limits, spec, wanted) in cases {
            let refused = ask(limits, spec).await.unwrap_err();
            assert_eq!(refused.message, format!("pods \"p\" is forbidden: {wanted}"));
        }
    }
}
