//! Query parameters out of the option kinds: every field that a query can carry
//! (k8s.io/apiserver `pkg/endpoints/installer.go`, `AddObjectParams`).

use super::operation::{Parameter, Place};
use schema::description::Descriptions;
use schema::{Scalar, Shape, Type};
use std::sync::Arc;

/// The parameters that the verbs take, made once per document.
pub struct Parameters<'a> {
    descriptions: &'a Descriptions,
    pretty: Parameter,
    pub namespace: Parameter,
    pub path: Parameter,
    create: Vec<Parameter>,
    update: Vec<Parameter>,
    patch: Vec<Parameter>,
    delete: Vec<Parameter>,
    list: Vec<Parameter>,
}

fn parameter(name: &'static str, place: Place, description: &str) -> Parameter {
    Parameter { name, place, kind: "string", description: description.into() }
}

impl<'a> Parameters<'a> {
    pub fn new(descriptions: &'a Descriptions) -> Self {
        let of = |name: &str| of_kind(descriptions, name);
        Self {
            descriptions,
            pretty: parameter(
                "pretty",
                Place::Query,
                "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a \
                 browser or command-line HTTP tool (curl and wget).",
            ),
            namespace: parameter(
                "namespace",
                Place::Path,
                "object name and auth scope, such as for teams and projects",
            ),
            path: parameter("path", Place::Path, "path to the resource"),
            create: of("meta.v1.CreateOptions"),
            update: of("meta.v1.UpdateOptions"),
            patch: of("meta.v1.PatchOptions"),
            delete: of("meta.v1.DeleteOptions"),
            list: of("meta.v1.ListOptions"),
        }
    }

    /// The `name` of an object of a kind.
    pub fn name(kind: &str) -> Parameter {
        parameter("name", Place::Path, &format!("name of the {kind}"))
    }

    /// What an action reads from the query.
    pub fn of_action(&self, action: &str) -> Vec<Parameter> {
        let options: &[&Vec<Parameter>] = match action {
            "post" => &[&self.create],
            "put" => &[&self.update],
            "patch" => &[&self.patch],
            "delete" => &[&self.delete],
            "list" | "watch" | "watchlist" => &[&self.list],
            "deletecollection" => &[&self.delete, &self.list],
            _ => &[],
        };
        let watches =
            |p: &&Parameter| action != "deletecollection" || !matches!(p.name, "watch" | "allowWatchBookmarks");
        let mut all: Vec<Parameter> = options.iter().flat_map(|list| list.iter()).filter(watches).cloned().collect();
        all.push(self.pretty.clone());
        all
    }

    /// What a connection or a read of a subresource takes, by the tables' name of its options; empty for none.
    pub fn of_options(&self, type_name: &str) -> Vec<Parameter> {
        of_kind(self.descriptions, type_name)
    }
}

fn of_kind(descriptions: &Descriptions, type_name: &str) -> Vec<Parameter> {
    let Some(t) = schema::type_named(type_name) else { return Vec::new() };
    let fields = t.fields().iter().filter(|field| !field.is_inline());
    fields
        .filter_map(|field| {
            let kind = query_type(field.shape())?;
            let description: Arc<str> = described(descriptions, t, field.json_name()).into();
            Some(Parameter { name: field.json_name(), place: Place::Query, kind, description })
        })
        .collect()
}

fn described<'d>(descriptions: &'d Descriptions, t: &'static Type, member: &str) -> &'d str {
    descriptions.of_member(t, member).unwrap_or_default()
}

/// JSON's name of what a query parameter carries; none for what it cannot carry. Lists repeat their parameter.
fn query_type(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Scalar(Scalar::Bool) => Some("boolean"),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64) => Some("integer"),
        Shape::Scalar(Scalar::String) => Some("string"),
        Shape::List(inner) => query_type(inner.get()),
        _ => None,
    }
}
