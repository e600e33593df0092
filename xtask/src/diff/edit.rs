//! Changes to a JSON tree at a place: how variants are made of a valid object.
//!
//! A place is a list of member names and indices. An edit whose place is not there changes nothing: both sides
//! are edited alike, and a side that lacks the place already differs in an earlier answer.

use serde_json::Value;
use std::fmt;

/// One step into a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Index(usize),
}

/// Where something stands in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub Vec<Step>);

impl Place {
    pub fn of(members: &[&str]) -> Self {
        Self(members.iter().map(|name| Step::Member((*name).to_owned())).collect())
    }

    pub fn member(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Member(name.to_owned()));
        Self(steps)
    }

    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The value at this place.
    pub fn get<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if at == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A change of one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    Set(Place, Value),
    Remove(Place),
    /// A copy of a list's element is put at the list's end.
    Repeat(Place),
    /// A text or number becomes another one of the same kind; a truth its contrary.
    Alter(Place),
}

impl Edit {
    /// Changes `root`.
    pub fn apply(&self, root: &mut Value) {
        match self {
            Self::Set(place, value) => set(root, place, value.clone()),
            Self::Remove(place) => remove(root, place),
            Self::Repeat(place) => {
                if let Some(element) = place.get(root).cloned()
                    && let Some((_, above)) = place.0.split_last()
                    && let Some(Value::Array(list)) = find(root, above)
                {
                    list.push(element);
                }
            }
            Self::Alter(place) => {
                if let Some(value) = find(root, &place.0) {
                    *value = other(value);
                }
            }
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(place, value) => {
                let text: String = value.to_string().chars().take(60).collect();
                write!(f, "{place} = {text}")
            }
            Self::Remove(place) => write!(f, "without {place}"),
            Self::Repeat(place) => write!(f, "{place} twice"),
            Self::Alter(place) => write!(f, "another {place}"),
        }
    }
}

/// A value of the same JSON type that is not `value`.
fn other(value: &Value) -> Value {
    match value {
        Value::String(text) => format!("{text}x").into(),
        Value::Number(number) => number.as_i64().map_or_else(|| 1.into(), |n| (n + 1).into()),
        Value::Bool(truth) => (!truth).into(),
        other => other.clone(),
    }
}

fn find<'a>(root: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Index(index) => value.get_mut(index),
    })
}

fn set(root: &mut Value, place: &Place, value: Value) {
    let Some((last, above)) = place.0.split_last() else {
        *root = value;
        return;
    };
    // Objects on the way are made: an edit may set a member of something that is not there yet.
    let mut at = root;
    for step in above {
        at = match step {
            Step::Member(name) => {
                if at.is_null() {
                    *at = Value::Object(serde_json::Map::new());
                }
                let Value::Object(map) = at else { return };
                map.entry(name.clone()).or_insert(Value::Null)
            }
            Step::Index(index) => match at.get_mut(index) {
                Some(inner) => inner,
                None => return,
            },
        };
    }
    match (last, at) {
        (Step::Member(name), at @ Value::Null) => *at = serde_json::json!({ name.as_str(): value }),
        (Step::Member(name), Value::Object(map)) => {
            map.insert(name.clone(), value);
        }
        (Step::Index(index), Value::Array(list)) if *index < list.len() => list[*index] = value,
        _ => {}
    }
}

fn remove(root: &mut Value, place: &Place) {
    let Some((last, above)) = place.0.split_last() else { return };
    match (last, find(root, above)) {
        (Step::Member(name), Some(Value::Object(map))) => {
            map.remove(name);
        }
        (Step::Index(index), Some(Value::Array(list))) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn edits_change_only_their_place() {
        let ports = Place::of(&["spec", "ports"]);
        let cases = [
            (Edit::Set(Place::of(&["spec", "a"]), json!(2)), json!({"spec": {"a": 2, "ports": [1]}})),
            (Edit::Set(Place::of(&["x", "y"]), json!(2)), json!({"spec": {"a": 1, "ports": [1]}, "x": {"y": 2}})),
            (Edit::Remove(Place::of(&["spec", "a"])), json!({"spec": {"ports": [1]}})),
            (Edit::Repeat(ports.index(0)), json!({"spec": {"a": 1, "ports": [1, 1]}})),
            (Edit::Alter(ports.index(0)), json!({"spec": {"a": 1, "ports": [2]}})),
            (Edit::Alter(Place::of(&["no"])), json!({"spec": {"a": 1, "ports": [1]}})),
        ];
        for (edit, expected) in cases {
            let mut value = json!({"spec": {"a": 1, "ports": [1]}});
            edit.apply(&mut value);
            assert_eq!(value, expected, "{edit}");
        }
    }
}
