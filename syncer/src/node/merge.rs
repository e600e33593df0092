//! Three-way merge per key: what the tenant changed since both sides agreed stays, everything else follows the host.

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The host's view of what both sides may change; recorded on the tenant's node as the base of the next merge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HostState {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// By [`taint_key`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) taints: BTreeMap<String, Taint>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unschedulable: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) capacity: BTreeMap<String, Quantity>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) allocatable: BTreeMap<String, Quantity>,
    /// Types of the host's conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<String>,
}

impl HostState {
    /// An unreadable record is an empty one: the next merge then takes all that the tenant shows for the tenant's own.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What makes two taints the same one.
pub(crate) fn taint_key(taint: &Taint) -> String {
    format!("{}:{}", taint.key, taint.effect)
}

pub(crate) fn merged<V: Clone + PartialEq>(
    base: &BTreeMap<String, V>,
    host: &BTreeMap<String, V>,
    virt: &BTreeMap<String, V>,
) -> BTreeMap<String, V> {
    let follows = |key: &String| virt.get(key) == base.get(key);
    let from_host = host.iter().filter(|(key, _)| follows(key));
    let from_virt = virt.iter().filter(|(key, _)| !follows(key));
    from_host.chain(from_virt).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn each_key_has_one_winner() {
        // base, host, tenant, result
        let cases = [
            ("", "a=1", "", "a=1"),
            ("a=1", "a=2", "a=1", "a=2"),
            ("a=1", "", "a=1", ""),
            ("a=1", "a=1", "a=9", "a=9"),
            ("a=1", "a=2", "a=9", "a=9"),
            ("a=1", "a=2", "", ""),
            ("", "", "mine=1", "mine=1"),
            ("", "a=1", "a=2", "a=2"),
            ("a=1", "a=1 b=2", "a=1 c=3", "a=1 b=2 c=3"),
        ];
        for (base, host, virt, result) in cases {
            assert_eq!(merged(&map(base), &map(host), &map(virt)), map(result), "{base} | {host} | {virt}");
        }
    }
}
