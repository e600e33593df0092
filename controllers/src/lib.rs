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

mod cluster_role_aggregation;
mod conditions;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod driver;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod garbage_collector;
mod history;
mod int_or_percent;
mod job;
mod meta;
mod monitors;
mod namespace;
mod node_lifecycle;
mod ownership;
mod pod_gc;
mod pods;
mod replica_set;
mod resource_quota;
mod root_ca;
mod run;
mod selector;
mod semantic;
mod service_account;
mod services;
mod stateful_set;
mod taint_eviction;
mod ttl_after_finished;
mod volume_protection;

pub use health::{Health, Report};
pub use run::{Clients, Config, Deps, run};

#[cfg(test)]
mod simulator;
