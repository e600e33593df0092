//! PATCH: JSON patch, merge patch, strategic merge patch and apply
//! (k8s.io/apiserver `pkg/endpoints/handlers/patch.go`). Every kind is one closure over the live object.

use super::super::decode::{self, report};
use super::super::{Api, Call};
use super::create::{options, respond};
use crate::registry::model::{ApplyError, Tracking};
use crate::registry::resource::Resource;
use crate::registry::store::{Change, timestamp};
use crate::request::RequestCx;
use crate::request::body::Body;
use crate::request::negotiate::{self, Encoding, Offer};
use crate::request::options::{FieldValidation, WriteKind, WriteOptions};
use apimachinery::{Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

/// Upstream's limit of operations in one JSON patch.
const OPERATIONS: usize = 10_000;

enum Patch {
    Json(json_patch::Patch),
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

fn parse(resource: &Resource, media: &str, body: &[u8]) -> Result<(Patch, Vec<String>), Status> {
    let custom = resource.model.items_are_typed();
    match media {
        "application/json-patch+json" => {
            let operations: json_patch::Patch =
                serde_json::from_slice(body).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
            if operations.0.len() > OPERATIONS {
                let why = format!(
                    "The allowed maximum operations in a JSON patch is {OPERATIONS}, got {}",
                    operations.0.len()
                );
                return Err(Status::too_large(why));
            }
            Ok((Patch::Json(operations), Vec::new()))
        }
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let strategic = media.starts_with("application/strategic");
            if strategic && custom {
                return Err(unsupported(custom));
            }
            let parsed = decode::parse(Encoding::Json, body)?;
            if !parsed.value.is_object() {
                return Err(Status::bad_request("error decoding patch: the patch is no object"));
            }
            let patch = if strategic { Patch::Strategic(parsed.value) } else { Patch::Merge(parsed.value) };
            Ok((patch, parsed.duplicates))
        }
        "application/apply-patch+yaml" => {
            let parsed = decode::parse(Encoding::Yaml, body)?;
            let object = Object::from_value(parsed.value)
                .ok_or_else(|| Status::bad_request("error decoding YAML: the document is no object"))?;
            let managed = object.at(&["metadata", "managedFields"]).and_then(Value::as_array);
            if managed.is_some_and(|list| !list.is_empty()) {
                return Err(Status::bad_request("metadata.managedFields must be nil"));
            }
            Ok((Patch::Apply(object), parsed.duplicates))
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
                json_patch::patch(&mut tree, operations).map_err(|e| unprocessable(&e.to_string()))?;
                object_of(tree)?
            }
            Patch::Merge(patch) => {
                let mut tree = live.cloned().unwrap_or_default().into_value();
                json_patch::merge(&mut tree, patch);
                object_of(tree)?
            }
            Patch::Strategic(patch) => {
                let live = live.cloned().unwrap_or_default();
                let merged = self.resource.model.strategic_merge(&live, patch);
                merged.ok_or_else(|| unsupported(true))?.map_err(|e| unprocessable(&e))?
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
        let unknown = self.resource.model.normalize(&mut known).map_err(|e| {
            let kind = &self.resource.kind;
            Status::bad_request(format!("failed to create typed patch object ({}; {kind}): {e}", self.name(&applied)))
        })?;
        // Apply is strict by nature; its fields are refused below, by the schema, unless they are to be ignored.
        if self.options.field_validation == FieldValidation::Strict {
            report(self.cx, FieldValidation::Strict, unknown)?;
        }
        let force = self.options.force;
        let result = self.resource.model.apply(live, &applied, &self.tracking, force);
        match result.ok_or_else(|| unsupported(false))? {
            Ok(object) => self.finish(object),
            Err(ApplyError::Conflicts(conflicts)) => Err(conflict(&conflicts)),
            Err(ApplyError::Invalid(why)) => Err(Status::failure(500, "InternalError", why)),
        }
    }

    fn name(&self, applied: &Object) -> String {
        format!("{}/{}", applied.namespace(), applied.name())
    }
}

/// 409 with one cause per field that another manager owns.
fn conflict(conflicts: &[(String, String)]) -> Status {
    let one = |(manager, path): &(String, String)| format!("conflict with {manager}: {path}");
    let noun = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
    let text = match conflicts {
        [single] => one(single),
        many => {
            let mut managers: Vec<&str> = many.iter().map(|(m, _)| m.as_str()).collect();
            managers.dedup();
            let groups = managers.into_iter().map(|manager| {
                let paths = many.iter().filter(|(m, _)| m == manager).map(|(_, p)| format!("- {p}"));
                format!("conflicts with {manager}:\n{}", paths.collect::<Vec<_>>().join("\n"))
            });
            groups.collect::<Vec<_>>().join("\n")
        }
    };
    let message = format!("Apply failed with {} {noun}: {text}", conflicts.len());
    let mut status = Status::failure(409, "Conflict", message);
    for (manager, path) in conflicts {
        status = status.with_cause("FieldManagerConflict", format!("conflict with {manager}"), path);
    }
    status
}

fn object_of(tree: Value) -> Result<Object, Status> {
    Object::from_value(tree).ok_or_else(|| unprocessable("the patched object is no object"))
}

fn unprocessable(why: &str) -> Status {
    Status::failure(422, "Invalid", format!("the server rejected our request due to an error in our request: {why}"))
}
