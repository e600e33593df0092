//! The paths of a resource and what may be done there, named and described as upstream's installer does
//! (k8s.io/apiserver `pkg/endpoints/installer.go` and `pkg/endpoints/openapi`).

use super::operation::{Model, Operation, Parameter, RequestBody, Route};
use super::parameters::Parameters;
use crate::registry::resource::{Resource, Subresource};
use apimachinery::{GroupVersion, GroupVersionKind};
use schema::{ResourceInfo, SubresourceInfo};
use std::collections::BTreeMap;

const ANY: &[&str] = &["*/*"];
pub const OBJECT: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAM: &[&str] = &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub fn root(group_version: &GroupVersion) -> String {
    if group_version.group.is_empty() {
        format!("/api/{}", group_version.version)
    } else {
        format!("/apis/{group_version}")
    }
}

/// A name without what identifiers may not have; what follows a dropped character is capitalized, and the first
/// character if asked for.
pub fn identifier(name: &str, mut capitalize: bool) -> String {
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_alphabetic() || c == '_' || (index != 0 && c.is_numeric()) {
            if capitalize {
                out.extend(c.to_uppercase());
            } else {
                out.push(c);
            }
            capitalize = false;
        } else {
            capitalize = true;
        }
    }
    out
}

fn capitalized(name: &str) -> String {
    identifier(name, true)
}

/// The article that a kind takes, between spaces.
fn article(kind: &str) -> &'static str {
    if kind.ends_with('s') && !kind.ends_with("ss") {
        " "
    } else if kind.starts_with(['A', 'E', 'I', 'O', 'U']) {
        " an "
    } else {
        " a "
    }
}

/// Which objects an operation is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What the path names.
    Named,
    AllNamespaces,
    /// A connection with a further path.
    WithPath,
}

struct Maker<'a> {
    parameters: &'a Parameters<'a>,
    resource: &'a Resource,
    facts: Option<&'static ResourceInfo>,
    routes: BTreeMap<String, Vec<Operation>>,
}

/// All paths of a resource and its subresources, sorted.
pub fn of_resource(parameters: &Parameters<'_>, resource: &Resource) -> Vec<Route> {
    let gvr = &resource.gvr;
    let known =
        |info: &&ResourceInfo| (info.group, info.version, info.plural) == (&*gvr.group, &*gvr.version, &*gvr.resource);
    let facts = schema::resources().iter().find(known);
    let mut maker = Maker { parameters, resource, facts, routes: BTreeMap::new() };
    maker.resource();
    for subresource in &resource.subresources {
        maker.subresource(subresource);
    }
    maker.routes.into_iter().map(|(path, operations)| Route { path, operations }).collect()
}

