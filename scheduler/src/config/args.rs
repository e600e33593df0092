//! What plugins can be told (`k8s.io/kube-scheduler/config/v1/types_pluginargs.go`), with upstream's defaults.

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The arguments of all plugins that have some.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginArgs {
    pub default_preemption: DefaultPreemptionArgs,
    pub dynamic_resources: DynamicResourcesArgs,
    pub inter_pod_affinity: InterPodAffinityArgs,
    pub node_affinity: NodeAffinityArgs,
    pub balanced_allocation: BalancedAllocationArgs,
    pub node_resources_fit: NodeResourcesFitArgs,
    pub pod_topology_spread: PodTopologySpreadArgs,
    pub volume_binding: VolumeBindingArgs,
}

impl PluginArgs {
    /// Sets the arguments of one plugin; those of plugins without arguments are left unread, as upstream does. Fails
    /// with what cannot be read.
    pub fn set(&mut self, plugin: &str, args: Value) -> Result<(), String> {
        match plugin {
            "DefaultPreemption" => read(plugin, args, &mut self.default_preemption),
            "DynamicResources" => read(plugin, args, &mut self.dynamic_resources),
            "InterPodAffinity" => read(plugin, args, &mut self.inter_pod_affinity),
            "NodeAffinity" => read(plugin, args, &mut self.node_affinity),
            "NodeResourcesBalancedAllocation" => {
                read(plugin, args, &mut self.balanced_allocation)?;
                default_weights(&mut self.balanced_allocation.resources);
                Ok(())
            }
            "NodeResourcesFit" => {
                read(plugin, args, &mut self.node_resources_fit)?;
                default_weights(&mut self.node_resources_fit.scoring_strategy.resources);
                Ok(())
            }
            "PodTopologySpread" => read(plugin, args, &mut self.pod_topology_spread),
            "VolumeBinding" => {
                read(plugin, args, &mut self.volume_binding)?;
                if self.volume_binding.shape.is_empty() {
                    self.volume_binding.shape = default_shape();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The type of the arguments may be said in them; it must be the plugin's then.
fn read<A: DeserializeOwned>(plugin: &str, mut args: Value, into: &mut A) -> Result<(), String> {
    if args.is_null() {
        return Ok(());
    }
    if let Some(fields) = args.as_object_mut() {
        let (kind, _) = (fields.remove("kind"), fields.remove("apiVersion"));
        let kind = kind.as_ref().and_then(Value::as_str).map(str::to_owned);
        if let Some(kind) = kind.filter(|kind| *kind != format!("{plugin}Args")) {
            return Err(format!("args for plugin {plugin} were not of type {plugin}Args, got {kind}"));
        }
    }
    *into = serde_json::from_value(args).map_err(|error| error.to_string())?;
    Ok(())
}

/// A resource without a weight has 1; no resources are cpu and memory.
fn default_weights(resources: &mut Vec<ResourceSpec>) {
    if resources.is_empty() {
        *resources = default_resources();
    }
    for resource in resources.iter_mut().filter(|resource| resource.weight == 0) {
        resource.weight = 1;
    }
}

fn default_resources() -> Vec<ResourceSpec> {
    ["cpu", "memory"].map(|name| ResourceSpec { name: name.to_owned(), weight: 1 }).into()
}

fn default_shape() -> Vec<UtilizationShapePoint> {
    vec![UtilizationShapePoint { utilization: 0, score: 10 }, UtilizationShapePoint { utilization: 100, score: 0 }]
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DefaultPreemptionArgs {
    pub min_candidate_nodes_percentage: i32,
    pub min_candidate_nodes_absolute: i32,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// Durations as Go writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DynamicResourcesArgs {
    pub filter_timeout: String,
    pub binding_timeout: String,
}

impl Default for DynamicResourcesArgs {
    fn default() -> Self {
        Self { filter_timeout: "10s".to_owned(), binding_timeout: "10m".to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct InterPodAffinityArgs {
    /// 0..=100
    pub hard_pod_affinity_weight: i32,
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeAffinityArgs {
    /// Holds for all pods of the profile beside their own.
    pub added_affinity: Option<NodeAffinity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BalancedAllocationArgs {
    pub resources: Vec<ResourceSpec>,
}

impl Default for BalancedAllocationArgs {
    fn default() -> Self {
        Self { resources: default_resources() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that nodes are not asked for.
    pub ignored_resources: Vec<String>,
    /// Domains of such.
    pub ignored_resource_groups: Vec<String>,
    pub scoring_strategy: ScoringStrategy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScoringStrategy {
    #[serde(rename = "type")]
    pub kind: StrategyType,
    pub resources: Vec<ResourceSpec>,
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatio>,
}

impl Default for ScoringStrategy {
    fn default() -> Self {
        Self { kind: StrategyType::LeastAllocated, resources: default_resources(), requested_to_capacity_ratio: None }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StrategyType {
    #[default]
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RequestedToCapacityRatio {
    pub shape: Vec<UtilizationShapePoint>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ResourceSpec {
    pub name: String,
    pub weight: i64,
}

/// Of a line that turns how full something is (per cent) into a score of 0..=10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UtilizationShapePoint {
    pub utilization: i32,
    pub score: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodTopologySpreadArgs {
    pub default_constraints: Vec<TopologySpreadConstraint>,
    pub defaulting_type: Defaulting,
}

/// Whose defaults pods have that name no constraints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Defaulting {
    #[default]
    System,
    List,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VolumeBindingArgs {
    /// How long a pod waits for its volumes to be bound.
    pub bind_timeout_seconds: u64,
    pub shape: Vec<UtilizationShapePoint>,
}

impl Default for VolumeBindingArgs {
    fn default() -> Self {
        Self { bind_timeout_seconds: 600, shape: default_shape() }
    }
}
