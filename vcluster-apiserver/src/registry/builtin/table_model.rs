//! The fields of a built-in kind, from `schema`'s tables.

use crate::registry::model::{Model, Strict};
use apimachinery::Object;
use schema::{Form, Scalar, Shape, Type};
use serde_json::{Map, Value};

/// A kind with a row in the tables.
pub struct TableModel(pub &'static Type);

impl Model for TableModel {
    fn normalize(&self, object: &mut Object) -> Result<Strict, String> {
        let mut unknown = Strict::new();
        walk(self.0, object.as_map_mut(), "", &mut unknown)?;
        Ok(unknown)
    }

    fn default(&self, object: &mut Object) {
        fill(self.0, object.as_map_mut());
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn walk(t: &'static Type, map: &mut Map<String, Value>, path: &str, unknown: &mut Strict) -> Result<(), String> {
    let mut gone = Vec::new();
    for (name, value) in map.iter_mut() {
        let at = join(path, name);
        match t.field(name) {
            None => {
                unknown.push(format!("unknown field \"{at}\""));
                gone.push(name.clone());
            }
            // Go reads null as the zero value, which is the absent one.
            Some(_) if value.is_null() => gone.push(name.clone()),
            Some(field) => check(field.shape(), value, t, &at, unknown)?,
        }
    }
    for name in gone {
        map.remove(&name);
    }
    Ok(())
}

fn check(shape: Shape, value: &mut Value, t: &Type, path: &str, unknown: &mut Strict) -> Result<(), String> {
    match shape {
        Shape::Pointer(inner) => check(inner.get(), value, t, path, unknown),
        Shape::Message(inner) => match (inner.form(), value) {
            (Form::Struct, Value::Object(map)) => walk(inner, map, path, unknown),
            (Form::Struct, other) => Err(mismatch(other, t, path, &inner.go_name())),
            // Schemas of custom resources: their alternatives are told apart where they are used.
            (_, Value::Object(map)) => {
                map.retain(|_, v| !v.is_null());
                Ok(())
            }
            _ => Ok(()),
        },
        Shape::List(inner) | Shape::Wrapped(inner) => {
            let Value::Array(list) = value else { return Err(mismatch(value, t, path, "slice")) };
            for (index, element) in list.iter_mut().enumerate() {
                check(inner.get(), element, t, &format!("{path}[{index}]"), unknown)?;
            }
            Ok(())
        }
        Shape::Map(inner) => {
            let Value::Object(map) = value else { return Err(mismatch(value, t, path, "map")) };
            for (key, element) in map.iter_mut() {
                if element.is_null() {
                    // Go keeps the key with a zero value.
                    *element = zero(inner.get());
                    continue;
                }
                check(inner.get(), element, t, &format!("{path}.{key}"), unknown)?;
            }
            Ok(())
        }
        Shape::Scalar(scalar) => scalar_check(scalar, value, t, path),
    }
}

fn zero(shape: Shape) -> Value {
    match shape {
        Shape::Scalar(Scalar::Bool) => false.into(),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString) => 0.into(),
        Shape::Scalar(Scalar::Quantity) => "0".into(),
        Shape::Scalar(_) => "".into(),
        Shape::List(_) | Shape::Wrapped(_) => Value::Array(Vec::new()),
        Shape::Message(_) | Shape::Map(_) => Value::Object(Map::new()),
        Shape::Pointer(_) => Value::Null,
    }
}

fn scalar_check(scalar: Scalar, value: &mut Value, t: &Type, path: &str) -> Result<(), String> {
    let fits = match scalar {
        Scalar::String => value.is_string(),
        Scalar::Bool => value.is_boolean(),
        Scalar::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Scalar::Int64 => value.is_i64() || value.as_u64().is_some_and(|n| i64::try_from(n).is_ok()),
        Scalar::Float64 => value.is_number(),
        Scalar::IntOrString => value.is_string() || value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Scalar::Quantity => return quantity(value),
        Scalar::Time | Scalar::MicroTime => {
            let Value::String(text) = value else { return Err(mismatch(value, t, path, "string")) };
            return match text.parse::<jiff::Timestamp>() {
                Ok(time) => {
                    *text = if scalar == Scalar::Time {
                        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
                    } else {
                        time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
                    };
                    Ok(())
                }
                Err(_) if text.is_empty() => Ok(()),
                Err(_) => Err(format!(
                    "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\""
                )),
            };
        }
        Scalar::Bytes => {
            use base64::Engine as _;
            let text = value.as_str().ok_or_else(|| mismatch(value, t, path, "[]uint8"))?;
            let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(&compact);
            return decoded.map(|_| *value = compact.into()).map_err(|e| match e {
                base64::DecodeError::InvalidByte(at, _) => format!("illegal base64 data at input byte {at}"),
                _ => "illegal base64 data at input byte 0".to_owned(),
            });
        }
        Scalar::Duration => value.is_string(),
        Scalar::Raw | Scalar::FieldsV1 | Scalar::Json | Scalar::Any => true,
    };
    if fits { Ok(()) } else { Err(mismatch(value, t, path, go_name(scalar))) }
}

/// Quantities are kept in their canonical form, whatever form they come in.
fn quantity(value: &mut Value) -> Result<(), String> {
    let text = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => {
            return Err(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into()
            );
        }
    };
    let parsed: apimachinery::quantity::Quantity = text.parse().map_err(|e| format!("{e}"))?;
    *value = Value::String(parsed.to_string());
    Ok(())
}

fn go_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::Int32 | Scalar::IntOrString => "int32",
        Scalar::Int64 => "int64",
        Scalar::Float64 => "float64",
        _ => "string",
    }
}

