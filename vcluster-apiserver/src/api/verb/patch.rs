//! PATCH: JSON patch, merge patch, strategic merge patch and apply
//! (k8s.io/apiserver `pkg/endpoints/handlers/patch.go`). Every kind is one closure over the live object.

use super::super::decode::{self, report};
use super::super::error::{unroutable, untyped};
use super::super::{Api, Call};
use super::create::{options, respond};
use crate::registry::model::Tracking;
use crate::registry::resource::Resource;
use crate::registry::store::Change;
use crate::request::RequestCx;
use crate::request::body::Body;
use crate::request::negotiate::{self, Encoding, Offer};
use crate::request::options::{FieldValidation, WriteKind, WriteOptions};
use apimachinery::field::{FieldError, Path};
use apimachinery::{GroupVersionKind, Object, Status};
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
    let (patch, duplicates) = parse(resource, &media, &body).map_err(|status| {
        // Upstream looks for the object between reading a patch and looking whether it is one.
        let late = kind == WriteKind::Patch && status.message.starts_with("error decoding patch");
        let missing = late && api.cache.entry(&call.target.key()).is_none();
        if missing { Status::not_found(&resource.group_resource(), &call.target.name) } else { status }
    })?;
    if matches!(patch, Patch::Apply(_)) && options.field_validation == FieldValidation::Strict && !duplicates.is_empty()
    {
        let found = duplicates.join(", ");
        return Err(Status::bad_request(format!(
            "error strict decoding patch: error converting YAML to JSON: {found}"
        )));
    }
    report(&call.cx, options.field_validation, duplicates)?;
    let patched = Patched {
        cx: &call.cx,
        name: &call.target.name,
        resource,
        patch,
        options: &options,
        tracking: api.store.tracking(&call.target, &options),
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
                serde_json::from_slice(body).map_err(|_| Status::bad_request("invalid JSON patch"))?;
            must_be(&operations, Value::is_array, "[]handlers.jsonPatchOp")?;
            Ok((Patch::Json(operations), Vec::new()))
        }
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let strategic = media.starts_with("application/strategic");
            if strategic && custom {
                return Err(unsupported(custom));
            }
            let known: Result<Value, _> = serde_json::from_slice(body);
            match &known {
                Ok(patch) if strategic => must_be_plain(patch)?,
                Ok(patch) => must_be(patch, Value::is_object, "map[string]interface {}")?,
                Err(_) if !strategic => return Err(Status::bad_request("invalid JSON patch")),
                Err(_) => {}
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

/// 400 for a patch that is no list or no object, in the words of Go's decoder.
fn must_be(patch: &Value, fits: fn(&Value) -> bool, go_type: &str) -> Result<(), Status> {
    must_be_in(patch, fits, go_type, "error decoding patch: ")
}

fn must_be_plain(patch: &Value) -> Result<(), Status> {
    must_be_in(patch, Value::is_object, "map[string]interface {}", "")
}

fn must_be_in(patch: &Value, fits: fn(&Value) -> bool, go_type: &str, before: &str) -> Result<(), Status> {
    if fits(patch) || patch.is_null() {
        return Ok(());
    }
    let found = match patch {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    Err(Status::bad_request(format!("{before}json: cannot unmarshal {found} into Go value of type {go_type}")))
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
    name: &'a str,
    resource: &'a Resource,
    patch: Patch,
    options: &'a WriteOptions,
    tracking: Tracking,
}

impl Change for Patched<'_> {
    fn apply(&self, live: Option<&Object>) -> Result<Object, Status> {
        // Only an apply makes what is missing, whatever PUT may do for the kind.
        if live.is_none() && !self.may_create() {
            return Err(Status::not_found(&self.resource.group_resource(), self.name));
        }
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
        let tree = Value::Object(object.as_map().clone());
        let shown = match &self.patch {
            Patch::Strategic(patch) => schema::patch::go_text(patch),
            Patch::Merge(patch) => model.merged_text(&tree, patch),
            _ => tree.to_string(),
        };
        // Upstream shows what it could not read: the patch itself, or the patched object.
        let invalid = |why: String| {
            let error = FieldError::invalid(&Path::new("patch"), shown.clone(), why);
            Status::invalid(&GroupVersionKind::new("", "", ""), "", &[error])
        };
        let said = |why: String| match &self.patch {
            Patch::Strategic(_) => invalid(restored(&why)),
            _ => invalid(why),
        };
        let unknown = model.normalize(&mut object).map_err(said)?;
        if self.options.field_validation == FieldValidation::Strict && !unknown.is_empty() {
            return Err(match &self.patch {
                Patch::Apply(_) => Status::bad_request(format!("strict decoding error: {}", unknown.join(", "))),
                _ => invalid(format!("strict decoding error: {}", unknown.join(", "))),
            });
        }
        report(self.cx, self.options.field_validation, unknown)?;
        model.default(&mut object);
        Ok(object)
    }

    fn applied(&self, live: Option<&Object>, applied: &Object) -> Result<Object, Status> {
        let mut applied = applied.clone();
        let text = |field: &str| applied.as_map().get(field).and_then(Value::as_str).unwrap_or_default();
        if (text("apiVersion"), text("kind")) != (&*self.resource.kind.api_version(), &*self.resource.kind.kind) {
            let (version, kind) = (text("apiVersion"), text("kind"));
            let version = if version.contains('/') { version.to_owned() } else { format!("/{version}") };
            return Err(Status::bad_request(format!("invalid object type: {version}, Kind={kind}")));
        }
        applied.set_gvk(&self.resource.kind);
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
        ApplyError::Invalid(_) => untyped(text),
    }
}

/// A strategic merge is not decoded from JSON but restored from a tree, which has other words for a value of the wrong type.
fn restored(why: &str) -> String {
    let parts = why.strip_prefix("json: cannot unmarshal ").and_then(|rest| rest.split_once(" into Go "));
    let Some((found, goal)) = parts.and_then(|(found, rest)| Some((found, rest.rsplit_once(" of type ")?.1))) else {
        return why.to_owned();
    };
    let found = match found {
        "array" => "slice",
        "object" => "map",
        "number" => "int64",
        other => other.split(' ').next().unwrap_or(other),
    };
    if goal.starts_with("map[") {
        return format!("cannot restore map from {found}");
    }
    if goal.starts_with("[]") {
        return format!("cannot restore slice from {found}");
    }
    match goal {
        "string" | "bool" | "int32" | "int64" | "float64" => format!("cannot convert {found} to {goal}"),
        _ if goal.contains('.') && found != "map" => format!("cannot restore struct from: {found}"),
        _ => why.to_owned(),
    }
}

fn object_of(tree: Value) -> Result<Object, Status> {
    Object::from_value(tree).ok_or_else(unprocessable)
}

/// The answer to a patch that does not apply.
pub fn refused(error: PatchError) -> Status {
    match error {
        PatchError::BadRequest(why) => Status::bad_request(why),
        PatchError::TooLarge(why) => Status::too_large(why),
        PatchError::Unprocessable(_) => unprocessable(),
        PatchError::Internal(why) => untyped(why),
    }
}

/// Upstream keeps the reason to itself.
fn unprocessable() -> Status {
    unroutable(422, "Invalid", "the server rejected our request due to an error in our request")
}
