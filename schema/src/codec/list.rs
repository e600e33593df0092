//! A protobuf list made from the stored JSON of its items, one item at a time.

use super::CodecError;
use super::envelope::{AFTER, head};
use super::from_json::encode_into;
use super::wire::Writer;
use crate::types::{Type, type_named};
use bytes::Bytes;

/// Collects the items of a list, the last one first, as the writer fills its buffer. Every list kind has its metadata in
/// field 1 and its items in field 2.
pub struct ListWriter {
    item: &'static Type,
    out: Writer,
}

impl ListWriter {
    /// `size`: about how many bytes the items take together.
    pub fn new(item: &'static Type, size: usize) -> Self {
        let mut out = Writer::with_capacity(size + 256);
        out.bytes(&AFTER);
        Self { item, out }
    }

    /// Adds an item before those that are there.
    ///
    /// # Errors
    /// As [`super::json_to_protobuf`]; the list is of no use any more.
    pub fn push_front(&mut self, json: &[u8]) -> Result<(), CodecError> {
        let mark = self.out.len();
        encode_into(&mut self.out, self.item, json)?;
        self.out.enclose(2, mark);
        Ok(())
    }

    /// Adds an item that another list of the same type had, from all the bytes that it took there.
    pub fn copy_front(&mut self, bytes: &[u8]) {
        self.out.bytes(bytes);
    }

    /// How many bytes there are: an item takes what this grows by.
    #[expect(clippy::len_without_is_empty, reason = "there is always something")]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// The list in its envelope. `metadata` is the JSON of a `ListMeta`.
    ///
    /// # Errors
    /// As [`super::json_to_protobuf`], for the metadata.
    pub fn finish(mut self, api_version: &str, kind: &str, metadata: &[u8]) -> Result<Bytes, CodecError> {
        let list_meta = type_named("meta.v1.ListMeta").ok_or(CodecError::NotInProtobuf("ListMeta".into()))?;
        let mark = self.out.len();
        encode_into(&mut self.out, list_meta, metadata)?;
        self.out.enclose(1, mark);
        self.out.enclose(2, AFTER.len());
        head(&mut self.out, api_version, kind);
        Ok(self.out.into_shared())
    }
}
