//! What a configuration may not say (`pkg/scheduler/apis/config/validation`). The texts are upstream's.

use super::args::{Defaulting, PluginArgs, ResourceSpec, StrategyType, UtilizationShapePoint};
use super::{Config, ExtenderConfig, FileProfile, Plugins};
use crate::resources::is_extended;
use apimachinery::validation::is_qualified_name;
use std::collections::HashSet;
use std::fmt::Display;

type Errors = Vec<String>;

const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

fn invalid(path: &str, value: impl Display, why: &str, errors: &mut Errors) {
    errors.push(format!("{path}: Invalid value: {value}: {why}"));
}

pub(super) fn numbers(parallelism: i32, initial: i64, max: i64, errors: &mut Errors) {
    if parallelism <= 0 {
        invalid("parallelism", parallelism, "should be an integer value greater than zero", errors);
    }
    if initial <= 0 {
        invalid("podInitialBackoffSeconds", initial, "must be greater than 0", errors);
    }
    if max < initial {
        let why = "must be greater than or equal to PodInitialBackoffSeconds";
        invalid("podMaxBackoffSeconds", max, why, errors);
    }
}

pub(super) fn duplicate_args(profiles: &[FileProfile], errors: &mut Errors) {
    for (at, profile) in profiles.iter().enumerate() {
        let mut seen = HashSet::new();
        for (index, config) in profile.plugin_config.iter().enumerate() {
            let path = format!("profiles[{at}].pluginConfig[{index}]");
            if !seen.insert(&config.name) {
                errors.push(format!("{path}: Duplicate value: {:?}", config.name));
            }
            removed(&path, &config.name, errors);
        }
    }
}

fn removed(path: &str, plugin: &str, errors: &mut Errors) {
    if REMOVED.contains(&plugin) {
        let version = super::API_VERSION;
        let why = format!("was invalid in version {version:?} (KubeSchedulerConfiguration is version {version:?})");
        invalid(path, format!("{plugin:?}"), &why, errors);
    }
}

fn percentage(path: &str, value: Option<i32>, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| !(0..=100).contains(value)) {
        invalid(path, value, "not in valid range [0-100]", errors);
    }
}

pub(super) fn check(config: &Config, errors: &mut Errors) {
    for (at, profile) in config.profiles.iter().enumerate() {
        let path = format!("profiles[{at}]");
        if profile.scheduler_name.is_empty() {
            errors.push(format!("{path}.schedulerName: Required value"));
        }
        if let Some(first) = config.profiles[..at].iter().position(|p| p.scheduler_name == profile.scheduler_name) {
            errors.push(format!("{path}.schedulerName: Duplicate value: \"profiles[{first}].schedulerName\""));
        }
        percentage(&format!("{path}.percentageOfNodesToScore"), profile.percentage_of_nodes_to_score, errors);
        points(&path, &profile.plugins, errors);
        arguments(&path, &profile.args, errors);
        let sort = |plugins: &Plugins| plugins.0.get("queueSort").cloned().unwrap_or_default();
        if sort(&profile.plugins) != sort(&config.profiles[0].plugins) {
            errors.push(format!("{path}.plugins.queueSort: Invalid value: must be the same for all profiles"));
        }
    }
    percentage("percentageOfNodesToScore", Some(config.percentage_of_nodes_to_score), errors);
    extenders(&config.extenders, errors);
}

fn points(path: &str, plugins: &Plugins, errors: &mut Errors) {
    let known: HashSet<_> = super::plugins::POINTS.iter().map(|(point, _)| *point).collect();
    for (point, set) in &plugins.0 {
        if point != "multiPoint" && !known.contains(point.as_str()) {
            errors.push(format!("{path}.plugins: unknown field {point:?}"));
        }
        for (index, plugin) in set.enabled.iter().enumerate() {
            removed(&format!("{path}.plugins.{point}.enabled[{index}]"), &plugin.name, errors);
        }
    }
}

fn arguments(path: &str, args: &PluginArgs, errors: &mut Errors) {
    let path = |plugin: &str, field: &str| format!("{path}.pluginConfig[{plugin}].args.{field}");
    let preemption = &args.default_preemption;
    let (percent, absolute) = (preemption.min_candidate_nodes_percentage, preemption.min_candidate_nodes_absolute);
    let percent_path = path("DefaultPreemption", "minCandidateNodesPercentage");
    let absolute_path = path("DefaultPreemption", "minCandidateNodesAbsolute");
    if !(0..=100).contains(&percent) {
        invalid(&percent_path, percent, "not in valid range [0, 100]", errors);
    }
    if absolute < 0 {
        invalid(&absolute_path, absolute, "not in valid range [0, inf)", errors);
    }
    if percent == 0 && absolute == 0 {
        invalid(&percent_path, 0, "cannot be zero at the same time as minCandidateNodesAbsolute", errors);
        invalid(&absolute_path, 0, "cannot be zero at the same time as minCandidateNodesPercentage", errors);
    }
    let weight = args.inter_pod_affinity.hard_pod_affinity_weight;
    if !(0..=100).contains(&weight) {
        let path = path("InterPodAffinity", "hardPodAffinityWeight");
        invalid(&path, weight, "not in valid range [0, 100]", errors);
    }
    balanced(&args.balanced_allocation.resources, &path("NodeResourcesBalancedAllocation", "resources"), errors);
    fit(args, &|field| path("NodeResourcesFit", field), errors);
    spread(args, &|field| path("PodTopologySpread", field), errors);
    shape(&args.volume_binding.shape, &path("VolumeBinding", "shape"), errors);
}

