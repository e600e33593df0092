//! DELETE of one object (k8s.io/apiserver `pkg/endpoints/handlers/delete.go`).

use super::super::{Api, Call, decode, encode};
use super::create::respond;
use crate::request::body::Body;
use crate::request::negotiate::{self, Offer};
use crate::request::options::DeleteOptions;
use apimachinery::status::Details;
use apimachinery::{GroupVersion, GroupVersionKind, Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::RESOURCE)?;
    let options = options(call, &body)?;
    let deleted = api.store.delete(&call.cx, &call.target, &options).await?;
    // Upstream answers 202 only to clients that explicitly asked not to orphan and still have to wait.
    let code =
        if !deleted.gone && options.orphan_dependents == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
    if !deleted.gone || resource.deletes_to_object {
        return respond(api, call, code, &accepted, &deleted.body);
    }
    let uid = serde_json::from_slice(&deleted.body).ok().and_then(Object::from_value).map(|o| o.uid().to_owned());
    let details = Details {
        name: call.target.name.clone(),
        group: resource.gvr.group.clone(),
        kind: resource.gvr.resource.clone(),
        uid: uid.unwrap_or_default(),
        ..Details::default()
    };
    // Upstream leaves the code out here, and only here.
    let status = Status { code: 0, ..Status::success(details) };
    let kind = GroupVersionKind::new("", "v1", "Status");
    encode::respond(&http::HeaderMap::new(), code, &accepted, &kind, crate::api::error::json(&status).into())
}

/// Delete options out of the body, or out of the query when there is none.
pub fn options(call: &Call, body: &Bytes) -> Result<DeleteOptions, Status> {
    if body.is_empty() {
        return DeleteOptions::from_query(&call.query);
    }
    let encoding = negotiate::request(&call.headers, true)?;
    let (tree, _) = decode::tree(encoding, body)?;
    let text = |field: &str| tree.get(field).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let known = version.is_empty() || version == "meta.k8s.io/v1" || GroupVersion::parse(version).is_some();
    if (!kind.is_empty() && kind != "DeleteOptions") || !known {
        return Err(Status::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"pkg/runtime/scheme.go:111\""
        )));
    }
    if let Some(row) = schema::type_named("meta.v1.DeleteOptions") {
        schema::normalize(row, &tree).map_err(|error| Status::bad_request(error.to_string()))?;
    }
    DeleteOptions::from_value(&tree)
}
