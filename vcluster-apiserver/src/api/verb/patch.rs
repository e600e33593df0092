//! PATCH: JSON patch, merge patch, strategic merge patch and apply
//! (k8s.io/apiserver `pkg/endpoints/handlers/patch.go`). Every kind is one closure over the live object.

use super::super::decode::{self, report};
use super::super::{Api, Call};
use super::create::{options, respond};
use crate::registry::model::Tracking;
use crate::registry::resource::Resource;
use crate::registry::store::{Change, timestamp};
use crate::request::RequestCx;
use crate::request::body::Body;
use crate::request::negotiate::{self, Encoding, Offer};
use crate::request::options::{FieldValidation, WriteKind, WriteOptions};
use apimachinery::{Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use schema::patch::apply::managed::ApplyError;
use schema::patch::{PatchError, json, merge};
use serde_json::Value;

enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply(Object),
}

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let resource = &call.target.resource;
    let media = negotiate::content_type(&call.headers);
    let kind = if media == "application/apply-patch+yaml" { WriteKind::Apply } else { WriteKind::Patch };
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::RESOURCE)?;
    let options = options(call, kind)?;
    let (patch, duplicates) = parse(resource, &media, &body)?;
    report(&call.cx, options.field_validation, duplicates)?;
    let patched = Patched {
        cx: &call.cx,
        resource,
        patch,
        options: &options,
        tracking: Tracking {
            manager: options.field_manager.clone(),
            api_version: resource.kind.api_version(),
            subresource: call.target.subresource.clone(),
            time: timestamp(api.store.clock.now()),
        },
    };
    let outcome = api.store.update(&call.cx, &call.target, &patched, &options).await?;
    let code = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    respond(api, call, code, &accepted, &outcome.body)
}

fn parse(resource: &Resource, media: &str, body: &Bytes) -> Result<(Patch, Vec<String>), Status> {
    let custom = resource.model.items_are_typed();
    match media {
        "application/json-patch+json" => {
            let operations: Value =
                serde_json::from_slice(body).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
            Ok((Patch::Json(operations), Vec::new()))
        }
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let strategic = media.starts_with("application/strategic");
            if strategic && custom {
                return Err(unsupported(custom));
            }
            let (tree, duplicates) = decode::tree(Encoding::Json, body)?;
            Ok((if strategic { Patch::Strategic(tree) } else { Patch::Merge(tree) }, duplicates))
        }
        "application/apply-patch+yaml" => {
            let (tree, duplicates) = decode::tree(Encoding::Yaml, body)?;
            let object = Object::from_value(tree)
                .ok_or_else(|| Status::bad_request("error decoding YAML: the document is no object"))?;
            let managed = object.at(&["metadata", "managedFields"]).and_then(Value::as_array);
            if managed.is_some_and(|list| !list.is_empty()) {
                return Err(Status::bad_request("metadata.managedFields must be nil"));
            }
            Ok((Patch::Apply(object), duplicates))
        }
        _ => Err(unsupported(custom)),
    }
}

fn unsupported(custom: bool) -> Status {
    let mut types = vec!["application/json-patch+json", "application/merge-patch+json"];
    if !custom {
        types.push("application/strategic-merge-patch+json");
    }
    types.push("application/apply-patch+yaml");
    Status::unsupported_media_type(&types)
}

/// A patch together with what it needs to be applied again and again.
struct Patched<'a> {
    cx: &'a RequestCx,
    resource: &'a Resource,
    patch: Patch,
    options: &'a WriteOptions,
    tracking: Tracking,
}

impl Change for Patched<'_> {
    fn apply(&self, live: Option<&Object>) -> Result<Object, Status> {
        let mut object = match &self.patch {
            Patch::Apply(applied) => return self.applied(live, applied),
            Patch::Json(operations) => {
                let mut tree = live.cloned().unwrap_or_default().into_value();
                json::apply(&mut tree, operations).map_err(refused)?;
                object_of(tree)?
            }
            Patch::Merge(patch) => {
                let mut tree = live.cloned().unwrap_or_default().into_value();
                merge::apply(&mut tree, patch.clone()).map_err(refused)?;
                object_of(tree)?
            }
            Patch::Strategic(patch) => {
                let live = live.cloned().unwrap_or_default();
                let merged = self.resource.model.strategic_merge(&live, patch);
                object_of(merged.ok_or_else(|| unsupported(true))?.map_err(refused)?)?
            }
        };
        decode::check_kind(&mut object, &self.resource.kind)?;
        self.finish(object)
    }

    fn may_create(&self) -> bool {
        matches!(self.patch, Patch::Apply(_))
    }

    fn tracks_itself(&self) -> bool {
        matches!(self.patch, Patch::Apply(_))
    }

    fn uid(&self) -> Option<&str> {
        match &self.patch {
            Patch::Apply(applied) => Some(applied.uid()).filter(|uid| !uid.is_empty()),
            _ => None,
        }
    }
}

impl Patched<'_> {
    fn finish(&self, mut object: Object) -> Result<Object, Status> {
        let model = &self.resource.model;
        let unknown = model.normalize(&mut object).map_err(|e| unprocessable(&e))?;
        report(self.cx, self.options.field_validation, unknown)?;
        model.default(&mut object);
        Ok(object)
    }

    fn applied(&self, live: Option<&Object>, applied: &Object) -> Result<Object, Status> {
        let mut applied = applied.clone();
        decode::check_kind(&mut applied, &self.resource.kind)?;
        let mut known = applied.clone();
        // Fields that the kind does not have are refused below, by name, unless strictness was asked for.
        if let Ok(unknown) = self.resource.model.normalize(&mut known)
            && self.options.field_validation == FieldValidation::Strict
        {
            report(self.cx, FieldValidation::Strict, unknown)?;
        }
        let force = self.options.force;
        let result = self.resource.model.apply(live, &applied, &self.tracking, force);
        match result.ok_or_else(|| unsupported(false))? {
            Ok(object) => self.finish(object),
            Err(error) => Err(not_applied(&error)),
        }
    }
}

/// The answer to an apply that was refused: for conflicts a cause per field that another manager owns.
fn not_applied(error: &ApplyError) -> Status {
    let text = error.to_string();
    match error {
        ApplyError::Conflicts(conflicts) => {
            let status = Status::failure(409, "Conflict", text);
            conflicts.iter().fold(status, |s, c| s.with_cause("FieldManagerConflict", c.message(), &c.field()))
        }
        ApplyError::BadRequest(_) => Status::bad_request(text),
        ApplyError::Invalid(_) => Status::failure(500, "InternalError", text),
    }
}

fn object_of(tree: Value) -> Result<Object, Status> {
    Object::from_value(tree).ok_or_else(|| unprocessable("the patched object is no object"))
}

/// The answer to a patch that does not apply.
pub fn refused(error: PatchError) -> Status {
    match error {
        PatchError::BadRequest(why) => Status::bad_request(why),
        PatchError::TooLarge(why) => Status::too_large(why),
        PatchError::Unprocessable(why) => unprocessable(&why),
        PatchError::Internal(why) => Status::internal(why),
    }
}

fn unprocessable(why: &str) -> Status {
    Status::failure(422, "Invalid", format!("the server rejected our request due to an error in our request: {why}"))
}
