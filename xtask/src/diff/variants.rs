//! Variants of a valid object, from what the type tables know: each member left out, of a wrong type, at its boundaries,
//! and members that the object does not have yet.
//!
//! Nothing here knows what a server should answer; upstream's answer is the expectation. Which variants of a large type
//! are taken is decided by a seed, so that a run can be repeated.

use super::edit::{Edit, Place};
use schema::{Field, Form, Scalar, Shape, Type};
use serde_json::{Value, json};

/// How deep below a member that the object does not have.
const DEPTH: usize = 2;

/// Members that are the same in every kind, and that only one object of the fixtures varies in full.
const COMMON: [&str; 3] = ["metadata", "apiVersion", "kind"];

/// Variants for requests that send the whole object.
pub fn of_body(row: &'static Type, object: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    for field in row.members().filter(|field| !COMMON.contains(&field.json_name()) && field.json_name() != "status") {
        member(field, &Place::of(&[field.json_name()]), object, 0, &mut edits);
    }
    edits.push(Edit::Set(Place::of(&["bogus"]), json!(1)));
    edits
}

/// Variants of one part of an object only: its metadata, its status.
pub fn of_part(row: &'static Type, part: &str, object: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    if let Some(field) = row.field(part) {
        member(field, &Place::of(&[part]), object, 0, &mut edits);
    }
    edits
}

/// Every value of the object changed to another one of its type: what may change and what is immutable.
pub fn changed(row: &'static Type, object: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    for field in row.members().filter(|field| !COMMON.contains(&field.json_name()) && field.json_name() != "status") {
        let place = Place::of(&[field.json_name()]);
        match object.get(field.json_name()) {
            Some(value) => change(&place, value, &mut edits),
            None => edits.extend(appearing(field).map(|value| Edit::Set(place.clone(), value))),
        }
    }
    if let (Some(Value::Object(spec)), Some(row)) = (object.get("spec"), row.field("spec").and_then(Field::message)) {
        for field in row.members().filter(|field| !spec.contains_key(field.json_name())) {
            let place = Place::of(&["spec", field.json_name()]);
            edits.extend(appearing(field).map(|value| Edit::Set(place.clone(), value)));
        }
    }
    edits
}

fn change(place: &Place, value: &Value, edits: &mut Vec<Edit>) {
    match value {
        Value::Object(map) => {
            edits.push(Edit::Remove(place.clone()));
            for (name, inner) in map {
                change(&place.member(name), inner, edits);
            }
        }
        Value::Array(list) => {
            edits.push(Edit::Set(place.clone(), json!([])));
            if !list.is_empty() {
                edits.push(Edit::Repeat(place.index(0)));
            }
            for (index, inner) in list.iter().enumerate().take(2) {
                change(&place.index(index), inner, edits);
            }
        }
        _ => {
            edits.push(Edit::Alter(place.clone()));
            edits.push(Edit::Remove(place.clone()));
        }
    }
}

/// One plausible value of a member that was absent.
fn appearing(field: &'static Field) -> impl Iterator<Item = Value> + use<> {
    let text = field.enum_values().next().map_or_else(|| json!("added"), Value::from);
    let value = match inner(field.shape()) {
        Shape::Scalar(Scalar::String) => Some(text),
        Shape::Scalar(Scalar::Bool) => Some(json!(true)),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString) => Some(json!(3)),
        Shape::Scalar(Scalar::Quantity) => Some(json!("3")),
        Shape::List(element) | Shape::Wrapped(element) => match inner(element.get()) {
            Shape::Scalar(Scalar::String) => Some(json!(["added"])),
            _ => None,
        },
        Shape::Map(element) => match inner(element.get()) {
            Shape::Scalar(Scalar::String) => Some(json!({"added": "added"})),
            _ => None,
        },
        _ => None,
    };
    value.into_iter()
}

fn inner(shape: Shape) -> Shape {
    match shape {
        Shape::Pointer(to) => inner(to.get()),
        shape => shape,
    }
}

/// Variants of one member, which stands at `place` or not at all.
fn member(field: &'static Field, place: &Place, root: &Value, depth: usize, edits: &mut Vec<Edit>) {
    let present = place.get(root);
    if present.is_some() {
        edits.push(Edit::Remove(place.clone()));
        edits.push(Edit::Set(place.clone(), Value::Null));
    } else if depth > DEPTH {
        return;
    }
    let values = wrong(field.shape()).into_iter().chain(boundaries(field.json_name(), field.shape()));
    let mut values: Vec<Value> = values.collect();
    if let Some(value) = field.enum_values().last() {
        values.push(value.into());
        values.push("Bogus".into());
    }
    edits.extend(values.into_iter().map(|value| Edit::Set(place.clone(), value)));
    below(field.shape(), place, root, depth, edits);
}

