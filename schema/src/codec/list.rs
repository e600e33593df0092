//! A protobuf list made from the stored JSON of its items, one item at a time.

use super::CodecError;
use super::envelope::head;
use super::from_json::{encode_into, json_to_protobuf};
use super::wire::Writer;
use crate::types::{Type, type_named};

/// Collects the items of a list. Every list kind has its metadata in field 1 and its items in field 2.
pub struct ListWriter {
    item: &'static Type,
    items: Vec<u8>,
}

impl ListWriter {
    pub fn new(item: &'static Type) -> Self {
        Self { item, items: Vec::new() }
    }

    /// Adds an item. On an error the list is as before.
    ///
    /// # Errors
    /// As [`json_to_protobuf`].
    pub fn push(&mut self, json: &[u8]) -> Result<(), CodecError> {
        let mut item = Writer::with_capacity(json.len() + 8);
        encode_into(&mut item, self.item, json)?;
        item.enclose(2, 0);
        self.items.extend_from_slice(&item.into_bytes());
        Ok(())
    }

    /// The list in its envelope, in the order to send: what stands before the items, the items, what stands after.
    /// `metadata` is the JSON of a `ListMeta`.
    ///
    /// # Errors
    /// As [`json_to_protobuf`], for the metadata.
    pub fn finish(self, api_version: &str, kind: &str, metadata: &[u8]) -> Result<[Vec<u8>; 3], CodecError> {
        let list_meta = type_named("meta.v1.ListMeta").ok_or(CodecError::NotInProtobuf("ListMeta".into()))?;
        let metadata = json_to_protobuf(list_meta, metadata)?;
        let mut front = Writer::with_capacity(metadata.len() + api_version.len() + kind.len() + 32);
        front.bytes_field(1, &metadata);
        front.varint((front.len() + self.items.len()) as u64);
        front.tag(2, 2);
        head(&mut front, api_version, kind);
        Ok([front.into_bytes(), self.items, vec![0x1a, 0, 0x22, 0]])
    }
}
