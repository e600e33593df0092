//! Values as upstream's refusals print them: its internal Go types, whose fields bear their own names, stand in the order
//! of the type and are there even when they are empty (`encoding/json` without tags).

use apimachinery::field::FieldError;
use schema::ordered::shaped;
use schema::{Field, Scalar, Shape, Type};
use serde_json::Value;

/// Words that Go writes in capitals at the start of a name.
const CAPITALS: [&str; 30] = [
    "api", "aws", "cel", "cpu", "csi", "dns", "fc", "fs", "gce", "gid", "gmsa", "grpc", "http", "ip", "iqn", "iscsi",
    "nfs", "os", "pid", "pkix", "qos", "rbd", "se", "ssl", "tcp", "tls", "ttl", "tty", "uid", "url",
];

/// Fields that the internal types call otherwise: the type, the JSON name, the name.
const RENAMED: [(&str, &str, &str); 17] = [
    ("AzureDiskVolumeSource", "diskURI", "DataDiskURI"),
    ("ContainerStatus", "lastState", "LastTerminationState"),
    ("FCVolumeSource", "wwids", "WWIDs"),
    ("GCEPersistentDiskVolumeSource", "pdName", "PDName"),
    ("GlusterfsVolumeSource", "endpoints", "EndpointsName"),
    ("ISCSIVolumeSource", "chapAuthDiscovery", "DiscoveryCHAPAuth"),
    ("ISCSIVolumeSource", "chapAuthSession", "SessionCHAPAuth"),
    ("ISCSIVolumeSource", "iscsiInterface", "ISCSIInterface"),
    ("PersistentVolumeSource", "cephfs", "CephFS"),
    ("PersistentVolumeSource", "storageos", "StorageOS"),
    ("PodSpec", "serviceAccount", "DeprecatedServiceAccount"),
    ("RBDVolumeSource", "image", "RBDImage"),
    ("RBDVolumeSource", "monitors", "CephMonitors"),
    ("RBDVolumeSource", "pool", "RBDPool"),
    ("RBDVolumeSource", "user", "RadosUser"),
    ("VolumeSource", "cephfs", "CephFS"),
    ("VolumeSource", "storageos", "StorageOS"),
];

/// A member's name in Go. The tables know the JSON one.
fn go_name(of: &str, json: &str) -> String {
    if let Some((_, _, name)) = RENAMED.iter().find(|(t, name, _)| *t == of && *name == json) {
        return (*name).to_owned();
    }
    let lower = json.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(json.len());
    let (first, rest) = json.split_at(lower);
    if CAPITALS.contains(&first) {
        return first.to_uppercase() + rest;
    }
    let mut letters = json.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// The value of a type, by the type's name (`core.v1.Taint`).
pub fn text(type_name: &str, value: &Value) -> String {
    let Some(row) = schema::type_named(type_name) else { return value.to_string() };
    let mut out = String::new();
    message(row, value, &mut out);
    out
}

/// A list of such values; none is null.
pub fn texts(type_name: &str, value: &Value) -> String {
    match value.as_array() {
        None => "null".to_owned(),
        Some(list) => {
            let elements: Vec<String> = list.iter().map(|element| text(type_name, element)).collect();
            format!("[{}]", elements.join(","))
        }
    }
}

/// A value that may not be there.
pub fn optional(type_name: &str, value: Option<&Value>) -> String {
    value.filter(|value| !value.is_null()).map_or_else(|| "null".to_owned(), |value| text(type_name, value))
}

/// "field is immutable", with the value so printed.
pub fn immutable(path: &apimachinery::field::Path, shown: String) -> FieldError {
    FieldError::invalid(path, "", "field is immutable").showing(shown)
}

fn message(row: &'static Type, value: &Value, out: &mut String) {
    if value.is_null() {
        return null(row, out);
    }
    out.push('{');
    members(row, value, out);
    out.push('}');
}

/// Types of all groups keep their tags.
fn is_common(row: &Type) -> bool {
    row.package() == "meta.v1"
}

fn null(row: &'static Type, out: &mut String) {
    out.push('{');
    members(row, &Value::Null, out);
    out.push('}');
}

fn members(row: &'static Type, value: &Value, out: &mut String) {
    for field in row.fields() {
        if let (true, Shape::Message(inner)) = (field.is_inline(), field.shape()) {
            // Objects within objects have lost what they are.
            if inner.name() != "TypeMeta" {
                members(inner, value, out);
            }
            continue;
        }
        let member = &value[field.json_name()];
        if let Shape::Message(inner) = field.shape()
            && inner.name() == "ObjectMeta"
        {
            members(inner, member, out);
            continue;
        }
        let common = is_common(row);
        if common && (member.is_null() || is_empty(member)) && (field.omit_empty() || field.omit_zero()) {
            continue;
        }
        if !out.ends_with('{') && !out.ends_with('[') {
            out.push(',');
        }
        let name = if common { field.json_name().to_owned() } else { go_name(row.name(), field.json_name()) };
        out.push_str(&Value::from(name).to_string());
        out.push(':');
        if member.is_null() { zero(field, out) } else { shaped(field.shape(), member, out, message) }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(truth) => !truth,
        Value::Null => true,
    }
}

/// What Go prints of a member that was never set.
fn zero(field: &Field, out: &mut String) {
    if field.is_pointer() {
        return out.push_str("null");
    }
    match field.shape() {
        Shape::Message(inner) => null(inner, out),
        Shape::Scalar(Scalar::String) => out.push_str("\"\""),
        Shape::Scalar(Scalar::Bool) => out.push_str("false"),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString) => out.push('0'),
        Shape::Scalar(Scalar::Quantity) => out.push_str("\"0\""),
        _ => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_stand_as_go_prints_them() {
        let taint = json!({"effect": "NoSchedule", "key": "a"});
        assert_eq!(
            text("core.v1.Taint", &taint),
            "{\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}"
        );
        let budget = json!({"selector": {"matchLabels": {"a": "b"}}, "minAvailable": "50%"});
        assert_eq!(
            text("policy.v1.PodDisruptionBudgetSpec", &budget),
            "{\"MinAvailable\":\"50%\",\"Selector\":{\"matchLabels\":{\"a\":\"b\"}},\"MaxUnavailable\":null,\"UnhealthyPodEvictionPolicy\":null}"
        );
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"dnsPolicy": "Default"}});
        let shown = text("core.v1.PodTemplateSpec", &template);
        assert!(
            shown.starts_with("{\"labels\":{\"a\":\"b\"},\"Spec\":{\"Volumes\":null,\"InitContainers\":null,"),
            "{shown}"
        );
        assert!(shown.contains("\"DNSPolicy\":\"Default\""), "{shown}");
    }
}
