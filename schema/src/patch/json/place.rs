//! Finding the holder of a JSON pointer's last part, and changing it.

use serde_json::Value;

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The object or list that holds (or would hold) what `pointer` names, and the name in it. `None` when there is no
/// such holder, and for the empty pointer.
pub(super) fn find<'a>(document: &'a mut Value, pointer: &str) -> Option<(&'a mut Value, String)> {
    let mut parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let last = unescape(parts.pop()?);
    let mut holder = document;
    for part in parts {
        holder = match holder {
            Value::Object(map) => map.get_mut(&unescape(part))?,
            Value::Array(list) => {
                let at = existing(part, list.len()).ok()?;
                list.get_mut(at)?
            }
            _ => return None,
        };
    }
    (holder.is_object() || holder.is_array()).then_some((holder, last))
}

fn number(key: &str) -> Result<i64, String> {
    key.parse().map_err(|_| format!("strconv.Atoi: parsing {key:?}: invalid syntax"))
}

/// An index into a list of `length`, from the end when negative.
fn place(index: i64, length: usize) -> Result<usize, String> {
    let invalid = || format!("Unable to access invalid index: {index}: invalid index referenced");
    let length = length as i64;
    let at = if index < 0 { index + length } else { index };
    if (0..length).contains(&at) { Ok(at as usize) } else { Err(invalid()) }
}

fn existing(key: &str, length: usize) -> Result<usize, String> {
    place(number(key)?, length)
}

/// Absent members of objects are `None`, absent elements of lists an error.
pub(super) fn get<'a>(holder: &'a Value, key: &str) -> Result<Option<&'a Value>, String> {
    match holder {
        Value::Array(list) => Ok(list.get(existing(key, list.len())?)),
        other => Ok(other.get(key)),
    }
}

pub(super) fn add(holder: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match holder {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => {
            let index = number(key).map_err(|e| format!("value was not a proper array index: '{key}': {e}"))?;
            let at = place(index, list.len() + 1)?;
            list.insert(at, value);
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn replace(holder: &mut Value, key: &str, value: Value) -> Result<(), String> {
    if let Value::Array(list) = holder {
        let at = existing(key, list.len())?;
        list[at] = value;
        return Ok(());
    }
    add(holder, key, value)
}

pub(super) fn remove(holder: &mut Value, key: &str) -> Result<Value, String> {
    match holder {
        Value::Array(list) => {
            let at = existing(key, list.len())?;
            Ok(list.remove(at))
        }
        Value::Object(map) => {
            map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value"))
        }
        _ => Ok(Value::Null),
    }
}
