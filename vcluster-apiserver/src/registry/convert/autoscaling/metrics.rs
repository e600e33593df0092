//! Metrics as autoscaling/v1 writes them into annotations: flat, with other names, in the order of its types
//! (k8s.io/kubernetes `pkg/apis/autoscaling/v1/conversion.go`).

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// One member of a source: its name in autoscaling/v1, where it stands in v2, and what v1 writes when it is not there.
type Member = (&'static str, &'static [&'static str], Option<&'static str>);
/// The sources of a metric, in the order of the type.
pub type Form = &'static [(&'static str, &'static [Member])];

const NAME: Member = ("metricName", &["metric", "name"], Some(""));
const SELECTOR: Member = ("selector", &["metric", "selector"], None);

/// What is wanted.
pub const WANTED: Form = &[
    (
        "object",
        &[
            ("target", &["describedObject"], None),
            NAME,
            ("targetValue", &["target", "value"], Some("0")),
            SELECTOR,
            ("averageValue", &["target", "averageValue"], None),
        ],
    ),
    ("pods", &[NAME, ("targetAverageValue", &["target", "averageValue"], Some("0")), SELECTOR]),
    ("resource", RESOURCE_WANTED),
    (
        "containerResource",
        &[RESOURCE_WANTED[0], RESOURCE_WANTED[1], RESOURCE_WANTED[2], ("container", &["container"], Some(""))],
    ),
    (
        "external",
        &[
            NAME,
            ("metricSelector", &["metric", "selector"], None),
            ("targetValue", &["target", "value"], None),
            ("targetAverageValue", &["target", "averageValue"], None),
        ],
    ),
];

const RESOURCE_WANTED: &[Member] = &[
    ("name", &["name"], Some("")),
    ("targetAverageUtilization", &["target", "averageUtilization"], None),
    ("targetAverageValue", &["target", "averageValue"], None),
];

/// What was last seen.
pub const SEEN: Form = &[
    (
        "object",
        &[
            ("target", &["describedObject"], None),
            NAME,
            ("currentValue", &["current", "value"], Some("0")),
            SELECTOR,
            ("averageValue", &["current", "averageValue"], None),
        ],
    ),
    ("pods", &[NAME, ("currentAverageValue", &["current", "averageValue"], Some("0")), SELECTOR]),
    ("resource", RESOURCE_SEEN),
    (
        "containerResource",
        &[RESOURCE_SEEN[0], RESOURCE_SEEN[1], RESOURCE_SEEN[2], ("container", &["container"], Some(""))],
    ),
    (
        "external",
        &[
            NAME,
            ("metricSelector", &["metric", "selector"], None),
            ("currentValue", &["current", "value"], Some("0")),
            ("currentAverageValue", &["current", "averageValue"], None),
        ],
    ),
];

const RESOURCE_SEEN: &[Member] = &[
    ("name", &["name"], Some("")),
    ("currentAverageUtilization", &["current", "averageUtilization"], None),
    ("currentAverageValue", &["current", "averageValue"], Some("0")),
];

/// The annotation for metrics of autoscaling/v2.
pub fn written<'a>(metrics: impl Iterator<Item = &'a Value>, form: Form) -> String {
    let texts: Vec<String> = metrics.map(|metric| one(metric, form)).collect();
    format!("[{}]", texts.join(","))
}

fn one(metric: &Value, form: Form) -> String {
    let mut out = format!("{{\"type\":{}", metric["type"]);
    for (source, members) in form {
        let Some(value) = metric.get(*source).filter(|value| value.is_object()) else { continue };
        let texts: Vec<String> = members.iter().filter_map(|member| text(value, member)).collect();
        // Writing to a string cannot fail.
        _ = write!(out, ",\"{source}\":{{{}}}", texts.join(","));
    }
    out + "}"
}

fn text(source: &Value, (name, place, absent): &Member) -> Option<String> {
    let found = place.iter().fold(source, |value, part| &value[*part]);
    let shown = match (found, *name) {
        (Value::Null, _) => Value::from((*absent)?).to_string(),
        (object, "target") => schema::ordered::text_of("autoscaling.v2.CrossVersionObjectReference", object),
        (found, _) => found.to_string(),
    };
    Some(format!("\"{name}\":{shown}"))
}

/// The metrics of autoscaling/v2 that an annotation holds; none when it cannot be read.
pub fn read(text: &str, form: Form) -> Option<Vec<Value>> {
    let list: Vec<Value> = serde_json::from_str(text).ok()?;
    list.into_iter().map(|metric| metric.is_object().then(|| nested(&metric, form))).collect()
}

fn nested(metric: &Value, form: Form) -> Value {
    let mut out = Map::new();
    out.insert("type".to_owned(), metric["type"].clone());
    for (source, members) in form {
        let Some(flat) = metric.get(*source).filter(|value| value.is_object()) else { continue };
        let mut value = json!({});
        for (name, place, absent) in *members {
            let found = match &flat[*name] {
                Value::Null => absent.map_or(Value::Null, Value::from),
                found => found.clone(),
            };
            if !found.is_null() {
                let at = place.iter().fold(&mut value, |value, part| &mut value[*part]);
                *at = found;
            }
        }
        if value["target"].is_object() || std::ptr::eq(form, WANTED) {
            aim(source, &mut value);
        }
        out.insert((*source).to_owned(), value);
    }
    Value::Object(out)
}

/// The type of a target, which autoscaling/v1 does not say.
fn aim(source: &str, value: &mut Value) {
    let target = &mut value["target"];
    let has = |field: &str| !target[field].is_null();
    let kind = match source {
        "resource" | "containerResource" if has("averageUtilization") => "Utilization",
        "object" if !has("averageValue") => "Value",
        "external" if has("value") => "Value",
        _ => "AverageValue",
    };
    // The flat form cannot leave the value out, and a target of zero is none.
    if source == "object" && kind == "AverageValue" && target["value"] == "0" {
        target.as_object_mut().and_then(|map| map.remove("value"));
    }
    target["type"] = kind.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_flat_in_annotations() {
        let cases = [
            (
                json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1"}}}),
                r#"[{"type":"Resource","resource":{"name":"cpu","targetAverageValue":"1"}}]"#,
            ),
            (
                json!({"type": "Object", "object": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"},
                    "describedObject": {"kind": "K", "name": "n", "apiVersion": "v1"}}}),
                r#"[{"type":"Object","object":{"target":{"kind":"K","name":"n","apiVersion":"v1"},"metricName":"m","targetValue":"0","averageValue":"1"}}]"#,
            ),
            (
                json!({"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "3"}}}),
                r#"[{"type":"External","external":{"metricName":"m","targetValue":"3"}}]"#,
            ),
        ];
        for (metric, text) in cases {
            assert_eq!(written([&metric].into_iter(), WANTED), text);
            assert_eq!(read(text, WANTED), Some(vec![metric]));
        }
        let seen = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 30}}});
        let text = r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":30,"currentAverageValue":"0"}}]"#;
        assert_eq!(written([&seen].into_iter(), SEEN), text);
        assert_eq!(read("{", SEEN), None);
    }
}
