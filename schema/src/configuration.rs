//! Configuration files of components: one YAML or JSON document of an expected kind (k8s.io/component-base, strict decoding).

use crate::yaml::from_yaml;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a file is no configuration of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    #[error("it cannot be read: {0}")]
    Syntax(String),
    #[error("it is a {kind} of {version}, not a {wanted}")]
    Kind { version: String, kind: String, wanted: String },
}

/// Reads `T`, which lacks the fields `apiVersion` and `kind`: those are checked here. A key that stands twice is refused.
pub fn read<T: DeserializeOwned>(text: &str, version: &str, kind: &str) -> Result<T, ConfigurationError> {
    let mut tree = tree(text)?;
    let mut take = |name: &str| match tree.as_object_mut().and_then(|fields| fields.remove(name)) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (found_version, found_kind) = (take("apiVersion"), take("kind"));
    if found_version != version || found_kind != kind {
        let wanted = format!("{kind} of {version}");
        return Err(ConfigurationError::Kind { version: found_version, kind: found_kind, wanted });
    }
    serde_json::from_value(tree).map_err(|error| ConfigurationError::Syntax(error.to_string()))
}

/// The document as it is, whatever its kind.
pub fn tree(text: &str) -> Result<Value, ConfigurationError> {
    let (tree, twice) = from_yaml(text.as_bytes()).map_err(|error| ConfigurationError::Syntax(error.to_string()))?;
    match twice.first() {
        Some(twice) => Err(ConfigurationError::Syntax(twice.clone())),
        None => Ok(tree),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        rules: Vec<String>,
    }

    #[test]
    fn the_head_decides_what_is_read() {
        let read = |text: &str| read::<Policy>(text, "example.com/v1", "Policy").map_err(|error| error.to_string());
        let whole = "apiVersion: example.com/v1\nkind: Policy\nrules: [a, b]\n";
        assert_eq!(read(whole), Ok(Policy { rules: vec!["a".into(), "b".into()] }));
        let refused = |text: &str| read(text).unwrap_err();
        assert_eq!(refused("apiVersion: v1\nkind: Pod\n"), "it is a Pod of v1, not a Policy of example.com/v1");
        assert_eq!(refused("[]"), "it is a  of , not a Policy of example.com/v1");
        assert!(refused(&whole.replace("rules", "roles")).contains("unknown field `roles`"));
        assert!(refused(&format!("{whole}rules: []\n")).contains("\"rules\" already set in map"));
        assert!(refused("a: [").starts_with("it cannot be read: "));
    }
}
