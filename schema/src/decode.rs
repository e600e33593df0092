//! Request bodies to JSON trees: what upstream has after reading the body into its Go type. Unknown members go, plain
//! members get their zero values, times and quantities get their canonical form. Lists and maps without elements stay
//! where they were sent; [`crate::empties`] makes of them what is written.
//!
//! Errors and strictness follow sigs.k8s.io/json: names are case-sensitive, the first wrong type is reported with the
//! Go struct's name and the path, unknown and duplicate members are strict errors with their full path.
//! Of duplicate members the last one wins.

mod scalars;
mod typed;
mod untyped;

use crate::json::{NodeKind, SyntaxError, Tape};
use crate::types::Type;
use serde_json::Value;
use typed::Decoder;

/// The request parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Unknown and duplicate members are dropped in silence.
    Ignore,
    /// They become warnings.
    #[default]
    Warn,
    /// They fail the request.
    Strict,
}

/// Why a body cannot become an object. All of these are upstream's BadRequest; the API adds its own words in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A value of the wrong type or form, in upstream's words.
    #[error("{0}")]
    Value(String),
    /// What [`FieldValidation::Strict`] found, in the order of the body.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
    /// Kind and version cannot be read off the body.
    #[error("couldn't get version/kind; json parse error: {0}")]
    TypeMeta(String),
}

/// Reads a body as an object of type `t`, or as a free-form object where `t` is `None` (custom resources).
/// Returns the object and what [`FieldValidation::Warn`] has to say.
///
/// # Errors
/// When the body is no JSON, a value does not fit its field, or strictness was asked for and is violated.
pub fn decode(
    t: Option<&'static Type>,
    body: &[u8],
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), DecodeError> {
    let tape = Tape::parse(body)?;
    let mut decoder = Decoder::new(&tape, validation != FieldValidation::Ignore);
    let value = match t {
        Some(t) => decoder.root(t)?,
        None if tape.kind(0) == NodeKind::Object => decoder.untyped(0),
        None => {
            let found = scalars::kind_word(&tape, 0);
            let text = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
            return Err(DecodeError::Value(text));
        }
    };
    let strict = decoder.finish()?;
    if validation == FieldValidation::Strict && !strict.is_empty() {
        return Err(DecodeError::Strict(strict));
    }
    Ok((value, strict))
}

/// The canonical form of a tree that was made here and not read from a client: the result of a patch. What the type
/// does not know is dropped and returned as strict errors without judging them.
///
/// # Errors
/// When a value does not fit its field.
pub fn normalize(t: &'static Type, value: &Value) -> Result<(Value, Vec<String>), DecodeError> {
    let text = serde_json::to_vec(value).map_err(|error| DecodeError::Value(error.to_string()))?;
    decode(Some(t), &text, FieldValidation::Warn)
}

/// `apiVersion` and `kind` of a body, empty where absent.
///
/// # Errors
/// When the body is no JSON object or one of the two is no string, in upstream's words.
pub fn type_meta(body: &[u8]) -> Result<(String, String), DecodeError> {
    let tape = Tape::parse(body).map_err(|error| DecodeError::TypeMeta(error.to_string()))?;
    let wrong =
        |found: &str, into: &str| DecodeError::TypeMeta(format!("json: cannot unmarshal {found} into Go {into}"));
    if !matches!(tape.kind(0), NodeKind::Object | NodeKind::Null) {
        let goal = r#"value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
        return Err(wrong(&scalars::kind_word(&tape, 0), goal));
    }
    let text = |name: &str| match tape.member(0, name) {
        Some(node) if tape.is_string(node) => Ok(tape.string(node).into_owned()),
        Some(node) if tape.kind(node) != NodeKind::Null => {
            Err(wrong(&scalars::kind_word(&tape, node), &format!("struct field .{name} of type string")))
        }
        _ => Ok(String::new()),
    };
    Ok((text("apiVersion")?, text("kind")?))
}

#[cfg(test)]
mod tests;
