//! Daemon sets: a workload whose template's generation travels in an annotation
//! (k8s.io/kubernetes `pkg/registry/apps/daemonset/strategy.go`, `pkg/apis/apps/v1/conversion.go`).

use crate::registry::kinds::workload::DAEMON_SET;
use crate::registry::strategy::Strategy;
use apimachinery::Object;
use apimachinery::field::ErrorList;
use serde_json::Value;

const GENERATION: &str = "deprecated.daemonset.template.generation";

pub struct DaemonSet;

impl Strategy for DaemonSet {
    fn has_generation(&self) -> bool {
        DAEMON_SET.has_generation()
    }

    fn default(&self, object: &mut Object) {
        DAEMON_SET.default(object);
        if object.annotation(GENERATION).is_none() {
            set(object, 0);
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        DAEMON_SET.prepare_create(object);
        set(object, 1);
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        DAEMON_SET.prepare_update(new, old);
        let before: i64 = old.annotation(GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0);
        let template = |object: &Object| object.at(&["spec", "template"]).cloned();
        set(new, if template(new) == template(old) { before } else { before + 1 });
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        DAEMON_SET.validate_create(object)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        DAEMON_SET.validate_update(new, old)
    }

    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        DAEMON_SET.validate_status_update(new, old)
    }

    fn field_annotation(&self) -> Option<&'static str> {
        Some(GENERATION)
    }

    fn warnings(&self, new: &Object, old: Option<&Object>) -> Vec<String> {
        DAEMON_SET.warnings(new, old)
    }
}

fn set(object: &mut Object, generation: i64) {
    object.set_at(&["metadata", "annotations", GENERATION], Value::from(generation.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_template_is_a_new_generation() {
        let object = |image: &str| {
            let spec = json!({"template": {"spec": {"containers": [{"name": "a", "image": image}]}}});
            let mut object = Object::from_value(json!({"metadata": {"name": "d"}, "spec": spec})).unwrap();
            DaemonSet.default(&mut object);
            object
        };
        let mut old = object("i:1");
        DaemonSet.prepare_create(&mut old);
        assert_eq!(old.annotation(GENERATION), Some("1"));
        let mut same = object("i:1");
        DaemonSet.prepare_update(&mut same, &old);
        assert_eq!(same.annotation(GENERATION), Some("1"));
        let mut other = object("i:2");
        DaemonSet.prepare_update(&mut other, &old);
        assert_eq!(other.annotation(GENERATION), Some("2"));
    }
}
