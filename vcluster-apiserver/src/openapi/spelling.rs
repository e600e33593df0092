//! Paths as JSON, spelled for either version of OpenAPI.

use super::operation::{Operation, Parameter, Place, RequestBody, Route};
use super::schemas::Version;
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Writes path items; in version 2 it collects the parameters that several operations refer to.
pub struct Speller {
    version: Version,
    /// Version 2's parameters by their names in the document.
    pub shared: BTreeMap<String, Value>,
    names: BTreeMap<Parameter, String>,
}

impl Speller {
    pub fn new(version: Version) -> Self {
        Self { version, shared: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// One path with all its operations.
    pub fn item(&mut self, route: &Route) -> Value {
        let mut item = Map::new();
        let shared = route.shared_parameters();
        for operation in &route.operations {
            let is_own = |p: &&Parameter| !shared.iter().any(|s| (s.name, s.place) == (p.name, p.place));
            let mut own: Vec<&Parameter> = operation.parameters.iter().filter(is_own).collect();
            own.sort();
            let value = match self.version {
                Version::Two => self.two(operation, &own),
                Version::Three => three(operation, &own),
            };
            item.insert(operation.method.to_owned(), value);
        }
        if !shared.is_empty() {
            let list: Vec<Value> = shared.iter().map(|p| self.parameter(p)).collect();
            item.insert("parameters".into(), list.into());
        }
        item.into()
    }

    fn two(&mut self, operation: &Operation, own: &[&Parameter]) -> Value {
        let mut out = common(operation);
        if !operation.consumes.is_empty() {
            out.insert("consumes".into(), operation.consumes.into());
        }
        out.insert("produces".into(), operation.produces.clone().into());
        out.insert("schemes".into(), json!(["https"]));
        let mut parameters: Vec<Value> = Vec::new();
        parameters.extend(operation.body.map(|body| self.body(body)));
        parameters.extend(own.iter().map(|p| self.parameter(p)));
        if !parameters.is_empty() {
            out.insert("parameters".into(), parameters.into());
        }
        let responses = responses(operation, |model| json!({ "schema": Version::Two.schema_of(model) }));
        out.insert("responses".into(), responses);
        out.into()
    }

    /// The body is a parameter in version 2; one that all kinds have in common is shared.
    fn body(&mut self, body: RequestBody) -> Value {
        let schema = Version::Two.schema_of(body.model);
        let reference = schema["$ref"].as_str().unwrap_or_default();
        let required = if body.required { "\"required\":true," } else { "" };
        let text = format!("{{\"name\":\"body\",\"in\":\"body\",{required}\"schema\":{{\"$ref\":\"{reference}\"}}}}");
        let mut value = json!({ "name": "body", "in": "body", "schema": schema });
        if body.required {
            value["required"] = true.into();
        }
        if reference.starts_with("#/definitions/io.k8s.apimachinery") {
            let name = format!("body-{}", hash(&text));
            let reference = json!({ "$ref": format!("#/parameters/{name}") });
            self.shared.insert(name, value);
            return reference;
        }
        value
    }

    fn parameter(&mut self, parameter: &Parameter) -> Value {
        if self.version == Version::Three {
            let mut value = place(parameter);
            value["schema"] = json!({ "type": parameter.kind, "uniqueItems": true });
            return value;
        }
        let mut value = place(parameter);
        value["type"] = parameter.kind.into();
        value["uniqueItems"] = true.into();
        // Names are the kind's own; the other two are looked for in the operation itself by older clients.
        let in_query = parameter.place == Place::Query;
        if parameter.name == "name" || in_query && matches!(parameter.name, "fieldValidation" | "dryRun") {
            return value;
        }
        if !self.names.contains_key(parameter) {
            let name = format!("{}-{}", parameter.name, hash(&canonical(parameter)));
            self.names.insert(parameter.clone(), name.clone());
            self.shared.insert(name, value);
        }
        json!({ "$ref": format!("#/parameters/{}", self.names[parameter]) })
    }
}

fn common(operation: &Operation) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("tags".into(), json!([operation.tag]));
    out.insert("description".into(), operation.description.as_str().into());
    out.insert("operationId".into(), operation.id.as_str().into());
    if let Some((action, kind)) = &operation.action {
        out.insert("x-kubernetes-action".into(), (*action).into());
        let kind = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
        out.insert("x-kubernetes-group-version-kind".into(), kind);
    }
    out
}

fn three(operation: &Operation, own: &[&Parameter]) -> Value {
    let mut out = common(operation);
    if !own.is_empty() {
        let list: Vec<Value> = own.iter().map(|p| Speller::new(Version::Three).parameter(p)).collect();
        out.insert("parameters".into(), list.into());
    }
    let content = |media: &[&str], schema: Value| {
        let each = media.iter().map(|m| ((*m).to_owned(), json!({ "schema": schema })));
        Value::Object(each.collect())
    };
    if let Some(body) = operation.body {
        let mut request = json!({ "content": content(operation.consumes, Version::Three.schema_of(body.model)) });
        if body.required {
            request["required"] = true.into();
        }
        out.insert("requestBody".into(), request);
    }
    let responses = responses(
        operation,
        |model| json!({ "content": content(&operation.produces, Version::Three.schema_of(model)) }),
    );
    out.insert("responses".into(), responses);
    out.into()
}

fn responses(operation: &Operation, content: impl Fn(super::operation::Model) -> Value) -> Value {
    let mut out = Map::new();
    for (code, model) in &operation.responses {
        let mut response = content(*model);
        response["description"] = match code {
            201 => "Created",
            202 => "Accepted",
            _ => "OK",
        }
        .into();
        out.insert(code.to_string(), response);
    }
    out.insert("401".into(), json!({ "description": "Unauthorized" }));
    out.into()
}

fn place(parameter: &Parameter) -> Value {
    let mut value = json!({ "name": parameter.name, "description": &*parameter.description });
    if parameter.place == Place::Path {
        value["in"] = "path".into();
        value["required"] = true.into();
    } else {
        value["in"] = "query".into();
    }
    value
}

/// A parameter as Go writes it: that text is what its name in the document is made from.
fn canonical(parameter: &Parameter) -> String {
    let quoted = |text: &str| {
        let mut out = String::new();
        for c in Value::from(text).to_string().chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(out, "\\u{:04x}", c as u32);
                }
                other => out.push(other),
            }
        }
        out
    };
    let place = if parameter.place == Place::Path { "\"path\",\"required\":true" } else { "\"query\"" };
    format!(
        "{{\"uniqueItems\":true,\"type\":\"{}\",\"description\":{},\"name\":\"{}\",\"in\":{place}}}",
        parameter.kind,
        quoted(&parameter.description),
        parameter.name
    )
}

/// Six bytes of the 64-bit FNV-1 hash (k8s.io/kube-openapi `pkg/builder/parameters.go`).
fn hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| hash.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(byte);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    base64::engine::general_purpose::URL_SAFE.encode(&hash.to_be_bytes()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_parameters_have_upstreams_names() {
        let text = r##"{"name":"body","in":"body","schema":{"$ref":"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"}}"##;
        assert_eq!(format!("body-{}", hash(text)), "body-2Y1dVQaQ");
        let namespace = Parameter {
            name: "namespace",
            place: Place::Path,
            kind: "string",
            description: "object name and auth scope, such as for teams and projects".into(),
        };
        assert_eq!(hash(&canonical(&namespace)), "vgWSWtn3");
    }
}
