//! GET of a collection: which revision, and which page.

use super::super::page::Listed;
use super::super::selection::Selection;
use super::super::table::Include;
use super::super::{Api, Call, encode as form};
use super::get::{parse_version, reach};
use crate::registry::store::storage_status;
use crate::request::body::Body;
use crate::request::negotiate::{self, Form, Offer};
use crate::request::options::ListOptions;
use apimachinery::Status;
use apimachinery::continue_token::{decode, encode};
use http::{Response, StatusCode};
use std::sync::Arc;
use storage::cache::EntryPage;
use storage::{Range, Revision};

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
    let bytes = page.write(api, resource, &accepted, include)?;
    Ok(form::finished(&call.headers, StatusCode::OK, &accepted, bytes))
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
        let token =
            decode(&options.continue_, "/").map_err(|e| Status::bad_request(format!("invalid continue token: {e}")))?;
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
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
    let all = selection.is_everything() && range.limit == 0 && range.after.is_none();
    let whole = all.then(|| range.namespace.clone());
    Listed { items: found.items, revision: found.revision, continue_, remaining, whole }
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
