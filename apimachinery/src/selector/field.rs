//! Field selectors such as `spec.nodeName=a,status.phase!=Running` (k8s.io/apimachinery `pkg/fields`).
//!
//! There is no grammar for the field names here: which fields a resource can be selected by is the resource's matter.

use std::fmt;

/// Terms that must all hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// `field=value` or `field!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    /// True for `!=`.
    pub negated: bool,
}

/// Why a field selector cannot be read; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term { selector: String, term: String },
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// Upstream prints the number of the character.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
}

impl FieldSelector {
    /// Reads terms in any order; they come out sorted by their text.
    pub fn parse(selector: &str) -> Result<Self, FieldSelectorError> {
        let mut parts = split_terms(selector);
        parts.sort_unstable();
        let mut terms = Vec::with_capacity(parts.len());
        for part in parts {
            if part.is_empty() {
                continue;
            }
            let Some((field, negated, value)) = split_term(part) else {
                return Err(FieldSelectorError::Term { selector: selector.into(), term: part.into() });
            };
            let value = unescape(value)?;
            // Upstream's transformation drops a term without field and value.
            if !(field.is_empty() && value.is_empty()) {
                terms.push(FieldTerm { field: field.to_owned(), value, negated });
            }
        }
        Ok(Self { terms })
    }

    /// The selector of one exact value.
    pub fn equal(field: impl Into<String>, value: impl Into<String>) -> Self {
        Self { terms: vec![FieldTerm { field: field.into(), value: value.into(), negated: false }] }
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// `lookup` gives the value of a field; an absent field is the empty string.
    pub fn matches<'a, S: AsRef<str> + 'a>(&self, mut lookup: impl FnMut(&str) -> S) -> bool {
        self.terms.iter().all(|t| (lookup(&t.field).as_ref() == t.value) != t.negated)
    }

    /// The value that `field` must have, when a term says so.
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| !t.negated && t.field == field).map(|t| t.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if term.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// Puts a backslash before `\`, `,` and `=`.
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".into())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn split_terms(selector: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, c) in selector.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == ',' {
            terms.push(&selector[start..index]);
            start = index + 1;
        }
    }
    terms.push(&selector[start..]);
    terms
}

/// Splits at the first operator; `==` goes before `=`, so that no `=` is left on the value.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (index, c) in term.char_indices() {
        let rest = &term[index..];
        if c == '!' && rest.starts_with("!=") {
            return Some((&term[..index], true, &rest[2..]));
        }
        if c == '=' {
            let skip = if rest.starts_with("==") { 2 } else { 1 };
            return Some((&term[..index], false, &rest[skip..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn selectors_are_read_and_printed() {
        let cases = [
            ("", ""),
            ("x=a,y=b,z=c", "x=a,y=b,z=c"),
            ("z=c,x=a", "x=a,z=c"),
            ("x!=a,y==b", "x!=a,y=b"),
            (r"x=a||y\=b", r"x=a||y\=b"),
            (r"x=a\=\=b", r"x=a\=\=b"),
            (r"x=a\,b", r"x=a\,b"),
            ("x=,z= ", "x=,z= "),
            ("=", ""),
        ];
        for (text, printed) in cases {
            assert_eq!(FieldSelector::parse(text).map(|s| s.to_string()).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn bad_selectors_are_refused_with_upstreams_texts() {
        let cases = [
            ("x", "invalid selector: 'x'; can't understand 'x'"),
            ("x=a,y", "invalid selector: 'x=a,y'; can't understand 'y'"),
            ("x=a||y=b", "invalid field selector: unescaped character in value: 61"),
            (r"x=\a", r"invalid field selector: invalid escape sequence: \a"),
            (r"x=a\", r"invalid field selector: invalid escape sequence: \"),
        ];
        for (text, error) in cases {
            assert_eq!(FieldSelector::parse(text).map_err(|e| e.to_string()), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn matching() {
        let lookup = |field: &str| match field {
            "x" => "a",
            "y" => "b",
            _ => "",
        };
        let cases = [
            ("", true),
            ("x=a", true),
            ("x=b", false),
            ("x=a,y=b", true),
            ("x!=b", true),
            ("y!=b", false),
            ("z=", true),
            ("z!=", false),
        ];
        for (selector, expected) in cases {
            assert_eq!(FieldSelector::parse(selector).unwrap().matches(lookup), expected, "{selector}");
        }
        let selector = FieldSelector::parse("metadata.name=a,x!=b").unwrap();
        assert_eq!(selector.requires_exact_match("metadata.name"), Some("a"));
        assert_eq!(selector.requires_exact_match("x"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(selector) = FieldSelector::parse(&text) {
                let again = FieldSelector::parse(&selector.to_string()).map(|s| s.terms);
                // Terms are sorted as they were written, `==` before `=`.
                prop_assert!(again.is_ok_and(|terms| terms.len() == selector.terms.len() && terms.iter().all(|t| selector.terms.contains(t))));
            }
        }

        #[test]
        fn values_survive_escaping(value in ".*") {
            prop_assert_eq!(unescape(&escape(&value)), Ok(value));
        }
    }
}
