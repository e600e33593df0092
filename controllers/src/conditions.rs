//! Conditions of any kind as one type: the kinds differ only in which of these fields they have.

use crate::recorder::stamp;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_probe_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_update_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_transition_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
}

impl Condition {
    pub(crate) fn new(kind: &str, status: bool, reason: &str, message: impl Into<String>, now: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            status: if status { "True" } else { "False" }.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            last_transition_time: Some(stamp(now)),
            ..Self::default()
        }
    }

    /// For kinds whose conditions carry the time of their last update too.
    pub(crate) fn updated(mut self, now: Timestamp) -> Self {
        self.last_update_time = Some(stamp(now));
        self
    }

    pub(crate) fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// The conditions of a status, as they are stored.
pub(crate) fn read(status: &Value) -> Vec<Condition> {
    serde_json::from_value(status["conditions"].clone()).unwrap_or_default()
}

pub(crate) fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Sets a condition. One of equal status and reason stays as it is; the transition time moves with the status only. The
/// rule of upstream's `SetDeploymentCondition` and its sisters.
pub(crate) fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    if let Some(old) = find(conditions, &condition.kind) {
        if old.status == condition.status && old.reason == condition.reason {
            return;
        }
        if old.status == condition.status {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
    remove(conditions, &condition.kind.clone());
    conditions.push(condition);
}

/// Sets a condition in its place, also when only its message changed.
pub(crate) fn replace(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|old| old.kind == condition.kind) {
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}

pub(crate) fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.kind != kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut all = vec![Condition::new("A", true, "One", "", at(1))];
        set(&mut all, Condition::new("A", true, "One", "other words", at(2)));
        assert_eq!(all[0].message, "");
        set(&mut all, Condition::new("A", true, "Two", "", at(3)));
        assert_eq!((&*all[0].reason, all[0].last_transition_time.as_deref()), ("Two", Some("1970-01-01T00:00:01Z")));
        set(&mut all, Condition::new("A", false, "Two", "", at(4)));
        assert_eq!(all[0].last_transition_time.as_deref(), Some("1970-01-01T00:00:04Z"));
    }
}
