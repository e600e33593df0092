//! Label and field selectors: printed and read again, and beside the selector objects of specs.

use apimachinery::selector::label::Operator;
use apimachinery::selector::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        labels(&selector);
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        fields(&selector);
    }
}

fn labels(selector: &LabelSelector) {
    let printed = selector.to_string();
    let again = LabelSelector::parse(&printed).expect("what is printed can be read");
    assert_eq!(again.to_string(), printed);
    let object =
        object(selector).map(|object| LabelSelector::from_object(Some(&object)).expect("as valid as the text"));
    // With each value, without any, and with one that no requirement names.
    let values = selector.requirements().iter().flat_map(|r| r.values.iter().map(|v| Some(v.as_str())));
    for value in values.chain([None, Some("-")]) {
        let matches = selector.matches(|_| value);
        assert_eq!(again.matches(|_| value), matches, "{printed}: {value:?}");
        if let Some(object) = &object {
            assert_eq!(object.matches(|_| value), matches, "{printed} as an object: {value:?}");
        }
    }
}

/// The selector as an object, which has no words for order.
fn object(selector: &LabelSelector) -> Option<Value> {
    let expression =
        |key: &str, operator: &str, values: &[String]| json!({"key": key, "operator": operator, "values": values});
    let expressions = selector.requirements().iter().map(|requirement| {
        let word = match requirement.operator {
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::Equals | Operator::DoubleEquals | Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        Some(expression(&requirement.key, word, &requirement.values))
    });
    Some(json!({"matchExpressions": expressions.collect::<Option<Vec<Value>>>()?}))
}

fn fields(selector: &FieldSelector) {
    let printed = selector.to_string();
    let again = FieldSelector::parse(&printed).expect("what is printed can be read");
    // Terms are sorted as they were written, `==` before `=`, and are printed with one `=`.
    let sorted = |selector: &FieldSelector| {
        let mut terms: Vec<_> =
            selector.terms().iter().map(|t| (t.field.clone(), t.negated, t.value.clone())).collect();
        terms.sort_unstable();
        terms
    };
    assert_eq!(sorted(&again), sorted(selector), "{printed}");
    for term in selector.terms() {
        assert_eq!(selector.matches(|_| &*term.value), again.matches(|_| &*term.value), "{printed}");
        if let Some(value) = selector.requires_exact_match(&term.field) {
            assert!(!selector.matches(|field| if field == term.field { format!("{value}x") } else { String::new() }));
        }
    }
}
