//! New nodes take no pods until a controller saw them ready (k8s.io/kubernetes `plugin/pkg/admission/nodetaint`).

use super::{Attributes, Plugin};
use crate::backend::Backend;
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

#[derive(Clone, Copy, Debug, Default)]
pub struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.creates() && a.is("", "nodes")
    }

    async fn admit(&self, _: &RequestCx, _: &Backend, _: &Attributes, node: &mut Object) -> Result<(), Status> {
        let mut taints = node.at(&["spec", "taints"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let wanted =
            |t: &Value| t.get("key") == Some(&json!(NOT_READY)) && t.get("effect") == Some(&json!("NoSchedule"));
        if !taints.iter().any(wanted) {
            taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
            node.set_at(&["spec", "taints"], Value::Array(taints));
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
    async fn a_new_node_is_tainted_once() {
        for taints in [json!(null), json!([{ "key": NOT_READY, "effect": "NoSchedule" }])] {
            let asked = Asked::create("/nodes", json!({ "metadata": { "name": "n" }, "spec": { "taints": taints } }));
            let (node, ..) = asked.run(&TaintNodesByCondition, &Fixture::default()).await.unwrap();
            assert_eq!(node["spec"]["taints"], json!([{ "key": NOT_READY, "effect": "NoSchedule" }]));
        }
    }
}
