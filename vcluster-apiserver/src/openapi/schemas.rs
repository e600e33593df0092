//! Schemas of the tables' types, spelled for either version of OpenAPI (k8s.io/kube-openapi `pkg/generators`,
//! `pkg/builder`, `pkg/builder3`).
//!
//! Version 2 carries no defaults and no alternatives, which its clients would misread; version 3 carries both.

use super::operation::Model;
use apimachinery::GroupVersion;
use schema::description::Descriptions;
use schema::{Field, Form, ListType, Scalar, Shape, Type};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    Two,
    Three,
}

impl Version {
    /// What references to schemas begin with.
    fn prefix(self) -> &'static str {
        if self == Self::Two { "#/definitions/" } else { "#/components/schemas/" }
    }

    /// A model where it stands in a body: a reference, or the little that there is to say.
    pub fn schema_of(self, model: Model) -> Value {
        match model {
            Model::Text => json!({"type": "string"}),
            Model::Object => json!({"type": "object"}),
            named => json!({"$ref": format!("{}{}", self.prefix(), named.name().unwrap_or_default())}),
        }
    }
}

/// The published name of a scalar that has a schema of its own.
pub fn scalar_model(scalar: Scalar) -> Option<&'static str> {
    Some(match scalar {
        Scalar::Time => "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        Scalar::MicroTime => "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        Scalar::Duration => "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
        Scalar::FieldsV1 => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        Scalar::Quantity => "io.k8s.apimachinery.pkg.api.resource.Quantity",
        Scalar::IntOrString => "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        Scalar::Raw => "io.k8s.apimachinery.pkg.runtime.RawExtension",
        Scalar::Json => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        _ => return None,
    })
}

/// Writes schemas and remembers which others they refer to.
pub struct Schemas<'a> {
    version: Version,
    descriptions: &'a Descriptions,
    /// The group version whose document this is; none for a document of everything.
    scope: Option<&'a GroupVersion>,
    /// Named models that were referred to, and whether they are written.
    wanted: BTreeMap<String, (Model, bool)>,
}

impl<'a> Schemas<'a> {
    pub fn new(version: Version, descriptions: &'a Descriptions, scope: Option<&'a GroupVersion>) -> Self {
        Self { version, descriptions, scope, wanted: BTreeMap::new() }
    }

    /// Asks for a model's schema.
    pub fn want(&mut self, model: Model) {
        if let Some(name) = model.name() {
            self.wanted.entry(name).or_insert((model, false));
        }
    }

    /// The schemas of all wanted models and of what they refer to, sorted by name. Names only; [`Schemas::write`] does
    /// one at a time, so that no more than one is held.
    pub fn names(&mut self) -> Vec<(String, Model)> {
        while let Some((name, model)) =
            self.wanted.iter().find(|(_, (_, done))| !done).map(|(n, (m, _))| (n.clone(), *m))
        {
            if let Some(entry) = self.wanted.get_mut(&name) {
                entry.1 = true;
            }
            let Model::Type(t) = model else { continue };
            if t.form() != Form::Struct {
                continue;
            }
            for field in t.members() {
                if let Some(model) = referred(field.shape()) {
                    self.want(model);
                }
            }
        }
        self.wanted.iter().map(|(name, (model, _))| (name.clone(), *model)).collect()
    }

    /// One schema.
    pub fn write(&self, model: Model) -> Value {
        match model {
            Model::Type(t) => self.of_type(t),
            Model::Scalar(scalar) => self.of_scalar(scalar),
            Model::Text | Model::Object => self.version.schema_of(model),
        }
    }

    fn of_type(&self, t: &'static Type) -> Value {
        let mut schema = Map::new();
        describe(&mut schema, self.descriptions.of_type(t));
        if t.form() == Form::Struct {
            schema.insert("type".into(), "object".into());
            let mut properties = Map::new();
            for (field, description) in t.members().zip(self.descriptions.of_members(t)) {
                properties.insert(field.json_name().to_owned(), self.property(field, description));
            }
            if !properties.is_empty() {
                schema.insert("properties".into(), properties.into());
            }
            let required = required(t);
            if !required.is_empty() {
                schema.insert("required".into(), required.into());
            }
        }
        if t.is_atomic() {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if let Some(unions) = t.unions().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            schema.insert("x-kubernetes-unions".into(), unions);
        }
        let kinds = self.kinds_of(t);
        if !kinds.is_empty() {
            schema.insert("x-kubernetes-group-version-kind".into(), kinds.into());
        }
        schema.into()
    }

    /// The kinds whose type this is. Options and watch events are known in every group version; the document of one
    /// version only names its own and the core's.
    fn kinds_of(&self, t: &'static Type) -> Vec<Value> {
        let entry = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
        if t.package() == "meta.v1" && matches!(t.name(), "DeleteOptions" | "WatchEvent") {
            let own = |gv: &&(&str, &str)| {
                **gv == ("", "v1") || self.scope.is_none_or(|scope| (&*scope.group, &*scope.version) == **gv)
            };
            let versions = schema::option_versions().iter().filter(own);
            return versions.map(|(group, version)| entry(group, version, t.name())).collect();
        }
        schema::types::kinds().filter(|row| row.3 == t).map(|(g, v, k, _)| entry(g, v, k)).collect()
    }