/// Go's decoding error: `json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool`.
fn mismatch(value: &Value, t: &Type, path: &str, go: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {found} into Go struct field {}.{path} of type {go}", t.name())
}

/// Fills declared defaults that are values of their own; those that only say that a field is no pointer add nothing.
fn fill(t: &'static Type, map: &mut Map<String, Value>) {
    for field in t.members() {
        let name = field.json_name();
        if !map.contains_key(name)
            && let Some(text) = field.default_json()
            && !matches!(text, "{}" | "\"\"" | "0" | "false" | "[]" | "null")
            && let Ok(value) = serde_json::from_str(text)
        {
            map.insert(name.to_owned(), value);
        }
        if let Some(value) = map.get_mut(name) {
            fill_in(field.shape(), value);
        }
    }
}

fn fill_in(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Pointer(inner), value) => fill_in(inner.get(), value),
        (Shape::Message(t), Value::Object(map)) if t.form() == Form::Struct => fill(t, map),
        (Shape::List(inner) | Shape::Wrapped(inner), Value::Array(list)) => {
            list.iter_mut().for_each(|element| fill_in(inner.get(), element));
        }
        (Shape::Map(inner), Value::Object(map)) => map.values_mut().for_each(|element| fill_in(inner.get(), element)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model(kind: &str) -> TableModel {
        TableModel(schema::kind_of("", "v1", kind).unwrap())
    }

    #[test]
    fn unknown_fields_leave_and_are_reported() {
        let pod = json!({"metadata": {"name": "p", "x": 1}, "spec": {"containers": [{"name": "c", "immage": "i"}]}});
        let mut object = Object::from_value(pod).unwrap();
        let unknown = model("Pod").normalize(&mut object).unwrap();
        assert_eq!(unknown, [r#"unknown field "metadata.x""#, r#"unknown field "spec.containers[0].immage""#]);
        assert_eq!(object.at(&["spec", "containers"]), Some(&json!([{"name": "c"}])));
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        for spec in [json!({"hostNetwork": "yes"}), json!({"containers": {}}), json!([])] {
            let mut object = Object::from_value(json!({ "spec": spec })).unwrap();
            assert!(model("Pod").normalize(&mut object).is_err(), "{spec}");
        }
    }

    #[test]
    fn quantities_and_times_are_canonical() {
        let pod = json!({"metadata": {"creationTimestamp": "2026-01-01T01:00:00+01:00"},
            "spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Ki"}}}]}});
        let mut object = Object::from_value(pod).unwrap();
        model("Pod").normalize(&mut object).unwrap();
        assert_eq!(object.meta_str("creationTimestamp"), "2026-01-01T00:00:00Z");
        let limits = &object.at(&["spec", "containers"]).unwrap()[0]["resources"]["limits"];
        assert_eq!(limits, &json!({"cpu": "500m", "memory": "1Mi"}));
    }
}
