//! DELETE of a collection.

use super::super::selection::Selection;
use super::super::table::Include;
use super::super::{Api, Call, encode};
use super::list;
use crate::request::body::Body;
use crate::request::negotiate::{self, Offer};
use crate::request::options::ListOptions;
use apimachinery::Status;
use bytes::Bytes;
use http::{Response, StatusCode};

/// Deletes what the selectors find, in the order of the list. Not atomic: it stops at a refusal.
pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::TRANSIENT)?;
    let list_options = ListOptions::parse(&call.query, false)?;
    let options = super::delete::options(call, &body)?;
    let selection = Selection::parse(resource, &list_options.label_selector, &list_options.field_selector)?;
    let page = list::page(api, call, &list_options, &selection).await?;
    api.store.delete_all(&call.cx, &call.target, &page.items, &options).await?;
    let bytes = page.write(api, resource, &accepted, Include::Metadata)?;
    Ok(encode::finished(&http::HeaderMap::new(), StatusCode::OK, &accepted, bytes))
}
