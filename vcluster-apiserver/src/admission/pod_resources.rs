//! What a pod requests and is limited to, summed over its containers
//! (k8s.io/component-helpers `resource`, k8s.io/kubernetes `plugin/pkg/admission/limitranger`).

use apimachinery::Object;
use apimachinery::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Quantities by resource name.
pub type Resources = BTreeMap<String, Quantity>;

/// A resource list in its JSON form; what is no quantity is left out.
pub fn read(list: Option<&Value>) -> Resources {
    let list = list.and_then(Value::as_object);
    list.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), Quantity::from_json(v).ok()?))).collect()
}

pub fn add(sum: &mut Resources, more: &Resources) {
    for (name, quantity) in more {
        match sum.get_mut(name) {
            Some(sum) => *sum += *quantity,
            None => {
                sum.insert(name.clone(), *quantity);
            }
        }
    }
}

fn raise(highest: &mut Resources, other: &Resources) {
    for (name, quantity) in other {
        if highest.get(name).is_none_or(|h| quantity > h) {
            highest.insert(name.clone(), *quantity);
        }
    }
}

/// The containers of a list of the pod's specification: `containers`, `initContainers`, `ephemeralContainers`.
pub fn containers<'a>(pod: &'a Object, list: &str) -> &'a [Value] {
    pod.at(&["spec", list]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The pod's total of `requests` or `limits`: the containers and sidecars together, or the largest step of its start
/// where that is more; what is set for the pod itself overrides it.
pub fn total(pod: &Object, kind: &str) -> Resources {
    let of = |container: &Value| read(container.pointer(&format!("/resources/{kind}")));
    let mut sum = Resources::new();
    for container in containers(pod, "containers") {
        add(&mut sum, &of(container));
    }
    let (mut sidecars, mut starting) = (Resources::new(), Resources::new());
    for container in containers(pod, "initContainers") {
        let mut step = of(container);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut sum, &step);
            add(&mut sidecars, &step);
            raise(&mut starting, &sidecars);
        } else {
            add(&mut step, &sidecars);
            raise(&mut starting, &step);
        }
    }
    raise(&mut sum, &starting);
    for (name, quantity) in read(pod.at(&["spec", "resources", kind])) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            sum.insert(name, quantity);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn totals_follow_how_a_pod_starts() {
        let cpu = |amount: &str| json!({ "resources": { "requests": { "cpu": amount } } });
        let sidecar = |amount: &str| {
            let mut container = cpu(amount);
            container["restartPolicy"] = json!("Always");
            container
        };
        let cases = [
            (json!({ "containers": [cpu("1"), cpu("500m")] }), "1500m"),
            (json!({ "containers": [cpu("1")], "initContainers": [cpu("3"), cpu("2")] }), "3"),
            (json!({ "containers": [cpu("1")], "initContainers": [sidecar("1"), cpu("3")] }), "4"),
            (json!({ "containers": [cpu("1")], "initContainers": [cpu("1"), sidecar("1")] }), "2"),
            (json!({ "containers": [cpu("1")], "resources": { "requests": { "cpu": "5" } } }), "5"),
        ];
        for (spec, wanted) in cases {
            let pod = Object::from_value(json!({ "spec": spec })).unwrap();
            assert_eq!(total(&pod, "requests")["cpu"].to_string(), wanted, "{spec}");
        }
    }
}
