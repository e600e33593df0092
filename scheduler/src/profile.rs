//! Which plugins run at which extension point for the pods of one scheduler name.

use crate::change::Change;
use crate::config::{Config, ConfigError, PluginEntry, ProfileConfig};
use crate::framework::{Plugin, PreEnqueue, PreFilter, PreScore, Reserve};
use crate::plugin::balanced_allocation::BalancedAllocation;
use crate::plugin::default_preemption::Candidates;
use crate::plugin::dynamic_resources::DynamicResources;
use crate::plugin::image_locality::ImageLocality;
use crate::plugin::inter_pod_affinity::InterPodAffinity;
use crate::plugin::node_affinity::NodeAffinity;
use crate::plugin::node_declared_features::NodeDeclaredFeatures;
use crate::plugin::node_name::NodeName;
use crate::plugin::node_ports::NodePorts;
use crate::plugin::node_resources_fit::NodeResourcesFit;
use crate::plugin::node_unschedulable::NodeUnschedulable;
use crate::plugin::node_volume_limits::NodeVolumeLimits;
use crate::plugin::pod_topology_spread::PodTopologySpread;
use crate::plugin::preemption_gate::PreemptionGate;
use crate::plugin::scheduling_gates::SchedulingGates;
use crate::plugin::taint_toleration::TaintToleration;
use crate::plugin::volume_binding::VolumeBinding;
use crate::plugin::volume_restrictions::VolumeRestrictions;
use crate::plugin::volume_zone::VolumeZone;
use crate::pod::PodInfo;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rejections by extenders: nobody knows what they wait for, so everything helps.
pub(crate) const EXTENDER: &str = "Extender";

type Shared = Arc<dyn Plugin>;

/// The plugins of one scheduler.
pub struct Profile {
    pub(crate) scheduler_name: String,
    /// Of the nodes, how many per cent must be feasible before the search ends; 0 lets their number decide.
    pub(crate) percentage_of_nodes_to_score: i32,
    gates: Vec<Shared>,
    filters: Vec<Filtering>,
    /// With their weights.
    scores: Vec<(Shared, i64)>,
    reserves: Vec<Shared>,
    /// How many candidates preemption looks for; `None` if it is off.
    pub(crate) preemption: Option<Candidates>,
    all: BTreeMap<&'static str, Shared>,
}

/// A plugin that filters, at both of the points that this has upstream.
struct Filtering {
    plugin: Shared,
    pre_filter: bool,
    filter: bool,
}

/// Builds a plugin by its name; `None` for what the framework does itself.
pub(crate) fn plugin(name: &str, profile: &ProfileConfig, config: &Config) -> Option<Shared> {
    let (args, hosted) = (&profile.args, config.hosted_volumes);
    let plugin: Shared = match name {
        "SchedulingGates" => Arc::new(SchedulingGates),
        "NodeName" => Arc::new(NodeName),
        "NodeUnschedulable" => Arc::new(NodeUnschedulable),
        "TaintToleration" => Arc::new(TaintToleration),
        "NodeAffinity" => Arc::new(NodeAffinity::new(args.node_affinity.added_affinity.as_ref())),
        "NodePorts" => Arc::new(NodePorts),
        "NodeResourcesFit" => {
            let mut fit = args.node_resources_fit.clone();
            let managed = config.extenders.iter().flat_map(|extender| &extender.managed_resources);
            let ignored = managed.filter(|resource| resource.ignored_by_scheduler);
            fit.ignored_resources.extend(ignored.map(|resource| resource.name.clone()));
            Arc::new(NodeResourcesFit::new(&fit))
        }
        "VolumeRestrictions" => Arc::new(VolumeRestrictions),
        "NodeVolumeLimits" => Arc::new(NodeVolumeLimits),
        "VolumeBinding" => Arc::new(VolumeBinding::new(&args.volume_binding, hosted)),
        "VolumeZone" => Arc::new(VolumeZone { hosted }),
        "PodTopologySpread" => Arc::new(PodTopologySpread::new(&args.pod_topology_spread)),
        "InterPodAffinity" => Arc::new(InterPodAffinity::new(&args.inter_pod_affinity)),
        "DynamicResources" => Arc::new(DynamicResources),
        "DefaultPreemption" => Arc::new(PreemptionGate),
        "NodeResourcesBalancedAllocation" => Arc::new(BalancedAllocation::new(&args.balanced_allocation)),
        "ImageLocality" => Arc::new(ImageLocality),
        "NodeDeclaredFeatures" => Arc::new(NodeDeclaredFeatures),
        _ => return None,
    };
    Some(plugin)
}

