//! Selectors as part of what is asked (KEP-4601; k8s.io/apiserver `pkg/endpoints/filters/authorization.go`,
//! k8s.io/kubernetes `pkg/registry/authorization/util/helpers.go`).
//!
//! An authorizer may allow less than everything by them. What cannot be read is left out, which asks for more, never for
//! less.

use apimachinery::selector::field::FieldTerm;
use apimachinery::selector::label::{Operator, Requirement};
use apimachinery::selector::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

/// The conditions of a list, a watch or a deletion of many; none of both is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    pub fields: Vec<FieldTerm>,
    pub labels: Vec<Requirement>,
}

impl Selectors {
    /// From the query of a request.
    pub fn of_request(fields: &str, labels: &str) -> Self {
        let fields = if fields.is_empty() { None } else { FieldSelector::parse(fields).ok() };
        let labels = if labels.is_empty() { None } else { LabelSelector::parse(labels).ok() };
        Self {
            fields: fields.map(|selector| selector.terms().to_vec()).unwrap_or_default(),
            labels: labels.map(|selector| selector.requirements().to_vec()).unwrap_or_default(),
        }
    }

    /// From the `resourceAttributes` of an access review, with what could not be read of them.
    pub fn of_review(attributes: &Value) -> (Self, Vec<String>) {
        let mut errors = Vec::new();
        let mut selectors = Self::default();
        let part = |name: &str| (text(&attributes[name], "rawSelector"), list(&attributes[name], "requirements"));
        let mut note = |name: &str, found: bool| {
            let how = if found { "partially ignored" } else { "ignored" };
            errors.push(format!("spec.resourceAttributes.{name} {how} due to parse error"));
        };

        let (raw, requirements) = part("fieldSelector");
        if raw.is_empty() {
            let read: Vec<Option<FieldTerm>> = requirements.iter().map(field).collect();
            let wrong = read.iter().any(Option::is_none);
            selectors.fields = read.into_iter().flatten().collect();
            if wrong {
                note("fieldSelector", !selectors.fields.is_empty());
            }
        } else {
            match FieldSelector::parse(raw) {
                Ok(selector) => selectors.fields = selector.terms().to_vec(),
                Err(_) => note("fieldSelector", false),
            }
        }

        let (raw, requirements) = part("labelSelector");
        if raw.is_empty() {
            let read: Vec<Option<Requirement>> = requirements.iter().map(label).collect();
            let wrong = read.iter().any(Option::is_none);
            selectors.labels = read.into_iter().flatten().collect();
            if wrong {
                note("labelSelector", !selectors.labels.is_empty());
            }
        } else {
            match LabelSelector::parse(raw) {
                Ok(selector) => selectors.labels = selector.requirements().to_vec(),
                Err(_) => note("labelSelector", false),
            }
        }
        (selectors, errors)
    }

    /// Whether only objects are asked for whose field has exactly this value.
    pub fn requires(&self, field: &str, value: &str) -> bool {
        self.fields.iter().any(|term| !term.negated && term.field == field && term.value == value)
    }

    /// As an access review carries them: field selector, then label selector.
    pub fn to_review(&self) -> (Option<Value>, Option<Value>) {
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|term| {
                json!({"key": term.field, "operator": if term.negated { "NotIn" } else { "In" }, "values": [term.value]})
            })
            .collect();
        let labels: Vec<Value> = self
            .labels
            .iter()
            .filter_map(|requirement| {
                let operator = match requirement.operator {
                    Operator::Equals | Operator::DoubleEquals | Operator::In => "In",
                    Operator::NotEquals | Operator::NotIn => "NotIn",
                    Operator::Exists => "Exists",
                    Operator::DoesNotExist => "DoesNotExist",
                    // Comparisons have no form there.
                    Operator::GreaterThan | Operator::LessThan => return None,
                };
                let mut out = json!({"key": requirement.key, "operator": operator});
                if !requirement.values.is_empty() {
                    out["values"] = json!(requirement.values);
                }
                Some(out)
            })
            .collect();
        let selector = |list: Vec<Value>| (!list.is_empty()).then(|| json!({"requirements": list}));
        (selector(fields), selector(labels))
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn values(requirement: &Value) -> Vec<String> {
    list(requirement, "values").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn field(requirement: &Value) -> Option<FieldTerm> {
    let negated = match text(requirement, "operator") {
        "In" => false,
        "NotIn" => true,
        _ => return None,
    };
    let values: [String; 1] = values(requirement).try_into().ok()?;
    let [value] = values;
    Some(FieldTerm { field: text(requirement, "key").to_owned(), value, negated })
}

fn label(requirement: &Value) -> Option<Requirement> {
    let operator = match text(requirement, "operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => return None,
    };
    Requirement::new(text(requirement, "key"), operator, values(requirement)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Upstream's cases: pkg/registry/authorization/util/helpers_test.go, TestResourceAttributesFrom.
    #[test]
    fn reviews_are_read_as_upstream_reads_them() {
        let requirement =
            |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        for (fields, labels, terms, requirements, errors) in [
            (json!({"rawSelector": "a=b,c!=d"}), json!({"rawSelector": "e in (f,g),!h"}), 2, 2, 0),
            (json!({"rawSelector": "&"}), json!({"rawSelector": "&&"}), 0, 0, 2),
            (
                json!({"requirements": [requirement("a", "In", &["b"]), requirement("c", "In", &["d", "e"])]}),
                json!({"requirements": [requirement("a", "Exists", &[]), requirement("b", "Near", &["d"])]}),
                1,
                1,
                2,
            ),
            (json!({"requirements": [requirement("a", "Exists", &[])]}), Value::Null, 0, 0, 1),
            (Value::Null, Value::Null, 0, 0, 0),
        ] {
            let (selectors, found) = Selectors::of_review(&json!({"fieldSelector": fields, "labelSelector": labels}));
            let counts = (selectors.fields.len(), selectors.labels.len(), found.len());
            assert_eq!(counts, (terms, requirements, errors), "{fields} {labels} {found:?}");
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let selectors = Selectors::of_request("spec.nodeName=n,status.phase!=Failed", "a in (b),c,!d");
        let (fields, labels) = selectors.to_review();
        let (again, errors) = Selectors::of_review(&json!({"fieldSelector": fields, "labelSelector": labels}));
        assert_eq!((again, errors.len()), (selectors.clone(), 0));
        assert!(selectors.requires("spec.nodeName", "n"));
        assert!(!selectors.requires("status.phase", "Failed"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(fields in "\\PC{0,40}", labels in "\\PC{0,40}") {
            Selectors::of_request(&fields, &labels).to_review();
            Selectors::of_review(&json!({"fieldSelector": {"rawSelector": fields}, "labelSelector": {"requirements": [labels]}}));
        }
    }
}
