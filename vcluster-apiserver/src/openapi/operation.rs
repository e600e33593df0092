//! An operation as both versions of OpenAPI describe it: pure data between the registry and the two spellings.

use apimachinery::GroupVersionKind;
use schema::{Scalar, Type};
use std::sync::Arc;

/// A path and what may be done there.
#[derive(Clone, Debug)]
pub struct Route {
    pub path: String,
    pub operations: Vec<Operation>,
}

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    /// In lower case, as documents write it.
    pub method: &'static str,
    pub id: String,
    pub tag: String,
    pub description: String,
    /// The action and the kind it is about; none for paths that are no resources.
    pub action: Option<(&'static str, GroupVersionKind)>,
    pub consumes: &'static [&'static str],
    pub produces: Vec<&'static str>,
    pub parameters: Vec<Parameter>,
    pub body: Option<RequestBody>,
    /// Code and content of each success.
    pub responses: Vec<(u16, Model)>,
}

/// What the client sends.
#[derive(Clone, Copy, Debug)]
pub struct RequestBody {
    pub model: Model,
    pub required: bool,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Path,
    Query,
}

/// A parameter of the path or of the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parameter {
    pub name: &'static str,
    pub place: Place,
    /// JSON's name of the type: `string`, `boolean`, `integer`.
    pub kind: &'static str,
    pub description: Arc<str>,
}

/// What stands in a body or an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    Type(&'static Type),
    Scalar(Scalar),
    /// Plain text, which documents call a string.
    Text,
    /// An object that the tables do not know.
    Object,
}

impl Model {
    /// The model of a kind.
    pub fn of(kind: &GroupVersionKind) -> Self {
        schema::kind(kind).map_or(Self::Object, Self::Type)
    }

    /// The model of one of the tables' types.
    pub fn named(name: &str) -> Self {
        schema::type_named(name).map_or(Self::Object, Self::Type)
    }

    /// The name of the published schema; none for what is written out where it stands.
    pub fn name(self) -> Option<String> {
        match self {
            Self::Type(t) => Some(t.model()),
            Self::Scalar(scalar) => super::schemas::scalar_model(scalar).map(str::to_owned),
            Self::Text | Self::Object => None,
        }
    }
}

impl Route {
    /// The parameters that every operation of the path has, which documents write once, sorted by name.
    pub fn shared_parameters(&self) -> Vec<&Parameter> {
        let Some(first) = self.operations.first() else { return Vec::new() };
        let everywhere = |p: &&Parameter| {
            self.operations.iter().all(|o| o.parameters.iter().any(|q| (q.name, q.place) == (p.name, p.place)))
        };
        let mut shared: Vec<&Parameter> = first.parameters.iter().filter(everywhere).collect();
        shared.sort();
        shared
    }
}