impl Profile {
    /// All profiles of a configuration.
    pub fn all(config: &Config) -> Result<Vec<Self>, ConfigError> {
        config.profiles.iter().map(|profile| Self::new(profile, config)).collect()
    }

    fn new(profile: &ProfileConfig, config: &Config) -> Result<Self, ConfigError> {
        let failed = |message: String| ConfigError::Profile { scheduler: profile.scheduler_name.clone(), message };
        let at = |point: &str| profile.plugins.at(point).map_err(failed);
        let mut all: BTreeMap<&'static str, Shared> = BTreeMap::new();
        let mut get = |entry: &PluginEntry| -> Option<Shared> {
            if let Some(plugin) = all.get(entry.name.as_str()) {
                return Some(plugin.clone());
            }
            let plugin = plugin(&entry.name, profile, config)?;
            all.insert(plugin.name(), plugin.clone());
            Some(plugin)
        };
        let gates = at("preEnqueue")?.iter().filter_map(&mut get).collect();
        let (before, during) = (at("preFilter")?, at("filter")?);
        let names = |entries: &[PluginEntry], name: &str| entries.iter().any(|entry| entry.name == name);
        let alone = during.iter().filter(|entry| !names(&before, &entry.name));
        let filtering = before.iter().chain(alone).filter_map(|entry| {
            let plugin = get(entry)?;
            let (pre_filter, filter) = (names(&before, &entry.name), names(&during, &entry.name));
            Some(Filtering { plugin, pre_filter, filter })
        });
        let filters = filtering.collect();
        let scores = at("score")?;
        let scores = scores.iter().filter_map(|entry| Some((get(entry)?, i64::from(entry.weight.max(1))))).collect();
        let reserves = at("reserve")?.iter().filter_map(&mut get).collect();
        let preempts = at("postFilter")?.iter().any(|entry| entry.name == "DefaultPreemption");
        let preemption = preempts.then(|| Candidates::new(&profile.args.default_preemption));
        let (sorts, binds) = (at("queueSort")?.len(), at("bind")?.len());
        if sorts != 1 {
            let name = &profile.scheduler_name;
            return Err(failed(format!(
                "only one queue sort plugin required for profile with scheduler name {name:?}, but got {sorts}"
            )));
        }
        if binds == 0 {
            let name = &profile.scheduler_name;
            return Err(failed(format!("at least one bind plugin is needed for profile with scheduler name {name:?}")));
        }
        let percentage = profile.percentage_of_nodes_to_score.unwrap_or(config.percentage_of_nodes_to_score);
        Ok(Self {
            scheduler_name: profile.scheduler_name.clone(),
            percentage_of_nodes_to_score: percentage,
            gates,
            filters,
            scores,
            reserves,
            preemption,
            all,
        })
    }

    pub(crate) fn gates(&self) -> impl Iterator<Item = &dyn PreEnqueue> {
        self.gates.iter().filter_map(|plugin| plugin.pre_enqueue())
    }

    /// Those that look before or judge; whether each does the one and the other.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&dyn PreFilter, bool, bool)> {
        self.filters.iter().filter_map(|f| Some((f.plugin.pre_filter()?, f.pre_filter, f.filter)))
    }

    pub(crate) fn scores(&self) -> impl Iterator<Item = (&dyn PreScore, i64)> {
        self.scores.iter().filter_map(|(plugin, weight)| Some((plugin.pre_score()?, *weight)))
    }

    pub(crate) fn has_scores(&self) -> bool {
        !self.scores.is_empty()
    }

    pub(crate) fn reserves(&self) -> impl Iterator<Item = &dyn Reserve> {
        self.reserves.iter().filter_map(|plugin| plugin.reserve())
    }

    /// Whether the change may turn the rejection of the pod by the plugin of this name.
    pub(crate) fn wakes(&self, plugin: &str, pod: &PodInfo, change: &Change) -> bool {
        plugin == EXTENDER || self.all.get(plugin).is_some_and(|plugin| plugin.woken_by(pod, change))
    }
}
