//! The resources that a cluster of this release serves by default, as its discovery documents describe them.
//!
//! Only generally available group versions are listed. What may be done to a resource and how is decided elsewhere.

mod generated {
    //! Compiled from `tables/resources.txt`.
    use super::{ResourceInfo, ServedVersion, SubresourceInfo};
    include!(concat!(env!("OUT_DIR"), "/resources.rs"));
}

/// One resource of one group version.
#[derive(Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    /// Group, version and kind of the objects; the same group version as the resource's for all but review kinds.
    pub kind_group: &'static str,
    pub kind_version: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    /// Empty for resources that are not stored.
    pub storage_version_hash: &'static str,
    /// A delete answers with the object, not with a `Status`.
    pub deletes_to_object: bool,
    pub subresources: &'static [SubresourceInfo],
}

/// One subresource; its kind often belongs to another group (`Scale`, `Eviction`, `TokenRequest`).
#[derive(Debug, PartialEq, Eq)]
pub struct SubresourceInfo {
    pub name: &'static str,
    pub kind_group: &'static str,
    pub kind_version: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    /// The HTTP methods that become a connection (`exec`, `proxy`, ...); empty for all others.
    pub connect: &'static [&'static str],
    /// A connection takes a further path after its own.
    pub subpath: bool,
    /// The type whose fields a read takes from the query, as in `core.v1.PodLogOptions`; empty for most.
    pub options: &'static str,
    /// The media type of a read that gives no object; empty for most.
    pub produces: &'static str,
}

/// A served group version with the priorities that its `APIService` carries. The first of a group is the preferred one.
#[derive(Debug, PartialEq, Eq)]
pub struct ServedVersion {
    pub group: &'static str,
    pub version: &'static str,
    pub group_priority: i32,
    pub version_priority: i32,
}

/// All resources, ordered as discovery lists them: by group priority, version priority, then name.
pub fn resources() -> &'static [ResourceInfo] {
    generated::RESOURCES
}

/// All served group versions in the order of discovery.
pub fn served() -> &'static [ServedVersion] {
    generated::SERVED
}

/// Every group version that upstream's scheme knows, served or not, as (group, version).
pub fn registered() -> &'static [(&'static str, &'static str)] {
    generated::REGISTERED
}

/// Every group version in which upstream's server knows `DeleteOptions` and `WatchEvent`, as (group, version).
pub fn option_versions() -> &'static [(&'static str, &'static str)] {
    generated::OPTIONS
}

impl ResourceInfo {
    pub fn subresource(&self, name: &str) -> Option<&'static SubresourceInfo> {
        self.subresources.iter().find(|sub| sub.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_facts_of_well_known_resources() {
        let deployments = resources().iter().find(|r| r.plural == "deployments").expect("deployments");
        assert_eq!((deployments.group, deployments.version, deployments.kind), ("apps", "v1", "Deployment"));
        assert_eq!(deployments.short_names, ["deploy"]);
        assert_eq!(deployments.categories, ["all"]);
        let scale = deployments.subresource("scale").expect("scale");
        assert_eq!((scale.kind_group, scale.kind_version, scale.kind), ("autoscaling", "v1", "Scale"));
        let token = resources().iter().find(|r| r.plural == "serviceaccounts").and_then(|r| r.subresource("token"));
        assert_eq!(token.map(|t| t.kind_group), Some("authentication.k8s.io"));
    }

    #[test]
    fn versions_are_ordered_by_priority() {
        let groups: Vec<_> = served().iter().map(|s| (s.group, s.version)).collect();
        assert_eq!(groups[..3], [("apiregistration.k8s.io", "v1"), ("", "v1"), ("apps", "v1")]);
        let autoscaling: Vec<_> = groups.iter().filter(|(group, _)| *group == "autoscaling").map(|(_, v)| *v).collect();
        assert_eq!(autoscaling, ["v2", "v1"]);
    }
}
