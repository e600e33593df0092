//! `scale` of whatever has replicas: autoscaling/v1 Scale as a view of `spec.replicas`
//! (k8s.io/kubernetes `pkg/registry/apps/deployment/storage/storage.go`).

use crate::api::verb::create::options;
use crate::api::verb::patch::refused;
use crate::api::{Api, Call, decode, encode, table};
use crate::registry::builtin;
use crate::registry::store::{Change, tree};
use crate::request::body::Body;
use crate::request::negotiate::{self, Accepted, Form, Offer};
use crate::request::options::WriteKind;
use apimachinery::field::{FieldError, Path};
use apimachinery::selector::LabelSelector;
use apimachinery::{GroupVersionKind, Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::RESOURCE)?;
    if call.info.verb == "get" {
        crate::api::verb::get::reach(api, call, call.query.get("resourceVersion").unwrap_or_default()).await?;
        let entry = api.cache.entry(&call.target.key());
        let entry =
            entry.ok_or_else(|| Status::not_found(&call.target.resource.group_resource(), &call.target.name))?;
        return answer(api, call, &accepted, &tree(&entry.object)?);
    }
    let media = negotiate::content_type(&call.headers);
    let patch = call.info.verb == "patch";
    let write = match (patch, media.as_str()) {
        (false, _) => WriteKind::Update,
        (true, "application/apply-patch+yaml") => WriteKind::Apply,
        (true, _) => WriteKind::Patch,
    };
    let options = options(call, write)?;
    let wanted = if patch {
        Wanted::Patch(media, body)
    } else {
        let model = builtin::model(&kind());
        let expected = decode::Expected { kind: &kind(), model: &*model, protobuf: true };
        let scale = decode::object(&call.cx, &call.headers, &body, &expected, options.field_validation)?;
        Wanted::Scale(scale)
    };
    // The scale changes desired state, so it goes through the main endpoint's rules.
    let target = crate::registry::resource::Target { subresource: String::new(), ..call.target.clone() };
    let change = Scaling { call, wanted };
    let outcome = api.store.update(&call.cx, &target, &change, &options).await?;
    let object = serde_json::from_slice(&outcome.body).ok().and_then(Object::from_value);
    answer(api, call, &accepted, &object.ok_or_else(|| Status::internal("the scaled object is not JSON"))?)
}

fn answer(api: &Api, call: &Call, accepted: &Accepted, object: &Object) -> Result<Response<Body>, Status> {
    let json = scale_of(object).to_bytes();
    let meta = |version: &str, kind: &str| GroupVersionKind::new("meta.k8s.io", version, kind);
    let (kind, json) = match &accepted.form {
        Form::Object | Form::Discovery(_) => (kind(), json),
        Form::PartialMetadata(version) => {
            let mut out = Vec::new();
            encode::partial(&mut out, None, version, &json)?;
            (meta(version, "PartialObjectMetadata"), out)
        }
        Form::Table(version) => {
            let include = table::Include::parse(call.query.get("includeObject"))?;
            let (model, json) = (builtin::model(&kind()), Bytes::from(json));
            let mut table = table::Table::of(&*model, version, include, api.store.clock.now());
            table.add(&json)?;
            (meta(version, "Table"), table.finish(&table::revision(&json), "", None))
        }
        Form::PartialMetadataList(_) => {
            let why =
                "you requested PartialObjectMetadataList, but the requested object is not a list (*autoscaling.Scale)";
            return Err(encode::unsuitable(why.to_owned()));
        }
    };
    encode::respond(&http::HeaderMap::new(), StatusCode::OK, accepted, &kind, json.into())
}

/// The scale that an object shows.
fn scale_of(object: &Object) -> Object {
    let number = |path: &[&str], absent: i64| object.at(path).and_then(Value::as_i64).unwrap_or(absent);
    let selector = match object.at(&["spec", "selector"]) {
        // A replication controller selects by a plain map.
        Some(Value::Object(map)) if !map.contains_key("matchLabels") && !map.contains_key("matchExpressions") => {
            let pairs = map.iter().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)));
            LabelSelector::from_labels(pairs).to_string()
        }
        other => LabelSelector::from_object(other).map(|s| s.to_string()).unwrap_or_default(),
    };
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.metadata().and_then(|m| m.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let value = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata,
        "spec": {"replicas": number(&["spec", "replicas"], 0)},
        "status": {"replicas": number(&["status", "replicas"], 0), "selector": selector},
    });
    Object::from_value(value).unwrap_or_default()
}

