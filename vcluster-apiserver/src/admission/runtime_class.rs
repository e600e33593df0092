//! Pods of a runtime class get its overhead, node selector and tolerations
//! (k8s.io/kubernetes `plugin/pkg/admission/runtimeclass`).

use super::{Attributes, Plugin, lookup};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::quantity::Quantity;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default)]
pub struct RuntimeClass;

async fn class(backend: &Backend, a: &Attributes, pod: &Object) -> Result<Option<Object>, Status> {
    let Some(name) = pod.at(&["spec", "runtimeClassName"]).and_then(Value::as_str) else { return Ok(None) };
    match lookup(backend, "node.k8s.io", "runtimeclasses", "", name).await? {
        None => Err(a.forbidden(pod, format!("pod rejected: RuntimeClass {name:?} not found"))),
        found => Ok(found),
    }
}

fn overhead(class: &Object) -> Option<&Value> {
    class.at(&["overhead"]).filter(|o| !o.is_null())?;
    class.at(&["overhead", "podFixed"])
}

/// Equal as quantities, whatever they were written like.
fn same_resources(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    a.len() == b.len()
        && a.iter().all(|(name, value)| {
            b.get(name).is_some_and(|other| match (Quantity::from_json(value), Quantity::from_json(other)) {
                (Ok(value), Ok(other)) => value == other,
                _ => value == other,
            })
        })
}

fn set_scheduling(a: &Attributes, pod: &mut Object, class: &Object) -> Result<(), Status> {
    if let Some(Value::Object(selector)) = class.at(&["scheduling", "nodeSelector"]) {
        for (key, value) in selector {
            let wanted = value.as_str().unwrap_or_default();
            let given = pod.at(&["spec", "nodeSelector", key]).and_then(Value::as_str);
            if let Some(given) = given.filter(|given| *given != wanted) {
                let why = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
                );
                return Err(a.forbidden(pod, why));
            }
            pod.set_at(&["spec", "nodeSelector", key], value.clone());
        }
    }
    if let Some(Value::Array(added)) = class.at(&["scheduling", "tolerations"]) {
        let mut tolerations = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
        for toleration in added {
            if !tolerations.contains(toleration) {
                tolerations.push(toleration.clone());
            }
        }
        pod.set_at(&["spec", "tolerations"], Value::Array(tolerations));
    }
    Ok(())
}

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.creates() && a.is("", "pods")
    }

    async fn admit(&self, _: &RequestCx, backend: &Backend, a: &Attributes, pod: &mut Object) -> Result<(), Status> {
        let Some(class) = class(backend, a, pod).await? else { return Ok(()) };
        if let Some(wanted) = overhead(&class) {
            let given = pod.at(&["spec", "overhead"]).filter(|o| o.as_object().is_some_and(|m| !m.is_empty()));
            if given.is_some_and(|given| !same_resources(given, wanted)) {
                let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
                return Err(a.forbidden(pod, why));
            }
            pod.set_at(&["spec", "overhead"], wanted.clone());
        }
        set_scheduling(a, pod, &class)
    }

    async fn validate(
        &self,
        _: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        pod: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        let class = class(backend, a, pod).await?;
        let given = pod.at(&["spec", "overhead"]).filter(|o| !o.is_null());
        match (class.as_ref().and_then(overhead), given) {
            (Some(wanted), Some(given)) if same_resources(wanted, given) => Ok(()),
            (Some(_), _) => {
                Err(a.forbidden(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"))
            }
            (None, Some(_)) => Err(
                a.forbidden(pod, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
            ),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    #[tokio::test]
    async fn a_class_shapes_its_pods() {
        let store = Fixture::default();
        let class = json!({
            "metadata": { "name": "vm" },
            "overhead": { "podFixed": { "cpu": "250m" } },
            "scheduling": { "nodeSelector": { "vm": "yes" }, "tolerations": [{ "key": "vm" }] },
        });
        store.put("runtimeclasses", "node.k8s.io", class).await;
        let ask = async |spec: Value| {
            let pod = json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": spec });
            Asked::create("/pods", pod).run(&RuntimeClass, &store).await.map(|(pod, ..)| pod["spec"].clone())
        };
        let shaped = ask(json!({ "runtimeClassName": "vm" })).await.unwrap();
        assert_eq!((&shaped["overhead"]["cpu"], &shaped["nodeSelector"]["vm"]), (&json!("250m"), &json!("yes")));
        assert_eq!(shaped["tolerations"], json!([{ "key": "vm" }]));
        ask(json!({ "runtimeClassName": "vm", "overhead": { "cpu": "0.25" } })).await.unwrap();
        for bad in [
            json!({ "runtimeClassName": "none" }),
            json!({ "runtimeClassName": "vm", "overhead": { "cpu": "1" } }),
            json!({ "runtimeClassName": "vm", "nodeSelector": { "vm": "no" } }),
            json!({ "overhead": { "cpu": "1" } }),
        ] {
            assert_eq!(ask(bad.clone()).await.unwrap_err().code, 403, "{bad}");
        }
    }
}
