//! The documents themselves: paths out of the registry; schemas out of the type tables.

use crate::registry::Snapshot;
use crate::registry::resource::Resource;
use apimachinery::{GroupVersion, GroupVersionKind};
use schema::{Scalar, Shape};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// The OpenAPI 3 document of one group version.
pub fn v3(snapshot: &Snapshot, group_version: &GroupVersion) -> Value {
    let mut schemas = Schemas { prefix: "#/components/schemas/", made: Map::new(), owed: BTreeSet::new() };
    let mut paths = Map::new();
    for resource in snapshot.of(group_version) {
        add_paths(&mut paths, resource, true);
        schemas.want(&resource.kind);
        for subresource in &resource.subresources {
            schemas.want(&subresource.kind);
        }
    }
    schemas.finish();
    json!({
        "openapi": "3.0.0", "info": super::info(), "paths": paths, "components": { "schemas": schemas.made },
    })
}

/// The OpenAPI 2 document of everything.
pub fn v2(snapshot: &Snapshot) -> Value {
    let mut schemas = Schemas { prefix: "#/definitions/", made: Map::new(), owed: BTreeSet::new() };
    let mut paths = Map::new();
    for resource in snapshot.resources() {
        add_paths(&mut paths, resource, false);
        schemas.want(&resource.kind);
        for subresource in &resource.subresources {
            schemas.want(&subresource.kind);
        }
    }
    schemas.finish();
    json!({ "swagger": "2.0", "info": super::info(), "paths": paths, "definitions": schemas.made })
}

fn add_paths(paths: &mut Map<String, Value>, resource: &Resource, three: bool) {
    let gvr = &resource.gvr;
    let prefix = if gvr.group.is_empty() {
        format!("/api/{}", gvr.version)
    } else {
        format!("/apis/{}/{}", gvr.group, gvr.version)
    };
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{prefix}{scope}/{}", gvr.resource);
    let has = |verb: &str| resource.has_verb(verb);
    let mut many = Map::new();
    let mut one = Map::new();
    let put = |map: &mut Map<String, Value>, method: &str, action: &str| {
        map.insert(method.to_owned(), operation(&resource.kind, action, three));
    };
    if has("list") {
        put(&mut many, "get", "list");
    }
    if has("create") {
        put(&mut many, "post", "post");
    }
    if has("deletecollection") {
        put(&mut many, "delete", "deletecollection");
    }
    for (verb, method) in [("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")] {
        if has(verb) {
            put(&mut one, method, method);
        }
    }
    if !one.is_empty() {
        paths.insert(format!("{collection}/{{name}}"), Value::Object(one));
    }
    if !many.is_empty() {
        paths.insert(collection.clone(), Value::Object(many));
    }
    for subresource in &resource.subresources {
        let mut methods = Map::new();
        for verb in &subresource.verbs {
            let method = match verb.as_str() {
                "create" => "post",
                "update" => "put",
                "get" => "get",
                "patch" => "patch",
                "delete" => "delete",
                _ => continue,
            };
            methods.insert(method.to_owned(), operation(&subresource.kind, method, three));
        }
        paths.insert(format!("{collection}/{{name}}/{}", subresource.name), Value::Object(methods));
    }
}

/// What kubectl looks at in an operation: kind and action, and for patches the media types and `fieldValidation`.
fn operation(kind: &GroupVersionKind, action: &str, three: bool) -> Value {
    let parameter = |name: &str| {
        if three {
            json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
        } else {
            json!({"name": name, "in": "query", "type": "string", "uniqueItems": true})
        }
    };
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "responses": {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}},
    });
    let reference = schema::kind(kind).map(schema::Type::model);
    match action {
        "post" | "put" | "patch" => {
            operation["parameters"] = ["dryRun", "fieldManager", "fieldValidation"].map(parameter).to_vec().into();
            let patch = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_owned();
            let model = if action == "patch" { Some(patch) } else { reference };
            let media: Vec<&str> = if action == "patch" { PATCHES.to_vec() } else { vec!["*/*"] };
            if three {
                let body = model.map_or_else(|| json!({}), |m| json!({"$ref": format!("#/components/schemas/{m}")}));
                let content: Map<String, Value> =
                    media.iter().map(|m| ((*m).to_owned(), json!({"schema": body.clone()}))).collect();
                operation["requestBody"] = json!({ "content": content });
            } else {
                operation["consumes"] = media.into();
            }
        }
        _ => {}
    }
    operation
}

/// Schemas by name, with everything that they refer to.
struct Schemas {
    prefix: &'static str,
    made: Map<String, Value>,
    owed: BTreeSet<String>,
}

