//! A page of a list as bytes: in JSON a concatenation of what is stored, in protobuf one item after the other.

use super::encode;
use super::table::{Include, Table};
use crate::registry::resource::Resource;
use crate::request::negotiate::{Accepted, Encoding, Form};
use apimachinery::{GroupVersionKind, Status};
use bytes::Bytes;
use schema::codec::ListWriter;
use std::sync::Arc;
use storage::{Entry, Revision};

/// A page of a list, and what its metadata says.
pub struct Listed {
    pub items: Vec<Arc<Entry>>,
    pub revision: Revision,
    pub continue_: String,
    /// Known only without selectors.
    pub remaining: Option<usize>,
}

impl Listed {
    /// The page in the form and encoding that were asked for.
    ///
    /// # Errors
    /// 406 when the form has no such encoding, 500 when a stored object cannot be read.
    pub fn write(
        &self,
        resource: &Resource,
        accepted: &Accepted,
        include: Include,
        now: jiff::Timestamp,
    ) -> Result<Bytes, Status> {
        let kind = list_kind(resource, &accepted.form);
        if let Form::Table(version) = &accepted.form {
            let mut table = Table::new(resource, version, include, now);
            for item in &self.items {
                table.add(&item.body)?;
            }
            let json = table.finish(&self.revision.to_string(), &self.continue_, self.remaining);
            return encode::write(accepted, &kind, json.into());
        }
        if accepted.encoding == Encoding::Protobuf {
            return self.protobuf(resource, &accepted.form, &kind);
        }
        encode::write(accepted, &kind, self.json(resource, &accepted.form, &kind)?.into())
    }

    fn metadata(&self) -> String {
        let mut metadata = format!("{{\"resourceVersion\":\"{}\"", self.revision);
        if !self.continue_.is_empty() {
            metadata += &format!(",\"continue\":\"{}\"", self.continue_);
        }
        if let Some(remaining) = self.remaining {
            metadata += &format!(",\"remainingItemCount\":{remaining}");
        }
        metadata + "}"
    }

    fn json(&self, resource: &Resource, form: &Form, kind: &GroupVersionKind) -> Result<Vec<u8>, Status> {
        let size: usize = self.items.iter().map(|item| item.body.len()).sum();
        let mut out = Vec::with_capacity(size + 256);
        let (api_version, metadata) = (kind.api_version(), self.metadata());
        let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},", kind.kind);
        out.extend_from_slice(head.as_bytes());
        if matches!(form, Form::PartialMetadataList(_)) && self.items.is_empty() {
            out.extend_from_slice(b"\"items\":null}");
            return Ok(out);
        }
        out.extend_from_slice(b"\"items\":[");
        let prefix = resource.type_prefix();
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match form {
                Form::PartialMetadataList(version) => {
                    encode::partial(&mut out, resource.strategy.field_annotation(), version, &item.body)?;
                }
                _ => write_item(&mut out, resource, prefix.as_bytes(), item)?,
            }
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    fn protobuf(&self, resource: &Resource, form: &Form, kind: &GroupVersionKind) -> Result<Bytes, Status> {
        let item_kind = match form {
            Form::PartialMetadataList(version) => {
                GroupVersionKind::new("meta.k8s.io", version.as_str(), "PartialObjectMetadata")
            }
            _ => resource.kind.clone(),
        };
        let internal = |e: schema::codec::CodecError| Status::internal(e.to_string());
        let size: usize = self.items.iter().map(|item| item.body.len()).sum();
        let mut list = ListWriter::new(super::codec::type_of(&item_kind)?, size);
        let mut partial = Vec::new();
        for item in self.items.iter().rev() {
            let pushed = if let Form::PartialMetadataList(version) = form {
                partial.clear();
                encode::partial(&mut partial, resource.strategy.field_annotation(), version, &item.body)?;
                list.push_front(&partial)
            } else {
                list.push_front(&encode::served(resource, &item.body)?)
            };
            pushed.map_err(internal)?;
        }
        list.finish(&kind.api_version(), &kind.kind, self.metadata().as_bytes()).map_err(internal)
    }
}

fn list_kind(resource: &Resource, form: &Form) -> GroupVersionKind {
    match form {
        Form::Table(v) => GroupVersionKind::new("meta.k8s.io", v.as_str(), "Table"),
        Form::PartialMetadata(v) | Form::PartialMetadataList(v) => {
            GroupVersionKind::new("meta.k8s.io", v.as_str(), "PartialObjectMetadataList")
        }
        Form::Object | Form::Discovery(_) => {
            GroupVersionKind::new(&*resource.kind.group, &*resource.kind.version, &*resource.list_kind)
        }
    }
}

/// One item of a typed list, which does not repeat kind and version; items of custom resource lists do.
fn write_item(out: &mut Vec<u8>, resource: &Resource, prefix: &[u8], item: &Entry) -> Result<(), Status> {
    if resource.model.items_are_typed() {
        out.extend_from_slice(&encode::served(resource, &item.body)?);
        return Ok(());
    }
    if resource.stored.conversion.is_none()
        && let Some(rest) = item.body.strip_prefix(prefix)
    {
        out.push(b'{');
        out.extend_from_slice(rest);
        return Ok(());
    }
    let body = encode::served(resource, &item.body)?;
    let mut map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&body).map_err(|e| Status::internal(e.to_string()))?;
    map.remove("kind");
    map.remove("apiVersion");
    serde_json::to_writer(&mut *out, &map).map_err(|e| Status::internal(e.to_string()))
}
