//! The controllers of a tenant cluster: what upstream's kube-controller-manager does, one file each.
//!
//! A controller reads the shared caches of [`informer`], decides purely, and hands its decision as a [`plan::Plan`] to the one
//! driver that owns queues, back-off, events and writes. Each acts as its own service account in `kube-system`.
//!
//! They refuse to poll, to keep state that a restart would lose, and to write when nothing changed.

pub mod api;
pub mod controller;
pub mod health;
pub mod plan;
pub mod queue;
pub mod recorder;

mod attach_detach;
mod bootstrap_tokens;
mod certificates;
mod cidr;
mod cloud;
mod cluster_role_aggregation;
mod cluster_trust_bundle;
mod conditions;
mod credentials;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod driver;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod ephemeral_volume;
mod garbage_collector;
mod history;
mod horizontal_pod_autoscaler;
mod int_or_percent;
mod job;
mod legacy_token_cleaner;
mod meta;
mod monitors;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod ownership;
mod pod_gc;
mod pods;
mod replica_set;
mod resource_claim;
mod resource_quota;
mod root_ca;
mod run;
mod selector;
mod semantic;
mod service_account;
mod service_account_token;
mod service_cidr;
mod service_load_balancer;
mod services;
mod stateful_set;
mod storage_version_migration;
mod taint_eviction;
mod ttl;
mod ttl_after_finished;
mod validating_admission_policy;
mod volume_binder;
mod volume_expander;
mod volume_protection;

pub use cloud::{CloudError, CloudProvider};
pub use credentials::{Credentials, SigningRequest};
pub use health::{Health, Report};
pub use run::{Clients, Config, Deps, run};

#[cfg(test)]
mod simulator;
