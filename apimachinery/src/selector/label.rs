//! Label selectors: `app in (web,api),!canary,tier=front` (k8s.io/apimachinery `pkg/labels`), and the
//! `LabelSelector` objects of specs (`metav1.LabelSelectorAsSelector`).
//!
//! `>` and `<` are read in text only; selector objects refuse them.

mod parse;

use crate::field::{FieldError, Path};
use crate::validation::{is_label_value, is_qualified_name};
use serde_json::Value;
use std::fmt;

/// Requirements that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector {
    /// Sorted by key; `None` selects nothing at all.
    requirements: Option<Vec<Requirement>>,
}

/// Selects everything.
impl Default for LabelSelector {
    fn default() -> Self {
        Self::everything()
    }
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Exists,
    DoesNotExist,
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    /// As given, without order.
    pub values: Vec<String>,
}

/// Why a selector cannot be read; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LabelSelectorError {
    #[error("{0}")]
    Syntax(String),
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    #[error("{}", aggregate(.0))]
    Invalid(Vec<FieldError>),
    #[error("{0:?} is not a valid label selector operator")]
    Operator(String),
    /// Not a JSON object of `matchLabels` and `matchExpressions`.
    #[error("a label selector must be an object with matchLabels and matchExpressions")]
    Shape,
}

/// Upstream's aggregate of errors: the text alone, or several in brackets without repetition.
fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors.iter().map(ToString::to_string) {
        if !texts.contains(&error) {
            texts.push(error);
        }
    }
    if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) }
}

impl Requirement {
    /// Checks key and values as upstream's `NewRequirement` does.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, LabelSelectorError> {
        let mut errors = Vec::new();
        let invalid_key = is_qualified_name(key);
        if !invalid_key.is_empty() {
            errors.push(FieldError::invalid(&Path::new("key"), key, invalid_key.join("; ")));
        }
        let path = Path::new("values");
        let mut refuse = |detail: &str| errors.push(FieldError::invalid(&path, values.clone(), detail));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                refuse("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                refuse("exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                refuse("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    refuse("for 'Gt', 'Lt' operators, exactly one value is required");
                }
                for (index, value) in values.iter().enumerate().filter(|(_, v)| integer(v).is_none()) {
                    let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.push(FieldError::invalid(&path.index(index), value.as_str(), detail));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let invalid = is_label_value(value);
            if !invalid.is_empty() {
                errors.push(FieldError::invalid(&path.index(index).key(key), value.as_str(), invalid.join("; ")));
            }
        }
        if errors.is_empty() {
            Ok(Self { key: key.to_owned(), operator, values })
        } else {
            Err(LabelSelectorError::Invalid(errors))
        }
    }

    /// `value` is the object's label, if it has it.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        match self.operator {
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::GreaterThan => self.compare(value).is_some_and(|(label, bound)| label > bound),
            Operator::LessThan => self.compare(value).is_some_and(|(label, bound)| label < bound),
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((integer(value?)?, integer(self.values.first()?)?))
    }
}

/// Go's `strconv.ParseInt(_, 10, 64)`, which takes a sign like Rust's.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let mut sorted: Vec<&str> = self.values.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let values = sorted.join(",");
        match self.operator {
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl LabelSelector {
    pub fn everything() -> Self {
        Self { requirements: Some(Vec::new()) }
    }

    pub fn nothing() -> Self {
        Self { requirements: None }
    }

    /// Sorts by key, which makes the printed form deterministic.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements: Some(requirements) }
    }

    /// Reads the text of a `labelSelector` query parameter or of a scale's selector.
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        parse::parse(text).map(Self::new)
    }

    /// The selector of a plain label map, as Services and ReplicationControllers have it, without validation.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirement = |(key, value): (&str, &str)| Requirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: vec![value.to_owned()],
        };
        Self::new(labels.into_iter().map(requirement).collect())
    }

    /// Reads a `LabelSelector` object. Null or absent selects nothing, the empty object everything.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, LabelSelectorError> {
        let Some(selector) = selector.filter(|s| !s.is_null()) else { return Ok(Self::nothing()) };
        let map = selector.as_object().ok_or(LabelSelectorError::Shape)?;
        let mut requirements = Vec::new();
        for (key, value) in object_of(map.get("matchLabels"))? {
            let value = value.as_str().ok_or(LabelSelectorError::Shape)?;
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.to_owned()])?);
        }
        for expression in array_of(map.get("matchExpressions"))? {
            let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(LabelSelectorError::Operator(other.to_owned())),
            };
            let values = array_of(expression.get("values"))?.iter().map(|v| v.as_str().map(str::to_owned));
            let values = values.collect::<Option<Vec<String>>>().ok_or(LabelSelectorError::Shape)?;
            requirements.push(Requirement::new(text("key"), operator, values)?);
        }
        Ok(Self::new(requirements))
    }

    /// True when nothing is asked for, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    pub fn matches_nothing(&self) -> bool {
        self.requirements.is_none()
    }

    pub fn requirements(&self) -> &[Requirement] {
        self.requirements.as_deref().unwrap_or_default()
    }

    /// `lookup` gives the object's label of a key.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.as_ref().is_some_and(|all| all.iter().all(|r| r.matches(lookup(&r.key))))
    }

    /// Matches a JSON label map such as `metadata.labels`; absent means no labels.
    pub fn matches_labels(&self, labels: Option<&Value>) -> bool {
        self.matches(|key| labels?.get(key)?.as_str())
    }

    /// The value that `label` must have, when the selector allows one only.
    pub fn requires_exact_match(&self, label: &str) -> Option<&str> {
        let found = self.requirements().iter().find(|r| r.key == label)?;
        match (found.operator, &found.values[..]) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [only]) => Some(only),
            _ => None,
        }
    }
}

fn object_of(value: Option<&Value>) -> Result<impl Iterator<Item = (&String, &Value)>, LabelSelectorError> {
    match value {
        None | Some(Value::Null) => Ok(None.into_iter().flatten()),
        Some(Value::Object(map)) => Ok(Some(map).into_iter().flatten()),
        Some(_) => Err(LabelSelectorError::Shape),
    }
}

fn array_of(value: Option<&Value>) -> Result<&[Value], LabelSelectorError> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(LabelSelectorError::Shape),
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
