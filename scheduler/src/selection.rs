//! Label selectors of typed objects, compiled once per pod (`metav1.LabelSelectorAsSelector`).

use apimachinery::selector::label::{Operator, Requirement};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

pub(crate) type Labels = BTreeMap<String, String>;

/// Requirements that must all hold; without requirements it selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// Selects nothing: an absent selector, or one that cannot be understood.
    Nothing,
    All(Vec<Requirement>),
}

impl Selector {
    pub(crate) fn new(selector: Option<&LabelSelector>) -> Self {
        Self::parse(selector).unwrap_or(Self::Nothing)
    }

    /// Fails with what is wrong with it.
    pub(crate) fn parse(selector: Option<&LabelSelector>) -> Result<Self, String> {
        let Some(selector) = selector else { return Ok(Self::Nothing) };
        let mut requirements: Vec<_> =
            selector.match_labels.iter().flatten().map(|(key, value)| equal(key, value)).collect();
        for rule in selector.match_expressions.iter().flatten() {
            let name = &rule.operator;
            let operator = operator(name).ok_or_else(|| format!("{name:?} is not a valid label selector operator"))?;
            let values = rule.values.clone().unwrap_or_default();
            requirements.push(Requirement { key: rule.key.clone(), operator, values });
        }
        Ok(Self::All(requirements))
    }

    pub(crate) fn from_map(labels: &Labels) -> Self {
        Self::All(labels.iter().map(|(key, value)| equal(key, value)).collect())
    }

    /// Everything that is selected must also have this label.
    pub(crate) fn and(&mut self, key: &str, value: &str) {
        if let Self::All(requirements) = self {
            requirements.push(equal(key, value));
        }
    }

    /// Everything that is selected must also be selected by `other`.
    pub(crate) fn and_all(&mut self, other: Self) {
        match (self, other) {
            (Self::All(requirements), Self::All(more)) => requirements.extend(more),
            (Self::All(_) | Self::Nothing, Self::Nothing) | (Self::Nothing, Self::All(_)) => {}
        }
    }

    /// Selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::All(requirements) if requirements.is_empty())
    }

    pub(crate) fn matches(&self, labels: Option<&Labels>) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => all_match(requirements, labels),
        }
    }
}

pub(crate) fn all_match(requirements: &[Requirement], labels: Option<&Labels>) -> bool {
    let value = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    requirements.iter().all(|requirement| requirement.matches(value(&requirement.key)))
}

fn equal(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::Equals, values: vec![value.to_owned()] }
}

fn operator(name: &str) -> Option<Operator> {
    match name {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        _ => None,
    }
}

/// The operators of node selectors, which also compare numbers.
pub(crate) fn node_operator(name: &str) -> Option<Operator> {
    match name {
        "Gt" => Some(Operator::GreaterThan),
        "Lt" => Some(Operator::LessThan),
        _ => operator(name),
    }
}
