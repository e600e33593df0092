//! Taints and what tolerates them (`k8s.io/component-helpers/scheduling/corev1/helpers.go`).

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// An empty key with `Exists` tolerates every key, an empty effect every effect. `Lt` and `Gt` are off upstream.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => value(&toleration.value) == value(&taint.value),
            "Exists" => true,
            _ => false,
        }
}

/// The taint keeps pods that do not tolerate it from being placed.
pub(crate) fn keeps_off(taint: &Taint) -> bool {
    matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
}

/// Whether one of `taints` keeps the pod off.
pub(crate) fn has_untolerated(taints: &[Taint], tolerations: Option<&Vec<Toleration>>) -> bool {
    let tolerated = |taint: &Taint| tolerations.into_iter().flatten().any(|toleration| tolerates(toleration, taint));
    taints.iter().filter(|taint| keeps_off(taint)).any(|taint| !tolerated(taint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Cases of `TestTolerationToleratesTaint`.
    #[test]
    fn tolerations() {
        let cases: [(Value, (&str, &str, &str), bool); 9] = [
            (json!({"key": "foo", "operator": "Exists", "effect": "NoSchedule"}), ("foo", "bar", "NoSchedule"), true),
            (json!({"key": "foo", "operator": "Exists"}), ("foo", "bar", "NoExecute"), true),
            (json!({"operator": "Exists"}), ("foo", "bar", "NoSchedule"), true),
            (json!({"key": "foo", "operator": "Equal", "value": "bar"}), ("foo", "bar", "NoSchedule"), true),
            (json!({"key": "foo", "value": "bar"}), ("foo", "bar", "NoSchedule"), true),
            (json!({"key": "foo", "value": "bar1"}), ("foo", "bar2", "NoSchedule"), false),
            (json!({"key": "foo1", "operator": "Exists"}), ("foo2", "bar", "NoSchedule"), false),
            (json!({"key": "foo", "value": "bar", "effect": "NoExecute"}), ("foo", "bar", "NoSchedule"), false),
            (json!({"key": "foo", "operator": "Gt", "value": "1"}), ("foo", "2", "NoSchedule"), false),
        ];
        for (toleration, (key, value, effect), tolerated) in cases {
            let taint = Taint { key: key.into(), value: Some(value.into()), effect: effect.into(), time_added: None };
            let parsed: Toleration = serde_json::from_value(toleration.clone()).unwrap();
            assert_eq!(tolerates(&parsed, &taint), tolerated, "{toleration}");
            assert_eq!(has_untolerated(&[taint], Some(&vec![parsed])), !tolerated, "{toleration}");
        }
        let soft = Taint { key: "k".into(), effect: "PreferNoSchedule".into(), ..Taint::default() };
        assert!(!has_untolerated(&[soft], None));
    }
}
