//! What lists, watches and the garbage collector need to know about an object, read from its JSON bytes without making
//! a tree: everything else is skipped over.
//!
//! Strings are borrowed from the bytes where they have no escapes.

mod fields;
mod text;

pub use fields::field_values;
pub use text::{Labels, Text};

use serde::Deserialize;

/// The identifying and lifecycle parts of an object; what is absent or null is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Head<'a> {
    #[serde(borrow, rename = "apiVersion")]
    pub api_version: Text<'a>,
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub metadata: HeadMeta<'a>,
}

/// The parts of `metadata` that a [`Head`] keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeadMeta<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    #[serde(borrow)]
    pub resource_version: Text<'a>,
    pub generation: i64,
    #[serde(borrow)]
    pub creation_timestamp: Text<'a>,
    /// Empty while the object is not being deleted.
    #[serde(borrow)]
    pub deletion_timestamp: Text<'a>,
    #[serde(borrow)]
    pub labels: Labels<'a>,
    #[serde(borrow, deserialize_with = "text::list")]
    pub owner_references: Vec<OwnerReference<'a>>,
    #[serde(borrow, deserialize_with = "text::list")]
    pub finalizers: Vec<Text<'a>>,
}

/// An owner as an object names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    #[serde(borrow)]
    pub api_version: Text<'a>,
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    pub controller: Option<bool>,
    pub block_owner_deletion: Option<bool>,
}

impl<'a> Head<'a> {
    /// Fails on bytes that are no JSON object, or whose metadata has values of other types.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, serde_json::Error> {
        // The derived reader would take a list for the fields in order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(serde::de::Error::custom("an object must be a JSON object"));
        }
        serde_json::from_slice(bytes)
    }

    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// The revision as a number; `None` when absent or no number.
    pub fn revision(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }

    pub fn is_terminating(&self) -> bool {
        !self.metadata.deletion_timestamp.is_empty()
    }

    /// The owner that controls the object.
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.metadata.owner_references.iter().find(|o| o.controller == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_head_is_read_and_the_rest_is_skipped() {
        let bytes =
            br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"7",
            "generation":3,"deletionTimestamp":null,"labels":{"app":"w\u0065b","x":""},"annotations":{"big":"..."},
            "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"o","uid":"v","controller":true}],
            "finalizers":["x/y"]},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running"}}"#;
        let head = Head::parse(bytes).unwrap();
        assert_eq!((head.name(), head.namespace(), head.uid(), head.revision()), ("a", "b", "u", Some(7)));
        assert_eq!((head.metadata.generation, head.is_terminating()), (3, false));
        assert_eq!(head.metadata.labels.get("app"), Some("web"));
        assert_eq!(head.metadata.labels.get("y"), None);
        assert_eq!(head.controller().map(|o| &*o.kind), Some("ReplicaSet"));
        assert_eq!(&*head.metadata.finalizers[0], "x/y");
    }

    #[test]
    fn absent_and_null_parts_are_empty() {
        for bytes in
            [&b"{}"[..], br#"{"metadata":{"labels":null,"finalizers":null,"ownerReferences":null,"name":null}}"#]
        {
            assert_eq!(Head::parse(bytes).unwrap(), Head::default());
        }
        for bad in [&b"[]"[..], b"", br#"{"metadata":{"name":3}}"#, br#"{"metadata":{"labels":{"a":1}}}"#] {
            assert!(Head::parse(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Head::parse(&bytes);
            let _ = field_values(&bytes, &["spec.nodeName"]);
        }
    }
}
