//! Paths that describe the API or the server itself (k8s.io/apiserver `pkg/endpoints/discovery`, `pkg/server/routes`).

use super::operation::{Model, Operation, Route};
use super::routes::{OBJECT, group_identifier, identifier, root, tag};
use apimachinery::GroupVersion;

fn route(
    path: String,
    id: String,
    tag: String,
    description: &str,
    model: Model,
    media: &'static [&'static str],
) -> Route {
    let operation = Operation {
        method: "get",
        id,
        tag,
        description: description.to_owned(),
        action: None,
        consumes: media,
        produces: media.to_vec(),
        parameters: Vec::new(),
        body: None,
        responses: vec![(200, model)],
    };
    Route { path, operations: vec![operation] }
}

/// `/apis/GROUP/VERSION/`: the resources.
pub fn resources(gv: &GroupVersion) -> Route {
    let id = format!("get{}{}APIResources", group_identifier(&gv.group, true), identifier(&gv.version, true));
    let path = format!("{}/", root(gv));
    route(path, id, tag(gv), "get available resources", Model::named("meta.v1.APIResourceList"), OBJECT)
}

/// `/apis/GROUP/`: the versions.
pub fn group(group: &str) -> Route {
    let id = format!("get{}APIGroup", group_identifier(group, true));
    let model = Model::named("meta.v1.APIGroup");
    let tag = group_identifier(group, false);
    route(format!("/apis/{group}/"), id, tag, "get information of a group", model, OBJECT)
}

/// `/api/`.
pub fn core_versions() -> Route {
    let model = Model::named("meta.v1.APIVersions");
    route("/api/".into(), "getCoreAPIVersions".into(), "core".into(), "get available API versions", model, OBJECT)
}

/// `/apis/`.
pub fn groups() -> Route {
    let model = Model::named("meta.v1.APIGroupList");
    route("/apis/".into(), "getAPIVersions".into(), "apis".into(), "get available API versions", model, OBJECT)
}

/// `/version/`.
pub fn version() -> Route {
    let description = "get the version information for this server";
    let model = Model::named("version.Info");
    route("/version/".into(), "getCodeVersion".into(), "version".into(), description, model, &["application/json"])
}

/// What others need to verify service account tokens: where the keys are.
pub fn issuer_configuration() -> Route {
    issuer(
        "/.well-known/openid-configuration/",
        ("getServiceAccountIssuerOpenIDConfiguration", "WellKnown"),
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        &["application/json"],
    )
}

/// The keys themselves.
pub fn issuer_keys() -> Route {
    issuer(
        "/openid/v1/jwks/",
        ("getServiceAccountIssuerOpenIDKeyset", "openid"),
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        &["application/jwk-set+json"],
    )
}

fn issuer(path: &str, (id, tag): (&str, &str), description: &str, media: &'static [&'static str]) -> Route {
    let mut route = route(path.into(), id.into(), tag.into(), description, Model::Text, media);
    for operation in &mut route.operations {
        operation.consumes = &[];
    }
    route
}
