//! Conditions of pods that the server sets itself (k8s.io/kubernetes `pkg/api/pod/util.go`, `UpdatePodCondition`).

use apimachinery::Object;
use serde_json::{Value, json};

/// Puts a condition of status `True` in the place of the one of its type. The time of a status that stays, stays.
pub fn hold(pod: &mut Object, kind: &str, reason: Option<(&str, &str)>, now: &str) {
    let mut condition = json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if let Some((reason, message)) = reason {
        condition["reason"] = reason.into();
        condition["message"] = message.into();
    }
    let mut conditions = pod.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    match conditions.iter_mut().find(|known| known["type"] == kind) {
        Some(known) => {
            if known["status"] == "True" {
                condition["lastTransitionTime"] = known["lastTransitionTime"].take();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
    pod.set_at(&["status", "conditions"], conditions.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_held_since_it_became_true() {
        for (before, since) in [
            (json!([]), "now"),
            (json!([{"type": "A", "status": "False", "lastTransitionTime": "then"}]), "now"),
            (json!([{"type": "A", "status": "True", "lastTransitionTime": "then"}]), "then"),
        ] {
            let mut pod = Object::from_value(json!({"status": {"conditions": before}})).unwrap();
            hold(&mut pod, "A", Some(("Because", "of this")), "now");
            let expected = json!([{"type": "A", "status": "True", "reason": "Because", "message": "of this",
                "lastProbeTime": null, "lastTransitionTime": since}]);
            assert_eq!(pod.at(&["status", "conditions"]), Some(&expected));
        }
    }
}
