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
pub(crate) fn has_untolerated(taints: Option<&Vec<Taint>>, tolerations: Option<&Vec<Toleration>>) -> bool {
    let tolerated = |taint: &Taint| tolerations.into_iter().flatten().any(|toleration| tolerates(toleration, taint));
    taints.into_iter().flatten().filter(|taint| keeps_off(taint)).any(|taint| !tolerated(taint))
}