impl Schemas {
    fn want(&mut self, kind: &GroupVersionKind) {
        let Some(t) = schema::kind(kind) else { return };
        let name = t.model();
        if self.made.contains_key(&name) {
            if let Some(kinds) = self.made[&name]["x-kubernetes-group-version-kind"].as_array_mut() {
                let this = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
                if !kinds.contains(&this) {
                    kinds.push(this);
                }
            }
            return;
        }
        self.write(&format!("{}.{}", t.package(), t.name()));
        if let Some(schema) = self.made.get_mut(&name) {
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}]);
        }
    }

    fn finish(&mut self) {
        while let Some(next) = self.owed.pop_first() {
            self.write(&next);
        }
        let patch = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
        self.made.insert(patch.to_owned(), json!({"type": "object"}));
    }

    fn write(&mut self, type_name: &str) {
        let Some(t) = schema::type_named(type_name) else { return };
        if self.made.contains_key(&t.model()) {
            return;
        }
        // Reserved before its fields are written: types refer to themselves.
        self.made.insert(t.model(), Value::Null);
        let mut properties = Map::new();
        let mut required: Vec<&str> = Vec::new();
        for field in t.members() {
            if field.required() {
                required.push(field.json_name());
            }
            let property = self.field(field);
            properties.insert(field.json_name().to_owned(), property);
        }
        let mut schema = json!({ "type": "object" });
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if t.is_atomic() {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        self.made.insert(t.model(), schema);
    }

    /// A property: its shape, then what the tables say about merging and defaults.
    fn field(&mut self, field: &schema::Field) -> Value {
        let mut property = self.shape(field.shape());
        let Some(map) = property.as_object_mut() else { return property };
        if let Some(default) = field.default_json().and_then(|d| serde_json::from_str::<Value>(d).ok()) {
            map.insert("default".into(), default);
        }
        let values: Vec<&str> = field.enum_values().collect();
        if !values.is_empty() {
            map.insert("enum".into(), values.into());
        }
        if let Some(format) = field.format() {
            map.insert("format".into(), format.into());
        }
        let kind = field.list_type().map(|t| match t {
            schema::ListType::Atomic => "atomic",
            schema::ListType::Set => "set",
            schema::ListType::Map => "map",
        });
        if let Some(kind) = kind {
            map.insert("x-kubernetes-list-type".into(), kind.into());
        }
        let keys: Vec<&str> = field.list_map_keys().collect();
        if !keys.is_empty() {
            map.insert("x-kubernetes-list-map-keys".into(), keys.into());
        }
        if field.is_atomic_map() {
            map.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if let Some(key) = field.merge_key() {
            map.insert("x-kubernetes-patch-merge-key".into(), key.into());
        }
        let strategy = field.patch_strategy();
        let words = [(strategy.merge, "merge"), (strategy.replace, "replace"), (strategy.retain_keys, "retainKeys")];
        let words: Vec<&str> = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
        if !words.is_empty() {
            map.insert("x-kubernetes-patch-strategy".into(), words.join(",").into());
        }
        // Siblings of a reference are ignored by OpenAPI 3, which upstream avoids with a list of one.
        if map.len() > 1
            && self.prefix != "#/definitions/"
            && let Some(reference) = map.remove("$ref")
        {
            map.insert("allOf".into(), json!([{ "$ref": reference }]));
        }
        property
    }

    fn shape(&mut self, shape: Shape) -> Value {
        match shape {
            Shape::Scalar(scalar) => self.scalar(scalar),
            Shape::Message(t) => {
                let name = t.model();
                if !self.made.contains_key(&name) {
                    self.owed.insert(format!("{}.{}", t.package(), t.name()));
                }
                json!({ "$ref": format!("{}{name}", self.prefix) })
            }
            Shape::List(inner) | Shape::Wrapped(inner) => json!({ "type": "array", "items": self.shape(inner.get()) }),
            Shape::Map(inner) => json!({ "type": "object", "additionalProperties": self.shape(inner.get()) }),
            Shape::Pointer(inner) => self.shape(inner.get()),
        }
    }

    /// Scalars with a Go type of their own have a named schema upstream.
    fn scalar(&mut self, scalar: Scalar) -> Value {
        let (name, schema) = match scalar {
            Scalar::String => return json!({"type": "string"}),
            Scalar::Bool => return json!({"type": "boolean"}),
            Scalar::Int32 => return json!({"type": "integer", "format": "int32"}),
            Scalar::Int64 => return json!({"type": "integer", "format": "int64"}),
            Scalar::Float64 => return json!({"type": "number", "format": "double"}),
            Scalar::Bytes => return json!({"type": "string", "format": "byte"}),
            Scalar::Any => return json!({"type": "object"}),
            Scalar::Time => ("pkg.apis.meta.v1.Time", json!({"type": "string", "format": "date-time"})),
            Scalar::MicroTime => ("pkg.apis.meta.v1.MicroTime", json!({"type": "string", "format": "date-time"})),
            Scalar::Duration => ("pkg.apis.meta.v1.Duration", json!({"type": "string"})),
            Scalar::Quantity if self.prefix == "#/definitions/" => {
                ("pkg.api.resource.Quantity", json!({"type": "string"}))
            }
            Scalar::Quantity => {
                ("pkg.api.resource.Quantity", json!({"oneOf": [{"type": "string"}, {"type": "number"}]}))
            }
            Scalar::IntOrString if self.prefix == "#/definitions/" => {
                ("pkg.util.intstr.IntOrString", json!({"type": "string", "format": "int-or-string"}))
            }
            Scalar::IntOrString => (
                "pkg.util.intstr.IntOrString",
                json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}),
            ),
            Scalar::Raw => ("pkg.runtime.RawExtension", json!({"type": "object"})),
            Scalar::FieldsV1 => ("pkg.apis.meta.v1.FieldsV1", json!({"type": "object"})),
            Scalar::Json => return json!({}),
        };
        let name = format!("io.k8s.apimachinery.{name}");
        self.made.entry(name.clone()).or_insert(schema);
        json!({ "$ref": format!("{}{name}", self.prefix) })
    }
}
