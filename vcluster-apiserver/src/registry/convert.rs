//! Several served versions over one stored form: events of two groups, autoscalers of two versions.
//!
//! Conversion is lossless in both directions: what the other version cannot say is carried in annotations, as upstream
//! does (k8s.io/kubernetes `pkg/apis/autoscaling/v1/conversion.go`, `pkg/apis/core/v1/conversion.go`).

mod autoscaling;

use apimachinery::{GroupVersionKind, Object};

pub use autoscaling::AUTOSCALING_V1;

/// How a served version differs from the stored one.
#[derive(Debug)]
pub enum Conversion {
    /// Fields with another name: (stored, served).
    Rename(&'static [(&'static str, &'static str)]),
    Functions {
        to_served: fn(&mut Object),
        to_stored: fn(&mut Object),
    },
}

/// core/v1 is stored, events.k8s.io/v1 served.
pub static EVENTS: Conversion = Conversion::Rename(&[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
]);

impl Conversion {
    /// From the stored form to `kind`.
    pub fn to_served(&self, object: &mut Object, kind: &GroupVersionKind) {
        match self {
            Self::Rename(fields) => rename(object, fields.iter().copied()),
            Self::Functions { to_served, .. } => to_served(object),
        }
        object.set_gvk(kind);
    }

    /// From the served form to the stored `kind`.
    pub fn to_stored(&self, object: &mut Object, kind: &GroupVersionKind) {
        match self {
            Self::Rename(fields) => rename(object, fields.iter().map(|(stored, served)| (*served, *stored))),
            Self::Functions { to_stored, .. } => to_stored(object),
        }
        object.set_gvk(kind);
    }
}

fn rename(object: &mut Object, fields: impl Iterator<Item = (&'static str, &'static str)>) {
    for (from, to) in fields {
        if let Some(value) = object.as_map_mut().remove(from) {
            object.as_map_mut().insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_both_groups_are_one_object() {
        let stored = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod"}, "message": "m",
            "count": 3, "reportingComponent": "c", "reason": "r"});
        let served = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"kind": "Pod"}, "note": "m",
            "deprecatedCount": 3, "reportingController": "c", "reason": "r"});
        let mut object = Object::from_value(stored.clone()).unwrap();
        EVENTS.to_served(&mut object, &GroupVersionKind::new("events.k8s.io", "v1", "Event"));
        assert_eq!(object.clone().into_value(), served);
        EVENTS.to_stored(&mut object, &GroupVersionKind::new("", "v1", "Event"));
        assert_eq!(object.into_value(), stored);
    }
}