fn below(shape: Shape, place: &Place, root: &Value, depth: usize, edits: &mut Vec<Edit>) {
    let present = place.get(root);
    match shape {
        Shape::Pointer(to) => below(to.get(), place, root, depth, edits),
        Shape::Message(row) if row.form() == Form::Struct => {
            let deeper = if present.is_some() { depth } else { depth + 1 };
            if deeper > DEPTH {
                return;
            }
            for field in row.members() {
                member(field, &place.member(field.json_name()), root, deeper, edits);
            }
            if present.is_some() {
                edits.push(Edit::Set(place.member("bogus"), json!(1)));
            }
        }
        Shape::List(element) | Shape::Wrapped(element) => {
            if let Some(Value::Array(list)) = present {
                for index in 0..list.len().min(2) {
                    edits.push(Edit::Repeat(place.index(index)));
                    below(element.get(), &place.index(index), root, depth, edits);
                }
                for value in wrong(element.get()).into_iter().chain(boundaries("", element.get())) {
                    if !list.is_empty() {
                        edits.push(Edit::Set(place.index(0), value));
                    }
                }
            } else {
                edits.extend(boundaries("", element.get()).map(|value| Edit::Set(place.clone(), json!([value]))));
            }
        }
        Shape::Map(element) => {
            for key in ["", "not a key!", "-x", "example.com/UPPER"] {
                if let Some(value) = boundaries("value", element.get()).last() {
                    edits.push(Edit::Set(place.member(key), value));
                }
            }
            if let Some(Value::Object(map)) = present {
                for key in map.keys().take(2) {
                    let at = place.member(key);
                    let values = wrong(element.get()).into_iter().chain(boundaries("", element.get()));
                    edits.extend(values.map(|value| Edit::Set(at.clone(), value)));
                }
            }
        }
        Shape::Message(_) | Shape::Scalar(_) => {}
    }
}

/// A value of another JSON type.
fn wrong(shape: Shape) -> Vec<Value> {
    match inner(shape) {
        Shape::Scalar(Scalar::Bool) => vec![json!("yes")],
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64) => vec![json!("seven"), json!(1.5)],
        Shape::Scalar(Scalar::Raw | Scalar::Json | Scalar::FieldsV1 | Scalar::Any) => Vec::new(),
        Shape::Scalar(Scalar::Quantity | Scalar::IntOrString) => vec![json!({"a": 1})],
        Shape::Scalar(_) => vec![json!(7)],
        Shape::Message(_) | Shape::Map(_) => vec![json!(["x"]), json!("x")],
        Shape::List(_) | Shape::Wrapped(_) => vec![json!({"x": "y"})],
        Shape::Pointer(_) => Vec::new(),
    }
}

/// Values of the right type where validation is likely to draw a line.
fn boundaries(name: &str, shape: Shape) -> impl DoubleEndedIterator<Item = Value> + use<> {
    let values = match inner(shape) {
        Shape::Scalar(Scalar::String) => {
            let mut texts = vec![json!(""), json!("Not Valid!"), json!("ok-1")];
            if name.ends_with("ame") || name.is_empty() {
                texts.push("x".repeat(254).into());
            }
            texts
        }
        Shape::Scalar(Scalar::Bool) => vec![json!(false), json!(true)],
        Shape::Scalar(Scalar::Int32) => vec![json!(-1), json!(0), json!(1), json!(65536), json!(2_147_483_648_i64)],
        Shape::Scalar(Scalar::Int64) => vec![json!(-1), json!(0), json!(1), json!(i64::MAX)],
        Shape::Scalar(Scalar::Float64) => vec![json!(-1.5), json!(0)],
        Shape::Scalar(Scalar::Bytes) => vec![json!("!"), json!(""), json!("aGVsbG8=")],
        Shape::Scalar(Scalar::Time | Scalar::MicroTime) => vec![json!("soon"), json!("2024-02-03T04:05:06Z")],
        Shape::Scalar(Scalar::Duration) => vec![json!("soon"), json!("-1s"), json!("90s")],
        Shape::Scalar(Scalar::Quantity) => vec![json!("-1"), json!("0"), json!("1.5"), json!("lots"), json!("0.5m")],
        Shape::Scalar(Scalar::IntOrString) => vec![json!(-1), json!(0), json!("25%"), json!("101%"), json!("many")],
        Shape::Message(row) if row.form() == Form::Struct => vec![json!({})],
        Shape::List(_) | Shape::Wrapped(_) => vec![json!([])],
        Shape::Map(_) => vec![json!({})],
        _ => Vec::new(),
    };
    values.into_iter()
}

/// At most `most` of `edits`, chosen by `seed`, in their order.
pub fn sample<T>(edits: Vec<T>, most: usize, seed: u64) -> Vec<T> {
    let count = edits.len();
    if count <= most {
        return edits;
    }
    let mut state = seed;
    let mut order: Vec<(u64, usize)> = (0..count).map(|index| (next(&mut state), index)).collect();
    order.sort_unstable();
    let mut taken = vec![false; count];
    for (_, index) in order.into_iter().take(most) {
        taken[index] = true;
    }
    edits.into_iter().zip(taken).filter_map(|(edit, taken)| taken.then_some(edit)).collect()
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_varied_in_every_way() {
        let row = schema::kind_of("", "v1", "Service").unwrap();
        let object = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}});
        let edits: Vec<String> = of_body(row, &object).iter().map(ToString::to_string).collect();
        for expected in [
            "without spec.ports[0].port",
            "spec.ports[0].port = \"seven\"",
            "spec.ports[0].port = 65536",
            "spec.ports[0] twice",
            "spec.type = \"Bogus\"",
            "spec.clusterIP = 7",
            "spec.selector.not a key! = \"ok-1\"",
            "spec.ports[0].bogus = 1",
        ] {
            assert!(edits.iter().any(|edit| edit == expected), "{expected} is not among {edits:#?}");
        }
        assert!(!edits.iter().any(|edit| edit.starts_with("metadata")));
    }

    #[test]
    fn the_seed_decides_which_are_taken() {
        let all: Vec<u32> = (0..1000).collect();
        assert_eq!(sample(all.clone(), 10, 1), sample(all.clone(), 10, 1));
        assert_ne!(sample(all.clone(), 10, 1), sample(all.clone(), 10, 2));
        assert_eq!(sample(all.clone(), 2000, 1), all);
    }
}
