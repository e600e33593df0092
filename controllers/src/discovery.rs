//! What the API serves, as the controllers that work on every resource need it. Reads the aggregated discovery documents
//! (`apidiscovery.k8s.io/v2`); the parse is pure.

use crate::api::ApiError;
use apimachinery::GroupVersionResource;
use http::Request;
use kube::Client;
use serde_json::Value;

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// One resource in the version that its group prefers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServedResource {
    pub(crate) resource: GroupVersionResource,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
}

impl ServedResource {
    pub(crate) fn has(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|own| own == verb))
    }
}

/// Everything that is served, and the group versions of which it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) resources: Vec<ServedResource>,
    pub(crate) stale: Vec<String>,
}

impl Served {
    /// The resource of a kind. Any version of the group will do: an object is the same in all of them.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<&ServedResource> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.resources.iter().find(|served| served.kind == kind && served.resource.group == group)
    }
}

pub(crate) async fn discover(client: &Client) -> Result<Served, ApiError> {
    let mut served = Served::default();
    for root in ["/api", "/apis"] {
        let build = |source| ApiError::Build { verb: "discover", target: root.to_owned(), source };
        let request = Request::get(root).header("accept", ACCEPT).body(Vec::new()).map_err(build)?;
        let failed = |source| ApiError::Request { verb: "discover", target: root.to_owned(), source: Box::new(source) };
        parse(&client.request::<Value>(request).await.map_err(failed)?, &mut served);
    }
    Ok(served)
}

fn parse(document: &Value, served: &mut Served) {
    for group in document["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            let version_name = version["version"].as_str().unwrap_or_default();
            if version["freshness"].as_str() == Some("Stale") {
                served.stale.push(format!("{name}/{version_name}"));
            }
            for resource in version["resources"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let plural = text(&resource["resource"]);
                let known = |other: &ServedResource| other.resource.group == name && other.resource.resource == plural;
                // Versions come in the group's order of preference.
                if plural.is_empty() || served.resources.iter().any(known) {
                    continue;
                }
                served.resources.push(ServedResource {
                    kind: text(&resource["responseKind"]["kind"]),
                    namespaced: resource["scope"].as_str() == Some("Namespaced"),
                    verbs: resource["verbs"].as_array().into_iter().flatten().map(text).collect(),
                    resource: GroupVersionResource::new(name, version_name, plural),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_resource_is_taken_in_its_preferred_version() {
        let resource = |kind: &str| json!({"resource": "as", "scope": "Namespaced", "verbs": ["list", "delete"], "responseKind": {"group": "g", "version": "v2", "kind": kind}});
        let document = json!({"items": [{"metadata": {"name": "g"}, "versions": [
            {"version": "v2", "resources": [resource("A")]}, {"version": "v1", "freshness": "Stale", "resources": [resource("A")]}]}]});
        let mut served = Served::default();
        parse(&document, &mut served);
        assert_eq!(served.resources.len(), 1);
        assert_eq!(served.stale, ["g/v1"]);
        let found = served.by_kind("g/v1", "A").unwrap();
        assert_eq!((found.resource.version.as_str(), found.namespaced), ("v2", true));
        assert!(found.has(&["delete"]) && !found.has(&["watch"]));
    }
}
