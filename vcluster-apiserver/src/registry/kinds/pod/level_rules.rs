//! What a pod asks for as a whole holds what its containers ask for (k8s.io/kubernetes `pkg/apis/core/validation`,
//! `validatePodResourceConsistency`).

use crate::registry::kinds::read::{list, quantity};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Quantity>;

fn of(container: &Value, side: &str) -> Amounts {
    let amounts = container["resources"][side].as_object().into_iter().flatten();
    amounts.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect()
}

fn add(into: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        into.entry(name.clone()).and_modify(|sum| *sum += *amount).or_insert(*amount);
    }
}

fn raise(into: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let largest = into.entry(name).or_insert(amount);
        if amount > *largest {
            *largest = amount;
        }
    }
}

/// The containers' amounts together: those that stay, or the most that those which end first need with what stays by then.
fn together(spec: &Value, side: &str) -> Amounts {
    let (mut all, mut first, mut staying) = (Amounts::new(), Amounts::new(), Amounts::new());
    for container in list(spec, "containers") {
        add(&mut all, &of(container, side));
    }
    for container in list(spec, "initContainers") {
        let mut own = of(container, side);
        if container["restartPolicy"] == "Always" {
            add(&mut all, &own);
            add(&mut staying, &own);
            own = staying.clone();
        } else {
            add(&mut own, &staying);
        }
        raise(&mut first, own);
    }
    raise(&mut all, first);
    all
}

pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for side in ["requests", "limits"] {
        for (name, amount) in together(spec, side) {
            let given = &spec["resources"][side][&name];
            // Of limits only pages are promised to all containers at once.
            let counts = side == "requests" || name.starts_with("hugepages-");
            if counts && quantity(given).is_some_and(|given| amount > given) {
                let why = format!("must be greater than or equal to aggregate container {side} of {amount}");
                errors.push(FieldError::invalid(&path.child(side).key(&name), given.clone(), why));
            }
        }
    }
    for (index, container) in list(spec, "containers").iter().enumerate() {
        for (name, amount) in of(container, "limits") {
            let given = &spec["resources"]["limits"][&name];
            if quantity(given).is_some_and(|given| amount > given) {
                let at = path.child("containers").index(index).key(&name).child("limits");
                let why = format!("must be less than or equal to pod limits of {}", given.as_str().unwrap_or_default());
                errors.push(FieldError::invalid(&at, container["resources"]["limits"][&name].clone(), why));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_fit_into_the_pod() {
        let spec = json!({
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}},
            "containers": [{"resources": {"requests": {"cpu": "600m"}}}, {"resources": {"requests": {"cpu": "600m"}, "limits": {"cpu": "2"}}}],
        });
        let mut errors = ErrorList::new();
        check(&spec, &Path::new("r"), &mut errors);
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "r.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 1200m",
                "r.containers[1][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1",
            ]
        );
    }
}
