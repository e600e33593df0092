//! Files as users write them, and what becomes of them.

use super::*;
use proptest::prelude::*;

fn read(rest: &str) -> Result<Config, ConfigError> {
    Config::read(&format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{rest}"))
}

fn names(config: &Config, point: &str) -> String {
    let entries = config.profiles[0].plugins.at(point).unwrap();
    let text = |entry: &PluginEntry| {
        if entry.weight > 1 { format!("{}*{}", entry.name, entry.weight) } else { entry.name.clone() }
    };
    entries.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_empty_file_is_the_default() {
    let config = read("").unwrap();
    assert_eq!(Config { hosted_volumes: true, ..config.clone() }, Config::default());
    let scores = "TaintToleration*3 NodeAffinity*2 NodeResourcesFit VolumeBinding PodTopologySpread*2 InterPodAffinity*2 NodeResourcesBalancedAllocation ImageLocality";
    assert_eq!(names(&config, "score"), scores);
    assert_eq!(names(&config, "preEnqueue"), "SchedulingGates DynamicResources*2 DefaultPreemption");
    assert_eq!(names(&config, "postFilter"), "DynamicResources*2 DefaultPreemption");
}

/// Pictures of `TestMergePlugins` and of the expansion of `multiPoint`.
#[test]
fn plugins_are_merged() {
    let cases = [
        (
            "{multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: NodeName}, {name: NodePorts}, {name: DefaultBinder}]}}",
            "filter",
            "NodeName NodePorts",
        ),
        ("{score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 7}]}}", "score", "ImageLocality*7"),
        (
            "{score: {enabled: [{name: ImageLocality, weight: 7}], disabled: [{name: NodeAffinity}]}}",
            "score",
            "ImageLocality*7 TaintToleration*3 NodeResourcesFit VolumeBinding PodTopologySpread*2 InterPodAffinity*2 NodeResourcesBalancedAllocation",
        ),
        (
            "{multiPoint: {enabled: [{name: NodeAffinity, weight: 5}], disabled: [{name: InterPodAffinity}, {name: VolumeBinding}]}}",
            "score",
            "TaintToleration*3 NodeAffinity*5 NodeResourcesFit PodTopologySpread*2 NodeResourcesBalancedAllocation ImageLocality",
        ),
    ];
    for (plugins, point, expected) in cases {
        let config = read(&format!("profiles:\n- plugins: {plugins}\n")).unwrap();
        assert_eq!(names(&config, point), expected, "{plugins}");
    }
}

#[test]
fn arguments_have_defaults() {
    let config = read(
        "profiles:\n- pluginConfig:\n  - name: NodeResourcesFit\n    args:\n      apiVersion: kubescheduler.config.k8s.io/v1\n      kind: NodeResourcesFitArgs\n      scoringStrategy: {type: MostAllocated, resources: [{name: example.com/gpu}]}\n  - name: InterPodAffinity\n    args: {hardPodAffinityWeight: 5}\n",
    )
    .unwrap();
    let args = &config.profiles[0].args;
    let strategy = &args.node_resources_fit.scoring_strategy;
    assert_eq!((strategy.kind, strategy.resources[0].weight), (args::StrategyType::MostAllocated, 1));
    assert_eq!(args.inter_pod_affinity.hard_pod_affinity_weight, 5);
    assert_eq!(args.volume_binding.bind_timeout_seconds, 600);
}

#[test]
fn what_is_refused() {
    let cases = [
        ("nonsense: 1\n", "nonsense"),
        ("parallelism: 0\n", "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        ("podInitialBackoffSeconds: 0\n", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        ("percentageOfNodesToScore: 101\n", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        (
            "profiles: [{schedulerName: a}, {schedulerName: a}]\n",
            "profiles[1].schedulerName: Duplicate value: \"profiles[0].schedulerName\"",
        ),
        ("profiles: [{schedulerName: a}, {}]\n", "profiles[1].schedulerName: Required value"),
        (
            "profiles: [{pluginConfig: [{name: DefaultPreemption, args: {minCandidateNodesPercentage: 200}}]}]\n",
            "Invalid value: 200: not in valid range [0, 100]",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeName}, {name: NodeName}]}]\n",
            "profiles[0].pluginConfig[1]: Duplicate value: \"NodeName\"",
        ),
        (
            "extenders: [{urlPrefix: 'http://e', prioritizeVerb: p}]\n",
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        ),
        (
            "extenders: [{urlPrefix: 'http://e', bindVerb: b}, {urlPrefix: 'http://f', bindVerb: b}]\n",
            "extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind",
        ),
        (
            "profiles: [{plugins: {multiPoint: {disabled: [{name: DefaultBinder}]}}}]\n",
            "at least one bind plugin is needed for profile with scheduler name \"default-scheduler\"",
        ),
        ("profiles: [{plugins: {filter: {enabled: [{name: Unknown}]}}}]\n", "filter plugin \"Unknown\" does not exist"),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: ImageLocality}]}}}]\n",
            "plugin \"ImageLocality\" does not extend filter plugin",
        ),
        (
            "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 1, topologyKey: k, whenUnsatisfiable: DoNotSchedule}]}}]}]\n",
            "Invalid value: \"System\": when .defaultConstraints are not empty",
        ),
    ];
    for (rest, expected) in cases {
        let error = read(rest).expect_err(rest).to_string();
        assert!(error.contains(expected), "{rest}: {error}");
    }
    assert!(matches!(
        Config::read("apiVersion: v1\nkind: Pod\n"),
        Err(ConfigError::File(ConfigurationError::Kind { .. }))
    ));
}

proptest! {
    /// Whatever stands in the file, it is read or refused.
    #[test]
    fn any_text_is_read_or_refused(field in "[a-zA-Z]{0,24}", value in ".{0,60}") {
        let _read_or_refused = Config::read(&value);
        let _read_or_refused = read(&format!("{field}: {value}\n"));
        let _read_or_refused = read(&format!("profiles: [{{{field}: {value}}}]\n"));
        let _read_or_refused = crate::extender::duration(&value);
    }

    #[test]
    fn any_duration_is_read_or_refused(text in "([0-9.]{0,30}(h|m|s|ms)?){0,4}") {
        let _read_or_refused = crate::extender::duration(&text);
    }
}