    fn property(&self, field: &Field, description: Option<&str>) -> Value {
        let mut map = Map::new();
        describe(&mut map, description);
        let mut body = self.shape(field.shape());
        let values: Vec<&str> = field.enum_values().collect();
        if !values.is_empty() {
            // The values of elements stand with the elements.
            let element = ["items", "additionalProperties"].into_iter().find(|name| body.get(name).is_some());
            let owner = if let Some(name) = element { &mut body[name] } else { &mut body };
            owner["enum"] = values.into();
        }
        if let Some(format) = field.format() {
            body["format"] = format.into();
        }
        if self.version == Version::Three
            && let Some(default) = field.default_json().and_then(|text| serde_json::from_str::<Value>(text).ok())
        {
            map.insert("default".into(), default);
        }
        merging(&mut map, field);
        with_reference(self.version, body, map)
    }

    fn shape(&self, shape: Shape) -> Value {
        match shape {
            Shape::Scalar(scalar) => self.scalar(scalar),
            Shape::Message(t) => self.version.schema_of(Model::Type(t)),
            Shape::List(inner) | Shape::Wrapped(inner) => {
                json!({ "type": "array", "items": self.shape(inner.get()) })
            }
            Shape::Map(inner) => json!({ "type": "object", "additionalProperties": self.shape(inner.get()) }),
            Shape::Pointer(inner) => self.shape(inner.get()),
        }
    }

    fn scalar(&self, scalar: Scalar) -> Value {
        match scalar {
            Scalar::String => json!({"type": "string"}),
            Scalar::Bool => json!({"type": "boolean"}),
            Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
            Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
            Scalar::Float64 => json!({"type": "number", "format": "double"}),
            Scalar::Bytes => json!({"type": "string", "format": "byte"}),
            Scalar::Any => json!({"type": "object"}),
            named => self.version.schema_of(Model::Scalar(named)),
        }
    }

    fn of_scalar(&self, scalar: Scalar) -> Value {
        let three = self.version == Version::Three;
        let body = match scalar {
            Scalar::Time | Scalar::MicroTime => json!({"type": "string", "format": "date-time"}),
            Scalar::Quantity if three => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            Scalar::IntOrString if three => {
                json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"})
            }
            Scalar::IntOrString => json!({"type": "string", "format": "int-or-string"}),
            Scalar::Duration | Scalar::Quantity => json!({"type": "string"}),
            Scalar::Json => json!({}),
            _ => json!({"type": "object"}),
        };
        let mut map = Map::new();
        describe(&mut map, self.descriptions.of_scalar(scalar));
        with_reference(self.version, body, map)
    }
}

fn describe(map: &mut Map<String, Value>, description: Option<&str>) {
    if let Some(text) = description {
        map.insert("description".into(), text.into());
    }
}

/// Joins a schema and what is said beside it. Version 3 allows nothing beside a reference and wraps it.
fn with_reference(version: Version, body: Value, mut beside: Map<String, Value>) -> Value {
    let Value::Object(body) = body else { return body };
    if version == Version::Three && body.contains_key("$ref") && !beside.is_empty() {
        beside.insert("allOf".into(), json!([body]));
        return beside.into();
    }
    beside.extend(body);
    beside.into()
}

/// The named model that a shape refers to.
fn referred(shape: Shape) -> Option<Model> {
    match shape {
        Shape::Message(t) => Some(Model::Type(t)),
        Shape::Scalar(scalar) => scalar_model(scalar).map(|_| Model::Scalar(scalar)),
        Shape::List(inner) | Shape::Wrapped(inner) | Shape::Map(inner) | Shape::Pointer(inner) => referred(inner.get()),
    }
}

/// The required members in the order of Go's fields.
fn required(t: &'static Type) -> Vec<&'static str> {
    let mut out = Vec::new();
    for field in t.fields() {
        if let (true, Shape::Message(inlined)) = (field.is_inline(), field.shape()) {
            out.extend(required(inlined));
        } else if field.required() {
            out.push(field.json_name());
        }
    }
    out
}

/// What server-side apply and strategic merge patch read.
fn merging(map: &mut Map<String, Value>, field: &Field) {
    let mut put = |name: &str, value: Value| map.insert(format!("x-kubernetes-{name}"), value);
    match field.list_type() {
        Some(ListType::Atomic) => put("list-type", "atomic".into()),
        Some(ListType::Set) => put("list-type", "set".into()),
        Some(ListType::Map) => put("list-type", "map".into()),
        None => None,
    };
    let keys: Vec<&str> = field.list_map_keys().collect();
    if !keys.is_empty() {
        put("list-map-keys", keys.into());
    }
    if field.is_atomic_map() {
        put("map-type", "atomic".into());
    } else if field.is_granular_map() {
        put("map-type", "granular".into());
    }
    if let Some(key) = field.merge_key() {
        put("patch-merge-key", key.into());
    }
    let strategy = field.patch_strategy();
    let words = [(strategy.merge, "merge"), (strategy.replace, "replace"), (strategy.retain_keys, "retainKeys")];
    let words: Vec<&str> = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
    if !words.is_empty() {
        put("patch-strategy", words.join(",").into());
    }
}
