//! Kinds that are questions: posted, answered, never stored.
//!
//! Each function takes the posted object and gives the object to answer with; 422 and 400 as upstream gives them.

pub mod access;
pub mod identity;
pub mod specials;
pub mod token_request;
#[cfg(test)]
mod token_request_tests;

use apimachinery::field::FieldError;
use apimachinery::{GroupVersionKind, Status};
use serde_json::{Value, json};

/// 422 about a review, which has no name.
fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
    Status::invalid(&GroupVersionKind::new(group, "v1", kind), name, errors)
}

/// A list of strings; what is none is left out.
fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A user as `status.userInfo` and `status.user` show it.
fn user_info(user: &crate::request::UserInfo) -> Value {
    let mut info = json!({ "username": user.name });
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
