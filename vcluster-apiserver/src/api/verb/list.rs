//! GET of a collection: which revision, which page, and the list as a concatenation of stored bytes.

use super::super::selection::Selection;
use super::super::table::{Include, Table};
use super::super::{Api, Call, encode as form};
use super::get::{parse_version, reach};
use crate::registry::resource::Resource;
use crate::registry::store::storage_status;
use crate::request::body::Body;
use crate::request::negotiate::{self, Accepted, Form, Offer};
use crate::request::options::ListOptions;
use apimachinery::continue_token::{decode, encode};
use apimachinery::{GroupVersionKind, Status};
use http::{Response, StatusCode};
use std::sync::Arc;
use storage::cache::EntryPage;
use storage::{Entry, Range, Revision};

pub async fn serve(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let options = ListOptions::parse(&call.query, false)?;
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::RESOURCE)?;
    let include = Include::parse(call.query.get("includeObject"))?;
    if matches!(accepted.form, Form::PartialMetadata(_)) {
        return Err(form::unsuitable(format!(
            "you requested PartialObjectMetadata, but the requested object is a list ({})",
            form::go_type(resource, &resource.list_kind)
        )));
    }
    let selection = Selection::parse(resource, &options.label_selector, &options.field_selector)?;
    let page = page(api, call, &options, &selection).await?;
    let json = write(api, resource, &accepted, include, &page)?;
    let kind = list_kind(resource, &accepted.form);
    form::respond(&call.headers, StatusCode::OK, &accepted, &kind, json.into())
}

/// A page of a list, and what its metadata says.
pub struct Listed {
    pub items: Vec<Arc<Entry>>,
    pub revision: Revision,
    pub continue_: String,
    /// Known only without selectors.
    pub remaining: Option<usize>,
}

/// Finds the page that the options ask for: see section 7 of upstream's API concepts, "resource versions".
pub async fn page(api: &Api, call: &Call, options: &ListOptions, selection: &Selection) -> Result<Listed, Status> {
    let status = |e: storage::Error| storage_status(&e, &call.target);
    let mut range = Range {
        resource: call.target.resource.stored.resource.clone(),
        namespace: call.namespace().or_else(|| selection.namespace()),
        limit: options.limit,
        ..Range::default()
    };
    if options.continue_.is_empty() {
        let version = options.resource_version.as_str();
        // What any version will do for comes from the cache, which knows no pages.
        if version == "0" {
            range.limit = 0;
        }
        let exact = options.resource_version_match == "Exact"
            || (options.resource_version_match.is_empty() && options.limit > 0 && !matches!(version, "" | "0"));
        reach(api, call, version).await.map_err(|status| match parse_version(version) {
            Ok(_) => status,
            Err(wrong) => Status::bad_request(format!("invalid resource version: {}", wrong.message)),
        })?;
        range.at = if exact { parse_version(version)? } else { None };
    } else {
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let token =
            decode(&options.continue_, "/").map_err(|e| Status::bad_request(format!("invalid continue token: {e}")))?;
        range.after = Some(split(&token.key));
        match u64::try_from(token.revision) {
            Ok(revision) => range.at = Some(Revision(revision)),
            // In the present, at a revision that the next page then stays with.
            Err(_) => {
                reach(api, call, "").await?;
            }
        }
    }
    let found = match api.cache.list_entries(&range, |entry| selection.matches(entry)).await {
        Err(storage::Error::Compacted { .. }) if !options.continue_.is_empty() => {
            return Err(expired_page(&range));
        }
        other => other.map_err(status)?,
    };
    Ok(listed(found, &range, selection))
}

/// The token of the page behind an object.
fn token(namespace: &str, name: &str, revision: i64) -> String {
    let key = if namespace.is_empty() { format!("/{name}\0") } else { format!("/{namespace}/{name}\0") };
    encode(&key, "/", revision).unwrap_or_default()
}

/// The namespace and name in a token's key.
fn split(key: &str) -> (Arc<str>, Arc<str>) {
    let key = key.trim_start_matches('/').trim_end_matches('\0');
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    (namespace.into(), name.into())
}

fn listed(found: EntryPage, range: &Range, selection: &Selection) -> Listed {
    let continue_ = match found.items.last() {
        Some(last) if range.limit > 0 && found.more => {
            token(&last.key.namespace, &last.key.name, found.revision.0 as i64)
        }
        _ => String::new(),
    };
    let remaining = (!continue_.is_empty() && selection.is_everything()).then_some(found.remaining);
    Listed { items: found.items, revision: found.revision, continue_, remaining }
}

/// 410 with a token that goes on in the present.
fn expired_page(range: &Range) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    if let Some(after) = &range.after {
        status.metadata.continue_ = token(&after.0, &after.1, -1);
    }
    status
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

/// The JSON of a page in the form that was asked for.
pub fn write(
    api: &Api,
    resource: &Resource,
    accepted: &Accepted,
    include: Include,
    page: &Listed,
) -> Result<Vec<u8>, Status> {
    if let Form::Table(version) = &accepted.form {
        let mut table = Table::new(resource, version, include, api.store.clock.now());
        for item in &page.items {
            table.add(&item.body)?;
        }
        return Ok(table.finish(&page.revision.to_string(), &page.continue_, page.remaining));
    }
    let kind = list_kind(resource, &accepted.form);
    let size: usize = page.items.iter().map(|item| item.body.len()).sum();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(
        format!(
            "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{}\"",
            kind.kind,
            kind.api_version(),
            page.revision
        )
        .as_bytes(),
    );
    if !page.continue_.is_empty() {
        out.extend_from_slice(format!(",\"continue\":\"{}\"", page.continue_).as_bytes());
    }
    if let Some(remaining) = page.remaining {
        out.extend_from_slice(format!(",\"remainingItemCount\":{remaining}").as_bytes());
    }
    if matches!(accepted.form, Form::PartialMetadataList(_)) && page.items.is_empty() {
        out.extend_from_slice(b"},\"items\":null}");
        return Ok(out);
    }
    out.extend_from_slice(b"},\"items\":[");
    let prefix = resource.type_prefix();
    for (index, item) in page.items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match &accepted.form {
            Form::PartialMetadataList(version) => {
                form::partial(&mut out, resource.strategy.field_annotation(), version, &item.body)?;
            }
            _ => write_item(&mut out, resource, prefix.as_bytes(), item)?,
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// One item of a typed list, which does not repeat kind and version; items of custom resource lists do.
fn write_item(out: &mut Vec<u8>, resource: &Resource, prefix: &[u8], item: &Entry) -> Result<(), Status> {
    if resource.model.items_are_typed() {
        out.extend_from_slice(&form::served(resource, &item.body)?);
        return Ok(());
    }
    if resource.stored.conversion.is_none()
        && let Some(rest) = item.body.strip_prefix(prefix)
    {
        out.push(b'{');
        out.extend_from_slice(rest);
        return Ok(());
    }
    let body = form::served(resource, &item.body)?;
    let mut map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&body).map_err(|e| Status::internal(e.to_string()))?;
    map.remove("kind");
    map.remove("apiVersion");
    serde_json::to_writer(&mut *out, &map).map_err(|e| Status::internal(e.to_string()))
}
