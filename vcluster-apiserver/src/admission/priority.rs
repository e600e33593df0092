//! Pods carry the number of their priority class (k8s.io/kubernetes `plugin/pkg/admission/priority`).

use super::{Attributes, Plugin, list, lookup};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};

const GROUP: &str = "scheduling.k8s.io";

#[derive(Clone, Copy, Debug, Default)]
pub struct Priority;

/// What a class, or the lack of one, gives to a pod.
struct Established {
    class: String,
    value: i64,
    policy: Option<String>,
}

impl Established {
    fn of(class: &Object) -> Self {
        Self {
            class: class.name().to_owned(),
            value: class.at(&["value"]).and_then(Value::as_i64).unwrap_or(0),
            policy: class.at(&["preemptionPolicy"]).and_then(Value::as_str).map(str::to_owned),
        }
    }
}

async fn default_class(backend: &Backend) -> Result<Option<Object>, Status> {
    let classes = list(backend, GROUP, "priorityclasses", None).await?;
    let is_default = |c: &Object| c.at(&["globalDefault"]) == Some(&Value::Bool(true));
    let value = |c: &Object| c.at(&["value"]).and_then(Value::as_i64).unwrap_or(0);
    Ok(classes.into_iter().filter(is_default).min_by_key(value))
}

async fn establish(backend: &Backend, a: &Attributes, pod: &Object) -> Result<Established, Status> {
    let name = pod.at(&["spec", "priorityClassName"]).and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        let none = Established { class: String::new(), value: 0, policy: Some("PreemptLowerPriority".into()) };
        return Ok(default_class(backend).await?.map_or(none, |c| Established::of(&c)));
    }
    match lookup(backend, GROUP, "priorityclasses", "", name).await? {
        Some(class) => Ok(Established::of(&class)),
        None => Err(a.forbidden(pod, format!("no PriorityClass with name {name} was found"))),
    }
}

async fn admit_created(backend: &Backend, a: &Attributes, pod: &mut Object) -> Result<(), Status> {
    let established = establish(backend, a, pod).await?;
    let value = established.value;
    if let Some(given) = pod.at(&["spec", "priority"]).and_then(Value::as_i64).filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(a.forbidden(pod, why));
    }
    pod.set_at(&["spec", "priority"], json!(value));
    if !established.class.is_empty() {
        pod.set_at(&["spec", "priorityClassName"], json!(established.class));
    }
    if let Some(policy) = established.policy {
        let given = pod.at(&["spec", "preemptionPolicy"]).and_then(Value::as_str).filter(|given| *given != policy);
        if let Some(given) = given {
            let why = format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            );
            return Err(a.forbidden(pod, why));
        }
        pod.set_at(&["spec", "preemptionPolicy"], json!(policy));
    }
    Ok(())
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, a: &Attributes) -> bool {
        (a.creates() || a.updates()) && (a.is("", "pods") || a.is(GROUP, "priorityclasses"))
    }

    async fn admit(&self, _: &RequestCx, backend: &Backend, a: &Attributes, object: &mut Object) -> Result<(), Status> {
        if !a.is("", "pods") {
            return Ok(());
        }
        if a.creates() {
            return admit_created(backend, a, object).await;
        }
        for field in ["priority", "preemptionPolicy"] {
            let old = a.old.as_ref().and_then(|o| o.at(&["spec", field])).filter(|v| !v.is_null());
            if let Some(old) = old
                && object.at(&["spec", field]).is_none_or(Value::is_null)
            {
                object.set_at(&["spec", field], old.clone());
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
        if !a.is(GROUP, "priorityclasses") || object.at(&["globalDefault"]) != Some(&Value::Bool(true)) {
            return Ok(());
        }
        match default_class(backend).await? {
            Some(other) if a.creates() || other.name() != object.name() => {
                let why =
                    format!("PriorityClass {} is already marked as default. Only one default can exist", other.name());
                Err(a.forbidden(object, why))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;

    async fn ask(store: &Fixture, spec: Value) -> Result<Value, Status> {
        let asked = Asked::create("/pods", json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": spec }));
        asked.run(&Priority, store).await.map(|(pod, ..)| pod["spec"].clone())
    }

    async fn class(store: &Fixture, name: &str, value: i64, default: bool) {
        let object = json!({ "metadata": { "name": name }, "value": value, "globalDefault": default, "preemptionPolicy": "Never" });
        store.put("priorityclasses", GROUP, object).await;
    }

    #[tokio::test]
    async fn pods_get_the_number_of_their_class() {
        let store = Fixture::default();
        let plain = ask(&store, json!({})).await.unwrap();
        assert_eq!(plain, json!({ "priority": 0, "preemptionPolicy": "PreemptLowerPriority" }));
        class(&store, "high", 1000, false).await;
        let high = ask(&store, json!({ "priorityClassName": "high" })).await.unwrap();
        assert_eq!(high, json!({ "priorityClassName": "high", "priority": 1000, "preemptionPolicy": "Never" }));
        class(&store, "usual", 10, true).await;
        assert_eq!(ask(&store, json!({})).await.unwrap()["priorityClassName"], "usual");
        let missing = ask(&store, json!({ "priorityClassName": "x" })).await.unwrap_err();
        assert_eq!(missing.message, "pods \"p\" is forbidden: no PriorityClass with name x was found");
        let wrong = ask(&store, json!({ "priorityClassName": "high", "priority": 1 })).await.unwrap_err();
        assert!(wrong.message.contains("the integer value of priority (1) must not be provided in pod spec"));
        let second = json!({ "metadata": { "name": "second" }, "globalDefault": true });
        let refused = Asked::create("scheduling.k8s.io/priorityclasses", second).run(&Priority, &store).await;
        assert!(
            refused
                .unwrap_err()
                .message
                .ends_with("PriorityClass usual is already marked as default. Only one default can exist")
        );
    }
}
