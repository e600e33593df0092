//! What selectors look at, parsed out of a cached body once and kept beside it.

use super::fields;
use serde_json::Value;
use std::sync::Arc;
use storage::Entry;

/// Labels and selectable fields of one object.
#[derive(Debug, Default)]
pub struct Head {
    labels: Box<[(Box<str>, Box<str>)]>,
    /// In the order of the paths that it was made for.
    fields: Box<[Box<str>]>,
}

impl Head {
    /// Of a body that is no JSON, which a store never holds, nothing is selectable.
    pub fn parse(body: &[u8], paths: &[Arc<str>]) -> Self {
        let tree: Value = serde_json::from_slice(body).unwrap_or_default();
        let labels = tree.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        Self {
            labels: labels.filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into()))).collect(),
            fields: paths.iter().map(|path| text_at(&tree, path).into()).collect(),
        }
    }

    /// The head of a cache entry, made on first use.
    pub fn of(entry: &Entry, paths: &[Arc<str>]) -> Arc<Self> {
        entry.head.get_or_init(|| Self::parse(&entry.body, paths))
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }

    /// The value of the path at `index` of those that the head was made for.
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", |v| v)
    }
}

/// A value as field selectors compare it.
fn text_at(tree: &Value, path: &str) -> String {
    if let Some((path, other)) = path.split_once('|') {
        let text = text_at(tree, path);
        return if text.is_empty() { text_at(tree, other) } else { text };
    }
    let value = path.split('.').try_fold(tree, |value, field| value.get(field));
    match value {
        None | Some(Value::Null) => fields::zero(path).to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_knows_labels_and_fields() {
        let body = br#"{"metadata":{"labels":{"a":"b"}},"spec":{"nodeName":"n","unschedulable":true}}"#;
        let paths = ["spec.nodeName", "spec.unschedulable", "status.phase", "status.replicas"].map(Arc::from);
        let head = Head::parse(body, &paths);
        assert_eq!((head.label("a"), head.label("c")), (Some("b"), None));
        assert_eq!((0..4).map(|i| head.field(i)).collect::<Vec<_>>(), ["n", "true", "", "0"]);
        for (body, source) in [
            (&br#"{"source":{"component":"a"},"reportingComponent":"b"}"#[..], "a"),
            (&br#"{"source":{},"reportingComponent":"b"}"#[..], "b"),
        ] {
            assert_eq!(Head::parse(body, &["source.component|reportingComponent".into()]).field(0), source);
        }
    }
}