fn balanced(resources: &[ResourceSpec], path: &str, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, resource) in resources.iter().enumerate() {
        if !seen.insert(&resource.name) {
            errors.push(format!("{path}[{index}].name: Duplicate value: {:?}", resource.name));
        }
        if resource.weight != 1 {
            invalid(&format!("{path}[{index}].weight"), resource.weight, "must be 1", errors);
        }
    }
}

fn fit(args: &PluginArgs, path: &dyn Fn(&str) -> String, errors: &mut Errors) {
    let strategy = &args.node_resources_fit.scoring_strategy;
    for (index, resource) in strategy.resources.iter().enumerate() {
        if !(1..=100).contains(&resource.weight) {
            let why = format!("resource weight of {} not in valid range (0, 100]", resource.name);
            let path = path(&format!("scoringStrategy.resources[{index}].weight"));
            invalid(&path, resource.weight, &why, errors);
        }
    }
    for (index, group) in args.node_resources_fit.ignored_resource_groups.iter().enumerate() {
        if group.contains('/') {
            let path = path(&format!("ignoredResourceGroups[{index}]"));
            invalid(&path, format!("{group:?}"), "resource group name can't contain '/'", errors);
        }
    }
    let ratio = path("scoringStrategy.requestedToCapacityRatio");
    match (strategy.kind, &strategy.requested_to_capacity_ratio) {
        (StrategyType::RequestedToCapacityRatio, None) => {
            errors.push(format!("{ratio}: Required value: must be specified when type is RequestedToCapacityRatio"));
        }
        (StrategyType::RequestedToCapacityRatio, Some(given)) => {
            shape(&given.shape, &format!("{ratio}.shape"), errors);
        }
        (_, Some(_)) => {
            errors.push(format!("{ratio}: Forbidden: must be nil when type is not RequestedToCapacityRatio"));
        }
        (_, None) => {}
    }
}

fn shape(points: &[UtilizationShapePoint], path: &str, errors: &mut Errors) {
    if points.is_empty() {
        errors.push(format!("{path}: Required value: at least one point must be specified"));
    }
    let unsorted = points.windows(2).position(|pair| pair[0].utilization >= pair[1].utilization);
    if let Some(at) = unsorted.map(|at| at + 1) {
        let path = format!("{path}[{at}].utilization");
        invalid(&path, points[at].utilization, "values must be sorted in increasing order", errors);
    }
    for (at, point) in points.iter().enumerate() {
        if !(0..=100).contains(&point.utilization) {
            let path = format!("{path}[{at}].utilization");
            invalid(&path, point.utilization, "not in valid range [0, 100]", errors);
        }
        if !(0..=10).contains(&point.score) {
            invalid(&format!("{path}[{at}].score"), point.score, "not in valid range [0, 10]", errors);
        }
    }
}

fn spread(args: &PluginArgs, path: &dyn Fn(&str) -> String, errors: &mut Errors) {
    let args = &args.pod_topology_spread;
    if args.defaulting_type == Defaulting::System && !args.default_constraints.is_empty() {
        let path = path("defaultingType");
        invalid(&path, "\"System\"", "when .defaultConstraints are not empty", errors);
    }
    for (index, constraint) in args.default_constraints.iter().enumerate() {
        let path = path(&format!("defaultConstraints[{index}]"));
        if constraint.max_skew <= 0 {
            invalid(&format!("{path}.maxSkew"), constraint.max_skew, "not in valid range (0, inf)", errors);
        }
        if constraint.topology_key.is_empty() {
            errors.push(format!("{path}.topologyKey: Required value: can not be empty"));
        }
        match constraint.when_unsatisfiable.as_str() {
            "" => errors.push(format!("{path}.whenUnsatisfiable: Required value: can not be empty")),
            "DoNotSchedule" | "ScheduleAnyway" => {}
            other => errors.push(format!(
                "{path}.whenUnsatisfiable: Unsupported value: {other:?}: supported values: \"DoNotSchedule\", \"ScheduleAnyway\""
            )),
        }
        if constraint.label_selector.is_some() {
            let why = "constraint must not define a selector, as they deduced for each pod";
            errors.push(format!("{path}.labelSelector: Forbidden: {why}"));
        }
        let same = |other: &&k8s_openapi::api::core::v1::TopologySpreadConstraint| {
            other.topology_key == constraint.topology_key && other.when_unsatisfiable == constraint.when_unsatisfiable
        };
        if args.default_constraints[..index].iter().any(|other| same(&other)) {
            let (key, action) = (&constraint.topology_key, &constraint.when_unsatisfiable);
            errors.push(format!("{path}: Duplicate value: \"{{{key}, {action}}}\""));
        }
    }
}

fn extenders(extenders: &[ExtenderConfig], errors: &mut Errors) {
    let mut managed = HashSet::new();
    for (at, extender) in extenders.iter().enumerate() {
        let path = format!("extenders[{at}]");
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            invalid(&format!("{path}.weight"), extender.weight, "must have a positive weight applied to it", errors);
        }
        for (index, resource) in extender.managed_resources.iter().enumerate() {
            let (path, name) = (format!("{path}.managedResources[{index}].name"), format!("{:?}", resource.name));
            let faults = is_qualified_name(&resource.name);
            for fault in &faults {
                invalid(&path, &name, fault, errors);
            }
            if faults.is_empty() && !is_extended(&resource.name) {
                invalid(&path, &name, "is an invalid extended resource name", errors);
            }
            if !managed.insert(&resource.name) {
                invalid(&path, &name, "duplicate extender managed resource name", errors);
            }
        }
    }
    let binders = extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("\"found {binders} extenders implementing bind\"");
        invalid("extenders", found, "only one extender can implement bind", errors);
    }
}
