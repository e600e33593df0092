//! How a scheduler is told to behave: upstream's `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`
//! (`k8s.io/kube-scheduler/config/v1/types.go`). Fields are read strictly; what is left out has upstream's defaults.
//!
//! It refuses plugins that are not compiled in, and settings of placements and pod groups, which are off upstream.

pub mod args;
mod plugins;
mod validation;

pub use plugins::{PluginEntry, PluginSet, Plugins};

use schema::configuration::{self, ConfigurationError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// Nothing waits longer than a year (seconds): longer times cannot be added to the present.
pub(crate) const LONGEST: u64 = 365 * 24 * 3600;
pub(crate) const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// What can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How many threads judge the nodes of a large cluster.
    pub parallelism: usize,
    /// Of the nodes, how many per cent must be feasible before the search ends; 0 lets the size of the cluster decide.
    pub percentage_of_nodes_to_score: i32,
    pub pod_initial_backoff: Duration,
    pub pod_max_backoff: Duration,
    /// At least one, each with another name.
    pub profiles: Vec<ProfileConfig>,
    pub extenders: Vec<ExtenderConfig>,
    /// Volumes are provisioned on a host cluster after the pod is bound: claims that wait for their first consumer do
    /// not hold the pod up, and volumes that are unknown here are taken to be known there. Not in upstream's file.
    pub hosted_volumes: bool,
}

/// One scheduler of those that the process plays.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileConfig {
    /// Pods that name this scheduler are scheduled, and events carry it.
    pub scheduler_name: String,
    /// Overrides [`Config::percentage_of_nodes_to_score`].
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Merged with the defaults.
    pub plugins: Plugins,
    pub args: args::PluginArgs,
}

/// An HTTP service that has a say (`Extender`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtenderConfig {
    pub url_prefix: String,
    pub filter_verb: String,
    pub preempt_verb: String,
    pub prioritize_verb: String,
    pub weight: i64,
    pub bind_verb: String,
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    pub tls_config: Option<ExtenderTls>,
    /// As Go writes durations; 5 s if empty or zero.
    pub http_timeout: String,
    /// It knows the nodes itself and is sent only their names.
    pub node_cache_capable: bool,
    /// If not empty, only pods that ask for one of these are its business.
    pub managed_resources: Vec<ManagedResource>,
    /// Its errors do not keep pods from being scheduled.
    pub ignorable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ManagedResource {
    pub name: String,
    /// Nodes are not asked whether they have it.
    pub ignored_by_scheduler: bool,
}

/// Files are PEM; data is base64 of PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtenderTls {
    pub insecure: bool,
    pub server_name: String,
    pub cert_file: String,
    pub key_file: String,
    #[serde(rename = "caFile")]
    pub ca_file: String,
    pub cert_data: String,
    pub key_data: String,
    #[serde(rename = "caData")]
    pub ca_data: String,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the scheduler's configuration: {0}")]
    File(#[from] ConfigurationError),
    #[error("decoding .profiles[{profile}].pluginConfig[{index}]: decoding args for plugin {plugin}: {message}")]
    Args { profile: usize, index: usize, plugin: String, message: String },
    #[error("{}", .0.join(", "))]
    Invalid(Vec<String>),
    /// The plugins of a profile do not make a scheduler.
    #[error("initializing profile {scheduler:?}: {message}")]
    Profile { scheduler: String, message: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    parallelism: Option<i32>,
    /// The process that embeds the scheduler elects and connects; these are read and left.
    #[serde(default, rename = "leaderElection")]
    _leader_election: Map<String, Value>,
    #[serde(default, rename = "clientConnection")]
    _client_connection: Map<String, Value>,
    #[serde(rename = "enableProfiling")]
    _enable_profiling: Option<bool>,
    #[serde(rename = "enableContentionProfiling")]
    _enable_contention_profiling: Option<bool>,
    percentage_of_nodes_to_score: Option<i32>,
    pod_initial_backoff_seconds: Option<i64>,
    pod_max_backoff_seconds: Option<i64>,
    #[serde(default)]
    profiles: Vec<FileProfile>,
    #[serde(default)]
    extenders: Vec<ExtenderConfig>,
    #[serde(default, rename = "delayCacheUntilActive")]
    _delay_cache_until_active: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileProfile {
    scheduler_name: Option<String>,
    percentage_of_nodes_to_score: Option<i32>,
    plugins: Option<Plugins>,
    #[serde(default)]
    plugin_config: Vec<FileArgs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileArgs {
    name: String,
    #[serde(default)]
    args: Value,
}

impl Default for Config {
    fn default() -> Self {
        let profile = ProfileConfig {
            scheduler_name: DEFAULT_SCHEDULER.to_owned(),
            percentage_of_nodes_to_score: None,
            plugins: Plugins::merged(None),
            args: args::PluginArgs::default(),
        };
        Self {
            parallelism: 16,
            percentage_of_nodes_to_score: 0,
            pod_initial_backoff: Duration::from_secs(1),
            pod_max_backoff: Duration::from_secs(10),
            profiles: vec![profile],
            extenders: Vec::new(),
            hosted_volumes: true,
        }
    }
}

impl Config {
    /// Reads a `KubeSchedulerConfiguration` in YAML or JSON.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let file: File = configuration::read(text, API_VERSION, KIND)?;
        let mut invalid = Vec::new();
        let mut profiles = if file.profiles.is_empty() { vec![FileProfile::default()] } else { file.profiles };
        if let [only] = &mut profiles[..] {
            only.scheduler_name.get_or_insert_with(|| DEFAULT_SCHEDULER.to_owned());
        }
        validation::duplicate_args(&profiles, &mut invalid);
        let mut read = Vec::new();
        for (index, profile) in profiles.into_iter().enumerate() {
            read.push(ProfileConfig {
                scheduler_name: profile.scheduler_name.unwrap_or_default(),
                percentage_of_nodes_to_score: profile.percentage_of_nodes_to_score,
                plugins: Plugins::merged(profile.plugins.as_ref()),
                args: plugin_args(index, profile.plugin_config)?,
            });
        }
        let parallelism = file.parallelism.unwrap_or(16);
        let initial = file.pod_initial_backoff_seconds.unwrap_or(1);
        let max = file.pod_max_backoff_seconds.unwrap_or(10);
        validation::numbers(parallelism, initial, max, &mut invalid);
        let config = Self {
            parallelism: usize::try_from(parallelism).unwrap_or(1),
            percentage_of_nodes_to_score: file.percentage_of_nodes_to_score.unwrap_or(0),
            pod_initial_backoff: Duration::from_secs(initial.unsigned_abs().min(LONGEST)),
            pod_max_backoff: Duration::from_secs(max.unsigned_abs().min(LONGEST)),
            profiles: read,
            extenders: file.extenders,
            hosted_volumes: false,
        };
        validation::check(&config, &mut invalid);
        if !invalid.is_empty() {
            return Err(ConfigError::Invalid(invalid));
        }
        crate::profile::Profile::all(&config)?;
        Ok(config)
    }
}

fn plugin_args(profile: usize, given: Vec<FileArgs>) -> Result<args::PluginArgs, ConfigError> {
    let mut all = args::PluginArgs::default();
    for (index, FileArgs { name, args }) in given.into_iter().enumerate() {
        all.set(&name, args).map_err(|message| ConfigError::Args { profile, index, plugin: name, message })?;
    }
    Ok(all)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