/// The scale with those who own the replicas, which patches see.
fn with_managers(object: &Object) -> Object {
    let mut scale = scale_of(object);
    let entries = object.at(&["metadata", "managedFields"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let owned = entries.into_iter().filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null());
    let shown: Vec<Value> = owned
        .map(|mut entry| {
            entry["apiVersion"] = "autoscaling/v1".into();
            entry["fieldsV1"] = json!({"f:spec": {"f:replicas": {}}});
            entry
        })
        .collect();
    if !shown.is_empty() {
        scale.metadata_mut().insert("managedFields".to_owned(), shown.into());
    }
    scale
}

enum Wanted {
    Scale(Object),
    /// Media type and body; applied to the scale of the live object.
    Patch(String, Bytes),
}

struct Scaling<'a> {
    call: &'a Call,
    wanted: Wanted,
}

impl Change for Scaling<'_> {
    fn through(&self) -> Option<&'static str> {
        Some("scale")
    }

    fn apply(&self, live: Option<&Object>) -> Result<Object, Status> {
        let resource = self.call.target.resource.group_resource();
        let live = live.ok_or_else(|| Status::not_found(&resource, &self.call.target.name))?;
        let scale = match &self.wanted {
            Wanted::Scale(scale) => scale.clone(),
            Wanted::Patch(media, body) => patched(&with_managers(live), media, body)?,
        };
        let given = scale.name();
        if !given.is_empty() && given != self.call.target.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({})",
                self.call.target.name
            )));
        }
        if !scale.uid().is_empty() && scale.uid() != live.uid() {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                scale.uid(),
                live.uid()
            );
            return Err(Status::conflict(&resource, &self.call.target.name, why));
        }
        let replicas = scale.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
        if replicas < 0 {
            let path = Path::new("spec").child("replicas");
            let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
            return Err(Status::invalid(&kind(), &self.call.target.name, &[error]));
        }
        let mut new = live.clone();
        new.set_at(&["spec", "replicas"], replicas.into());
        new.set_meta_str("resourceVersion", scale.resource_version());
        Ok(new)
    }
}

fn patched(scale: &Object, media: &str, body: &Bytes) -> Result<Object, Status> {
    let mut tree = scale.clone().into_value();
    let mut merged = Value::Null;
    match media {
        "application/json-patch+json" => {
            let patch: Value =
                serde_json::from_slice(body).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
            schema::patch::json::apply(&mut tree, &patch).map_err(refused)?;
        }
        "application/apply-patch+yaml" => {
            let (patch, _) = decode::tree(negotiate::Encoding::Yaml, body)?;
            schema::patch::merge::apply(&mut tree, patch).map_err(refused)?;
        }
        // A scale has no lists, so a strategic merge is a merge.
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let (patch, _) = decode::tree(negotiate::Encoding::Json, body)?;
            merged.clone_from(&patch);
            schema::patch::merge::apply(&mut tree, patch).map_err(refused)?;
        }
        _ => {
            return Err(Status::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                "application/apply-patch+yaml",
            ]));
        }
    }
    let scale = Object::from_value(tree).ok_or_else(|| Status::bad_request("the patched scale is no object"))?;
    let mut known = scale.clone();
    builtin::model(&kind()).normalize(&mut known).map_err(|why| {
        let shown = builtin::model(&kind()).merged_text(&Value::Object(scale.as_map().clone()), &merged);
        let error = FieldError::invalid(&Path::new("patch"), shown, why);
        Status::invalid(&GroupVersionKind::new("", "", ""), "", &[error])
    })?;
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_replicas_and_the_selector_as_text() {
        for (selector, expected) in [
            (json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2"),
            (json!({"app": "x"}), "app=x"),
            (json!({"matchExpressions": [{"key": "k", "operator": "In", "values": ["v", "u"]}]}), "k in (u,v)"),
        ] {
            let object = json!({"metadata": {"name": "d", "namespace": "n", "resourceVersion": "4"},
                "spec": {"replicas": 3, "selector": selector}, "status": {"replicas": 2}});
            let scale = scale_of(&Object::from_value(object).unwrap());
            assert_eq!(scale.at(&["status", "selector"]), Some(&json!(expected)));
            assert_eq!(scale.at(&["spec", "replicas"]), Some(&json!(3)));
            assert_eq!(scale.resource_version(), "4");
        }
    }
}
