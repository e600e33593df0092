//! Which plugins are enabled where: the merge of what a profile says with the defaults
//! (`pkg/scheduler/apis/config/v1/default_plugins.go`), and the spread of `multiPoint` over the extension points
//! (`pkg/scheduler/framework/runtime/framework.go`).

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The plugins of `multiPoint` by default, with the weights that are not 1.
const DEFAULTS: [(&str, i32); 20] = [
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeName", 0),
    ("NodeUnschedulable", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
    ("NodeDeclaredFeatures", 0),
];

/// The extension points, as the file names them, and who serves them.
pub(crate) const POINTS: [(&str, &[&str]); 12] = [
    ("preEnqueue", &["SchedulingGates", "DynamicResources", "DefaultPreemption"]),
    ("queueSort", &["PrioritySort"]),
    ("preFilter", FILTERS),
    ("filter", FILTERS),
    ("postFilter", &["DynamicResources", "DefaultPreemption"]),
    ("preScore", SCORES),
    ("score", SCORES),
    ("reserve", &["VolumeBinding", "DynamicResources"]),
    ("permit", &[]),
    ("preBind", &["VolumeBinding", "DynamicResources"]),
    ("bind", &["DefaultBinder"]),
    ("postBind", &[]),
];

const FILTERS: &[&str] = &[
    "NodeName",
    "NodeUnschedulable",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
    "NodeDeclaredFeatures",
];

const SCORES: &[&str] = &[
    "TaintToleration",
    "NodeAffinity",
    "NodeResourcesFit",
    "VolumeBinding",
    "PodTopologySpread",
    "InterPodAffinity",
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
];

/// One plugin in a set; a weight of 0 is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginEntry {
    pub name: String,
    #[serde(default)]
    pub weight: i32,
}

/// What is on and off at one extension point; `*` switches all defaults off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PluginSet {
    pub enabled: Vec<PluginEntry>,
    pub disabled: Vec<PluginEntry>,
}

/// Extension point -> plugins; `multiPoint` stands for all points that a plugin serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plugins(pub BTreeMap<String, PluginSet>);

impl PluginSet {
    fn has_disabled(&self, name: &str) -> bool {
        self.disabled.iter().any(|plugin| plugin.name == name)
    }

    fn enabled(&self, name: &str) -> Option<&PluginEntry> {
        self.enabled.iter().find(|plugin| plugin.name == name)
    }

    /// Defaults keep their place, also when they are configured anew.
    fn merged(&self, custom: &Self) -> Self {
        let mut disabled = custom.disabled.clone();
        disabled.extend(self.disabled.clone());
        let off = |name: &str| disabled.iter().any(|plugin| plugin.name == name);
        let (mut enabled, mut placed) = (Vec::new(), BTreeSet::new());
        if !off("*") {
            for plugin in self.enabled.iter().filter(|plugin| !off(&plugin.name)) {
                let anew = custom.enabled.iter().rposition(|custom| custom.name == plugin.name);
                placed.extend(anew);
                enabled.push(anew.map_or(plugin, |at| &custom.enabled[at]).clone());
            }
        }
        let rest = custom.enabled.iter().enumerate().filter(|(at, _)| !placed.contains(at));
        enabled.extend(rest.map(|(_, plugin)| plugin.clone()));
        Self { enabled, disabled }
    }
}

impl Plugins {
    /// The defaults with what a profile changes of them.
    pub fn merged(custom: Option<&Self>) -> Self {
        let entry = |(name, weight): (&str, i32)| PluginEntry { name: name.to_owned(), weight };
        let enabled = DEFAULTS.into_iter().map(entry).collect();
        let defaults = PluginSet { enabled, disabled: Vec::new() };
        let Some(custom) = custom else { return Self([("multiPoint".to_owned(), defaults)].into()) };
        let mut merged = custom.clone();
        let multi = custom.0.get("multiPoint").map_or_else(|| defaults.clone(), |custom| defaults.merged(custom));
        merged.0.insert("multiPoint".to_owned(), multi);
        merged
    }

    /// The plugins of one extension point, in order. Fails with what is wrong with them.
    pub(crate) fn at(&self, point: &str) -> Result<Vec<PluginEntry>, String> {
        let serves = POINTS.iter().find(|(name, _)| *name == point).map_or(&[][..], |(_, plugins)| plugins);
        let known = |name: &str| DEFAULTS.iter().any(|(known, _)| *known == name);
        let nothing = PluginSet::default();
        let own = self.0.get(point).unwrap_or(&nothing);
        let multi = self.0.get("multiPoint").unwrap_or(&nothing);
        for plugin in &own.enabled {
            if !known(&plugin.name) {
                return Err(format!("{point} plugin {:?} does not exist", plugin.name));
            }
            if !serves.contains(&plugin.name.as_str()) {
                return Err(format!("plugin {:?} does not extend {point} plugin", plugin.name));
            }
            if own.enabled.iter().filter(|other| other.name == plugin.name).count() > 1 {
                return Err(format!("plugin {:?} already registered as {point:?}", plugin.name));
            }
        }
        let mut spread: Vec<PluginEntry> = Vec::new();
        let mut overridden = BTreeSet::new();
        for plugin in multi.enabled.iter().filter(|_| !own.has_disabled("*")) {
            if !known(&plugin.name) {
                return Err(format!("multiPoint plugin {:?} does not exist", plugin.name));
            }
            if !serves.contains(&plugin.name.as_str()) || own.has_disabled(&plugin.name) {
                continue;
            }
            if own.enabled(&plugin.name).is_some() {
                overridden.insert(plugin.name.clone());
            } else if spread.iter().any(|other| other.name == plugin.name) {
                return Err(format!("plugin {:?} already registered as {point:?}", plugin.name));
            } else {
                spread.push(plugin.clone());
            }
        }
        let (first, last): (Vec<_>, Vec<_>) =
            own.enabled.iter().cloned().partition(|plugin| overridden.contains(&plugin.name));
        Ok(first.into_iter().chain(spread).chain(last).collect())
    }
}
