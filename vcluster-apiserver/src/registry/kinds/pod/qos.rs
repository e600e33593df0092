//! The quality-of-service class of a pod (k8s.io/kubernetes `pkg/apis/core/v1/helper/qos`).

use apimachinery::Object;
use apimachinery::quantity::Quantity;
use serde_json::Value;
use std::str::FromStr;

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`. Pod-level resources decide alone where they are set.
pub fn class(pod: &Object) -> &'static str {
    let Some(spec) = pod.as_map().get("spec") else { return "BestEffort" };
    let parts: Vec<&Value> =
        if spec["resources"].is_object() && !spec["resources"].as_object().is_some_and(serde_json::Map::is_empty) {
            vec![spec]
        } else {
            let list = |field: &str| spec[field].as_array().map(Vec::as_slice).unwrap_or_default();
            list("containers").iter().chain(list("initContainers")).collect()
        };
    let mut any = false;
    let mut guaranteed = true;
    for part in parts {
        for name in COMPUTE {
            let (request, limit) = (amount(part, "requests", name), amount(part, "limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// An amount above zero.
fn amount(part: &Value, side: &str, name: &str) -> Option<Quantity> {
    let text = match &part["resources"][side][name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Quantity::from_str(&text).ok().filter(|q| q.milli_value() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_by_requests_and_limits() {
        let pod =
            |resources: Value| Object::from_value(json!({"spec": {"containers": [{"resources": resources}]}})).unwrap();
        let cases = [
            (json!({}), "BestEffort"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}),
                "Guaranteed",
            ),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
            (json!({"requests": {"cpu": "0"}}), "BestEffort"),
        ];
        for (resources, expected) in cases {
            assert_eq!(class(&pod(resources.clone())), expected, "{resources}");
        }
    }
}