impl Maker<'_> {
    fn resource(&mut self) {
        let resource = self.resource;
        let root = root(&resource.gvr.group_version());
        let scope = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let collection = format!("{scope}{}", resource.gvr.resource);
        let item = format!("{collection}/{{name}}");
        let has = |verb: &str| resource.has_verb(verb);
        let watches = has("list") && has("watch");
        let actions = [
            (has("list"), "list", "", collection.as_str()),
            (has("create"), "post", "", &collection),
            (has("deletecollection"), "deletecollection", "", &collection),
            (watches, "watchlist", "watch/", &collection),
            (has("get"), "get", "", &item),
            (has("update"), "put", "", &item),
            (has("patch"), "patch", "", &item),
            (has("delete"), "delete", "", &item),
            (has("watch"), "watch", "watch/", &item),
        ];
        for (served, action, prefix, path) in actions {
            if served {
                self.add(format!("{root}/{prefix}{path}"), action, "get", Reach::Named, None);
            }
        }
        if resource.namespaced {
            let plural = &resource.gvr.resource;
            if has("list") {
                self.add(format!("{root}/{plural}"), "list", "get", Reach::AllNamespaces, None);
            }
            if watches {
                self.add(format!("{root}/watch/{plural}"), "watchlist", "get", Reach::AllNamespaces, None);
            }
        }
    }

    fn subresource(&mut self, subresource: &Subresource) {
        let resource = self.resource;
        let root = root(&resource.gvr.group_version());
        let scope = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let path = format!("{root}/{scope}{}/{{name}}/{}", resource.gvr.resource, subresource.name);
        let facts = self.facts.and_then(|facts| facts.subresource(&subresource.name));
        let connect = facts.map_or(&[][..], |facts| facts.connect);
        for method in connect {
            let Some(method) = method_named(method) else { continue };
            self.add(path.clone(), "connect", method, Reach::Named, Some(subresource));
            if facts.is_some_and(|facts| facts.subpath) {
                self.add(format!("{path}/{{path}}"), "connect", method, Reach::WithPath, Some(subresource));
            }
        }
        for verb in subresource.verbs.iter().filter(|_| connect.is_empty()) {
            let action = match verb.as_str() {
                "create" => "post",
                "get" => "get",
                "update" => "put",
                "patch" => "patch",
                "delete" => "delete",
                _ => continue,
            };
            self.add(path.clone(), action, "get", Reach::Named, Some(subresource));
        }
    }

    /// Adds one operation; `method` is that of reads and connections, all other actions imply theirs.
    fn add(
        &mut self,
        path: String,
        action: &'static str,
        method: &'static str,
        reach: Reach,
        sub: Option<&Subresource>,
    ) {
        let resource = self.resource;
        let facts = sub.and_then(|s| self.facts.and_then(|facts| facts.subresource(&s.name)));
        let kind = sub.map_or(&resource.kind, |s| &s.kind);
        let method = match action {
            "post" | "put" | "patch" | "delete" => action,
            "deletecollection" => "delete",
            _ => method,
        };
        let object = Model::of(kind);
        let mut description = describe(action, method, &resource.kind.kind, sub.map(|s| s.name.as_str()));
        if action == "list" && !resource.has_verb("watch") {
            description = format!("list objects of kind {}", resource.kind.kind);
        }
        let operation = Operation {
            method,
            id: self.id(action, method, reach, sub),
            tag: tag(&resource.gvr.group_version()),
            description,
            action: Some((action, kind.clone())),
            consumes: if action == "patch" { PATCHES } else { ANY },
            produces: produces(action, facts),
            parameters: self.parameters_of(&path, action, kind, facts),
            body: body(action, object),
            responses: self.responses(action, object, facts),
        };
        let operations = self.routes.entry(path).or_default();
        if !operations.iter().any(|known| known.method == method) {
            operations.push(operation);
        }
    }

    fn id(&self, action: &str, method: &str, reach: Reach, sub: Option<&Subresource>) -> String {
        let (verb, first, last) = match action {
            "post" => ("create", "", ""),
            "get" => ("read", "", ""),
            "put" => ("replace", "", ""),
            "deletecollection" => ("delete", "Collection", ""),
            "watchlist" => ("watch", "", "List"),
            other => (other, "", ""),
        };
        let gv = self.resource.gvr.group_version();
        let method = if action == "connect" { capitalized(method) } else { String::new() };
        let (scope, suffix) = match reach {
            Reach::AllNamespaces => ("", "ForAllNamespaces"),
            Reach::WithPath => (if self.resource.namespaced { "Namespaced" } else { "" }, "WithPath"),
            Reach::Named => (if self.resource.namespaced { "Namespaced" } else { "" }, ""),
        };
        let kind = capitalized(&self.resource.kind.kind);
        let sub = sub.map(|s| capitalized(&s.name)).unwrap_or_default();
        format!(
            "{verb}{}{}{first}{method}{scope}{kind}{sub}{last}{suffix}",
            group_identifier(&gv.group, true),
            capitalized(&gv.version)
        )
    }

    fn parameters_of(
        &self,
        path: &str,
        action: &str,
        kind: &GroupVersionKind,
        facts: Option<&SubresourceInfo>,
    ) -> Vec<Parameter> {
        let mut all = if action == "connect" {
            self.parameters.of_options(&format!("core.{}.{}", kind.version, kind.kind))
        } else {
            self.parameters.of_action(action)
        };
        if let Some(facts) = facts.filter(|_| action == "get") {
            all.extend(self.parameters.of_options(facts.options));
        }
        // A proxy's own option of that name gives way to the rest of the path.
        if path.ends_with("/{path}") {
            all.push(self.parameters.path.clone());
        }
        if path.contains("{name}") {
            all.push(Parameters::name(&kind.kind));
        }
        if path.contains("{namespace}") {
            all.push(self.parameters.namespace.clone());
        }
        all
    }

    fn responses(&self, action: &str, object: Model, facts: Option<&SubresourceInfo>) -> Vec<(u16, Model)> {
        let resource = self.resource;
        let status = || Model::named("meta.v1.Status");
        match action {
            "list" => {
                let list = GroupVersionKind::new(
                    resource.kind.group.as_str(),
                    resource.kind.version.as_str(),
                    resource.list_kind.as_str(),
                );
                vec![(200, Model::of(&list))]
            }
            "watch" | "watchlist" => vec![(200, Model::named("meta.v1.WatchEvent"))],
            "connect" => vec![(200, Model::Text)],
            "get" if facts.is_some_and(|f| !f.produces.is_empty()) => vec![(200, Model::Text)],
            "post" => vec![(200, object), (201, object), (202, object)],
            "put" | "patch" => vec![(200, object), (201, object)],
            "deletecollection" => vec![(200, status())],
            "delete" => {
                let deleted = if self.facts.is_some_and(|f| f.deletes_to_object) { object } else { status() };
                vec![(200, deleted), (202, deleted)]
            }
            _ => vec![(200, object)],
        }
    }
}

