//! Projected trust bundles: the tenant's anchors, written out as the kubelet would have, in a ConfigMap of the pod.
//!
//! One ConfigMap per pod, a key per projected source. A source that must not be empty and is has no key: the host's
//! kubelet then holds the pod back, as the tenant's would. The rules are those of the kubelet's
//! `pkg/kubelet/clustertrustbundle`.

use super::projection::key;
use crate::{Config, marks, names};
use apimachinery::selector::LabelSelector;
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ClusterTrustBundleProjection, ConfigMap, Pod};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Role of the ConfigMap, and with it part of its name.
pub(crate) const ROLE: &str = "trust";
/// Columns of PEM's lines.
const COLUMNS: usize = 64;

pub(crate) fn host_name(config: &Config, namespace: &str, pod: &str) -> String {
    names::internal_name(ROLE, pod, namespace, &config.tenant)
}

/// The trust bundles that a pod's volumes ask for, by their key in the ConfigMap.
fn requests(pod: &Pod) -> impl Iterator<Item = (String, &ClusterTrustBundleProjection)> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.flat_map(|volume| {
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        let asked = sources.enumerate();
        asked.filter_map(|(index, source)| Some((key(&volume.name, index), source.cluster_trust_bundle.as_ref()?)))
    })
}

/// Whether a pod's volumes ask for trust bundles at all.
pub(crate) fn asks(pod: &Pod) -> bool {
    requests(pod).next().is_some()
}

/// The ConfigMap of a pod. `bundles` are all that the tenant has.
pub(crate) fn config_map(config: &Config, pod: &Pod, bundles: &[Arc<ClusterTrustBundle>]) -> ConfigMap {
    let shown = requests(pod).filter_map(|(key, request)| Some((key, anchors(request, bundles)?)));
    ConfigMap { metadata: marks::pods_meta(config, pod, ROLE), data: Some(shown.collect()), ..ConfigMap::default() }
}

/// The text of one file; `None` when it must not be empty and would be.
fn anchors(request: &ClusterTrustBundleProjection, bundles: &[Arc<ClusterTrustBundle>]) -> Option<String> {
    let found = selected(request, bundles);
    if found.is_empty() && !request.optional.unwrap_or(false) {
        return None;
    }
    // Each certificate once; the order has no meaning, and upstream shuffles it to say so.
    let blocks: BTreeSet<String> = found.iter().flat_map(|bundle| blocks(&bundle.spec.trust_bundle)).collect();
    Some(blocks.iter().map(|block| pem(block)).collect())
}

/// By name, or by signer and labels, where no selector selects nothing.
fn selected<'a>(
    request: &ClusterTrustBundleProjection,
    bundles: &'a [Arc<ClusterTrustBundle>],
) -> Vec<&'a ClusterTrustBundle> {
    let all = bundles.iter().map(AsRef::as_ref);
    if let Some(name) = &request.name {
        return all.filter(|bundle: &&ClusterTrustBundle| bundle.metadata.name.as_ref() == Some(name)).collect();
    }
    let Some(signer) = &request.signer_name else { return Vec::new() };
    let selector = LabelSelector::from_object(Some(&json!(request.label_selector)));
    let selector = selector.unwrap_or_else(|_| LabelSelector::nothing());
    let no_labels = BTreeMap::new();
    all.filter(|bundle: &&ClusterTrustBundle| {
        let labels = bundle.metadata.labels.as_ref().unwrap_or(&no_labels);
        bundle.spec.signer_name.as_ref() == Some(signer) && selector.matches(|key| labels.get(key).map(String::as_str))
    })
    .collect()
}

/// The base64 texts of the certificates in a PEM text, without line ends. The API lets nothing else into a bundle.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with("-----BEGIN ") {
            open = Some(String::new());
        } else if line.starts_with("-----END ") {
            blocks.extend(open.take());
        } else if let Some(block) = &mut open {
            block.push_str(line);
        }
    }
    blocks
}

fn pem(block: &str) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (column, character) in block.chars().enumerate() {
        if column > 0 && column % COLUMNS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// `name signer label certificates`, the certificates being one character each.
    fn bundle(text: &str) -> Arc<ClusterTrustBundle> {
        let [name, signer, alive, certificates] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let bundle: String = certificates.chars().map(|c| pem(&c.to_string())).collect();
        let value = json!({
            "metadata": {"name": name, "labels": {"alive": alive}},
            "spec": {"signerName": signer, "trustBundle": format!("a comment\n{bundle}")},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    /// What a source shows: the certificates, or `none`.
    fn shown(source: Value) -> String {
        let bundles = ["a one yes xy", "b one no yz", "c two yes w"].map(bundle);
        let source = serde_json::from_value(source).unwrap();
        let Some(text) = anchors(&source, &bundles) else { return "none".into() };
        blocks(&text).concat()
    }

    #[test]
    fn bundles_are_chosen_as_the_kubelet_chooses_them() {
        let cases = [
            (json!({"path": "p", "name": "a"}), "xy"),
            (json!({"path": "p", "name": "gone"}), "none"),
            (json!({"path": "p", "name": "gone", "optional": true}), ""),
            (json!({"path": "p", "signerName": "one"}), "none"),
            (json!({"path": "p", "signerName": "one", "optional": true}), ""),
            (json!({"path": "p", "signerName": "one", "labelSelector": {}}), "xyz"),
            (json!({"path": "p", "signerName": "one", "labelSelector": {"matchLabels": {"alive": "yes"}}}), "xy"),
            (json!({"path": "p", "signerName": "two", "labelSelector": {"matchLabels": {"alive": "no"}}}), "none"),
        ];
        for (source, expected) in cases {
            assert_eq!(shown(source.clone()), expected, "{source}");
        }
    }

    #[test]
    fn a_pod_has_a_key_for_each_source_that_may_be_shown() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"containers": [], "volumes": [{"name": "v", "projected": {"sources": [
                {"configMap": {"name": "c"}},
                {"clusterTrustBundle": {"name": "a", "path": "a.pem"}},
                {"clusterTrustBundle": {"name": "gone", "path": "b.pem"}},
            ]}}]},
        }))
        .unwrap();
        assert!(asks(&pod));
        let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
        let map = config_map(&config, &pod, &[bundle("a one yes x")]);
        let keys: Vec<String> = map.data.unwrap().into_keys().collect();
        assert_eq!(keys, ["v.1"]);
        let record = &map.metadata.annotations.unwrap();
        assert_eq!((record[marks::NAME].as_str(), record[marks::UID].as_str()), ("p", "u"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(block in "[A-Za-z0-9+/]{1,200}") {
            let text = pem(&block);
            prop_assert!(text.lines().all(|line| line.len() <= COLUMNS));
            prop_assert_eq!(blocks(&text), [block]);
        }

        #[test]
        fn any_text_can_be_read(text in "(-----(BEGIN|END) [A-Z]*-----\n|[a-z]*\n){0,8}") {
            let _ = blocks(&text);
        }
    }
}
