//! Whole documents: paths, then the schemas that they refer to, written piece by piece into JSON or protobuf, so that
//! no tree of a whole document is ever held.

use super::operation::{Model, Route};
use super::parameters::Parameters;
use super::protobuf;
use super::schemas::{Schemas, Version};
use super::spelling::Speller;
use super::{fixed, routes};
use crate::registry::Snapshot;
use apimachinery::GroupVersion;
use schema::description::Descriptions;
use serde_json::{Value, json};

/// How the bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    Protobuf,
}

/// Which document of version 3: `api/v1`, `apis`, `apis/apps`, `version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    CoreVersions,
    Groups,
    Group(String),
    Resources(GroupVersion),
    Version,
    IssuerConfiguration,
    IssuerKeys,
}

impl Part {
    /// All parts that a server has.
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let mut all =
            vec![Self::CoreVersions, Self::Groups, Self::Version, Self::IssuerConfiguration, Self::IssuerKeys];
        for served in &snapshot.versions {
            let gv = &served.group_version;
            let group = Self::Group(gv.group.clone());
            if !gv.group.is_empty() && !all.contains(&group) {
                all.push(group);
            }
            all.push(Self::Resources(gv.clone()));
        }
        all
    }

    /// The document's path below `/openapi/v3/`.
    pub fn path(&self) -> String {
        match self {
            Self::CoreVersions => "api".to_owned(),
            Self::Groups => "apis".to_owned(),
            Self::Group(group) => format!("apis/{group}"),
            Self::Resources(gv) => routes::root(gv).trim_start_matches('/').to_owned(),
            Self::Version => "version".to_owned(),
            Self::IssuerConfiguration => ".well-known/openid-configuration".to_owned(),
            Self::IssuerKeys => "openid/v1/jwks".to_owned(),
        }
    }

    fn routes(&self, parameters: &Parameters<'_>, snapshot: &Snapshot) -> Vec<Route> {
        match self {
            Self::CoreVersions => vec![fixed::core_versions()],
            Self::Groups => vec![fixed::groups()],
            Self::Group(group) => vec![fixed::group(group)],
            Self::Resources(gv) => {
                let mut all = vec![fixed::resources(gv)];
                all.extend(snapshot.of(gv).flat_map(|resource| routes::of_resource(parameters, resource)));
                all
            }
            Self::Version => vec![fixed::version()],
            Self::IssuerConfiguration => vec![fixed::issuer_configuration()],
            Self::IssuerKeys => vec![fixed::issuer_keys()],
        }
    }
}

/// The OpenAPI 3 document of one part.
pub fn three(descriptions: &Descriptions, snapshot: &Snapshot, part: &Part, encoding: Encoding) -> Vec<u8> {
    let parameters = Parameters::new(descriptions);
    let scope = if let Part::Resources(gv) = part { Some(gv) } else { None };
    let routes = part.routes(&parameters, snapshot);
    let mut speller = Speller::new(Version::Three);
    let mut schemas = Schemas::new(Version::Three, descriptions, scope);
    want(&mut schemas, &routes);
    let security = json!({
        "BearerToken": {
            "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
        },
    });
    match encoding {
        Encoding::Json => {
            let mut out = Json::new();
            out.member("openapi", &json!("3.0.0"));
            out.member("info", &info());
            out.object("paths", sorted(&routes).map(|route| (route.path.clone(), speller.item(route))));
            out.open("components");
            let names = schemas.names();
            if !names.is_empty() {
                out.object("schemas", names.into_iter().map(|(name, model)| (name, schemas.write(model))));
            }
            out.member("securitySchemes", &security);
            out.close();
            out.finish()
        }
        Encoding::Protobuf => {
            let mut out = protobuf::three::Document::new(&info(), &security);
            for route in sorted(&routes) {
                out.path(&route.path, &speller.item(route));
            }
            for (name, model) in schemas.names() {
                out.schema(&name, &schemas.write(model));
            }
            out.finish()
        }
    }
}

/// The OpenAPI 2 document of everything.
pub fn two(descriptions: &Descriptions, snapshot: &Snapshot, encoding: Encoding) -> Vec<u8> {
    let parameters = Parameters::new(descriptions);
    let routes: Vec<Route> = Part::all(snapshot).iter().flat_map(|part| part.routes(&parameters, snapshot)).collect();
    let mut speller = Speller::new(Version::Two);
    let mut schemas = Schemas::new(Version::Two, descriptions, None);
    want(&mut schemas, &routes);
    let definitions = json!({
        "BearerToken": {
            "description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header",
        },
    });
    let security = json!([{ "BearerToken": [] }]);
    match encoding {
        Encoding::Json => {
            let mut out = Json::new();
            out.member("swagger", &json!("2.0"));
            out.member("info", &info());
            out.object("paths", sorted(&routes).map(|route| (route.path.clone(), speller.item(route))));
            let names = schemas.names();
            out.object("definitions", names.into_iter().map(|(name, model)| (name, schemas.write(model))));
            out.object("parameters", speller.shared.into_iter());
            out.member("securityDefinitions", &definitions);
            out.member("security", &security);
            out.finish()
        }
        Encoding::Protobuf => {
            let mut out = protobuf::two::Document::new(&info(), &security, &definitions);
            for route in sorted(&routes) {
                out.path(&route.path, &speller.item(route));
            }
            for (name, model) in schemas.names() {
                out.definition(&name, &schemas.write(model));
            }
            for (name, parameter) in &speller.shared {
                out.parameter(name, parameter);
            }
            out.finish()
        }
    }
}

/// The version without its patch: clients tell releases apart by it.
fn info() -> Value {
    let version = crate::server::fixed::VERSION.trim_start_matches('v');
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    json!({ "title": "Kubernetes", "version": minor })
}

fn sorted(routes: &[Route]) -> impl Iterator<Item = &Route> {
    let mut all: Vec<&Route> = routes.iter().collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.into_iter()
}

fn want(schemas: &mut Schemas<'_>, routes: &[Route]) {
    for operation in routes.iter().flat_map(|route| &route.operations) {
        let answers = operation.responses.iter().map(|(_, model)| *model);
        let sent: Option<Model> = operation.body.map(|body| body.model);
        for model in answers.chain(sent) {
            schemas.want(model);
        }
    }
}

/// JSON of an object, written as it comes.
struct Json {
    out: Vec<u8>,
}

impl Json {
    fn new() -> Self {
        Self { out: vec![b'{'] }
    }

    fn name(&mut self, name: &str) {
        if !matches!(self.out.last(), Some(b'{')) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(Value::from(name).to_string().as_bytes());
        self.out.push(b':');
    }

    fn member(&mut self, name: &str, value: &Value) {
        self.name(name);
        let written = serde_json::to_writer(&mut self.out, value);
        written.expect("a tree is written into memory");
    }

    fn open(&mut self, name: &str) {
        self.name(name);
        self.out.push(b'{');
    }

    fn close(&mut self) {
        self.out.push(b'}');
    }

    fn object(&mut self, name: &str, members: impl Iterator<Item = (String, Value)>) {
        self.open(name);
        for (name, value) in members {
            self.member(&name, &value);
        }
        self.close();
    }

    fn finish(mut self) -> Vec<u8> {
        self.close();
        self.out
    }
}