fn body(action: &str, object: Model) -> Option<RequestBody> {
    match action {
        "post" | "put" => Some(RequestBody { model: object, required: true }),
        "patch" => Some(RequestBody { model: Model::named("meta.v1.Patch"), required: true }),
        "delete" | "deletecollection" => {
            Some(RequestBody { model: Model::named("meta.v1.DeleteOptions"), required: false })
        }
        _ => None,
    }
}

fn produces(action: &str, facts: Option<&SubresourceInfo>) -> Vec<&'static str> {
    match action {
        "connect" => ANY.to_vec(),
        "list" | "watch" | "watchlist" => [OBJECT, STREAM].concat(),
        "get" => {
            let own = facts.map(|f| f.produces).filter(|own| !own.is_empty());
            own.into_iter().chain(OBJECT.iter().copied()).collect()
        }
        _ => OBJECT.to_vec(),
    }
}

fn method_named(name: &str) -> Option<&'static str> {
    let all = ["delete", "get", "head", "options", "patch", "post", "put"];
    all.into_iter().find(|method| name.eq_ignore_ascii_case(method))
}

pub fn group_identifier(group: &str, capitalize: bool) -> String {
    let group = if group.is_empty() { "core" } else { group };
    identifier(group.strip_suffix(".k8s.io").unwrap_or(group), capitalize)
}

/// `apps_v1`.
pub fn tag(group_version: &GroupVersion) -> String {
    format!("{}_{}", group_identifier(&group_version.group, false), identifier(&group_version.version, false))
}

fn describe(action: &str, method: &str, kind: &str, sub: Option<&str>) -> String {
    let of = |verb: &str| match sub {
        Some(sub) => format!("{verb} {sub} of the specified {kind}"),
        None => format!("{verb} the specified {kind}"),
    };
    let with_article = |verb: &str| match sub {
        Some(sub) => format!("{verb} {sub} of{}{kind}", article(kind)),
        None => format!("{verb}{}{kind}", article(kind)),
    };
    const OLD: &str = "deprecated: use the 'watch' parameter with a list operation instead";
    match action {
        "get" => of("read"),
        "put" => of("replace"),
        "patch" => of("partially update"),
        "post" => with_article("create"),
        "delete" => with_article("delete"),
        "list" => format!("list or watch objects of kind {kind}"),
        "deletecollection" => format!("delete collection of {kind}"),
        "watchlist" => format!("watch individual changes to a list of {kind}. {OLD}."),
        "watch" => format!(
            "watch changes to an object of kind {kind}. {OLD}, filtered to a single item with the 'fieldSelector' parameter."
        ),
        _ => format!("connect {} requests to {} of {kind}", method.to_uppercase(), sub.unwrap_or_default()),
    }
}
