//! A page of a list as bytes: in JSON a concatenation of what is stored, in protobuf one item after the other.

use super::sent::{Key, List, Sent};
use super::table::{Include, Table};
use super::{Api, encode};
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
    /// Whether it has everything, and of which namespace: none for all of them.
    pub whole: Option<Option<Arc<str>>>,
}

impl Listed {
    /// The page in the form and encoding that were asked for.
    ///
    /// # Errors
    /// 406 when the form has no such encoding, 500 when a stored object cannot be read.
    pub fn write(
        &self,
        api: &Api,
        resource: &Resource,
        accepted: &Accepted,
        include: Include,
    ) -> Result<Bytes, Status> {
        let kind = list_kind(resource, &accepted.form);
        if let Form::Table(version) = &accepted.form {
            let mut table = Table::new(resource, version, include, api.store.clock.now());
            for item in &self.items {
                table.add(&item.body)?;
            }
            let json = table.finish(&self.revision.to_string(), &self.continue_, self.remaining);
            return encode::write(accepted, &kind, json.into());
        }
        if accepted.encoding == Encoding::Protobuf {
            return self.protobuf(&api.sent, resource, &accepted.form, &kind);
        }
        encode::write(accepted, &kind, self.json(resource, &accepted.form, &kind)?.into())
    }

    fn metadata(&self) -> String {
        let continue_ = (!self.continue_.is_empty()).then(|| format!(",\"continue\":\"{}\"", self.continue_));
        let remaining = self.remaining.map(|remaining| format!(",\"remainingItemCount\":{remaining}"));
        let (continue_, remaining) = (continue_.unwrap_or_default(), remaining.unwrap_or_default());
        format!("{{\"resourceVersion\":\"{}\"{continue_}{remaining}}}", self.revision)
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

    fn protobuf(
        &self,
        sent: &Sent,
        resource: &Resource,
        form: &Form,
        kind: &GroupVersionKind,
    ) -> Result<Bytes, Status> {
        let internal = |e: schema::codec::CodecError| Status::internal(e.to_string());
        let items = match form {
            Form::PartialMetadataList(version) => {
                GroupVersionKind::new("meta.k8s.io", version.as_str(), "PartialObjectMetadata")
            }
            _ => resource.kind.clone(),
        };
        let size: usize = self.items.iter().map(|item| item.body.len()).sum();
        let mut list = ListWriter::new(super::codec::type_of(&items)?, size);
        let key = self.whole.clone();
        let key = key.map(|namespace| Key { resource: resource.stored.resource.clone(), items, namespace });
        let last = key.as_ref().map(|key| sent.get(key)).unwrap_or_default();
        let mut unchanged = last.backwards();
        let (after, mut written) = (list.len(), Vec::with_capacity(self.items.len()));
        let mut partial = Vec::new();
        for item in self.items.iter().rev() {
            let mark = list.len();
            if let Some(bytes) = unchanged.find(item) {
                list.copy_front(bytes);
            } else if let Form::PartialMetadataList(version) = form {
                partial.clear();
                encode::partial(&mut partial, resource.strategy.field_annotation(), version, &item.body)?;
                list.push_front(&partial).map_err(internal)?;
            } else {
                list.push_front(&encode::served(resource, &item.body)?).map_err(internal)?;
            }
            written.push((item.clone(), list.len() - mark));
        }
        let bytes = list.finish(&kind.api_version(), &kind.kind, self.metadata().as_bytes()).map_err(internal)?;
        if let Some(key) = key {
            sent.put(key, List::new(bytes.clone(), after, written));
        }
        Ok(bytes)
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
