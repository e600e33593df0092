//! Pods stay five minutes on a node that is not ready or not reachable
//! (k8s.io/kubernetes `plugin/pkg/admission/defaulttolerationseconds`).

use super::{Attributes, Plugin};
use crate::backend::Backend;
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, a: &Attributes) -> bool {
        (a.creates() || a.updates()) && a.is("", "pods")
    }

    async fn admit(&self, _: &RequestCx, _: &Backend, _: &Attributes, pod: &mut Object) -> Result<(), Status> {
        let given = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let tolerates = |taint: &str| {
            given.iter().any(|t| {
                let text = |field: &str| t.get(field).and_then(Value::as_str).unwrap_or_default();
                (text("key") == taint || text("key").is_empty()) && matches!(text("effect"), "NoExecute" | "")
            })
        };
        let missing = TAINTS.iter().filter(|t| !tolerates(t));
        let added: Vec<Value> = missing
            .map(|key| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS }))
            .collect();
        if !added.is_empty() {
            let all = given.iter().cloned().chain(added).collect();
            pod.set_at(&["spec", "tolerations"], Value::Array(all));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn tolerations_are_added_where_none_covers_the_taint() {
        let cases = [
            (json!([]), 2),
            (json!([{ "operator": "Exists" }]), 1),
            (json!([{ "key": TAINTS[0], "effect": "NoExecute" }]), 2),
            (json!([{ "key": TAINTS[0], "effect": "NoSchedule" }]), 3),
        ];
        for (tolerations, count) in cases {
            let asked = Asked::create("/pods", json!({ "metadata": {}, "spec": { "tolerations": tolerations } }));
            let (pod, ..) = asked.run(&DefaultTolerationSeconds, &Fixture::default()).await.unwrap();
            assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), count, "{pod}");
        }
    }
}
