//! The scheduler of a tenant cluster: upstream's kube-scheduler framework with its default plugins.
//!
//! Informer events feed a [`cache`] of nodes and a [`queue`] of pods. One cycle takes one pod, reads an immutable
//! [`snapshot`], asks the plugins of the [`profile`] and decides; the decision is pure. Extenders are asked between its parts. [`bind`]
//! alone writes to the API.
//!
//! It refuses to poll, to let a plugin do I/O, and to keep state that a restart would lose.

pub mod bind;
pub mod cache;
pub mod catalog;
pub mod change;
pub mod config;
pub mod cycle;
pub mod framework;
pub mod pod;
pub mod profile;
pub mod queue;
pub mod resources;
pub mod snapshot;

mod event;
mod extender;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod measure_tests;
mod node_order;
mod node_selection;
mod plugin;
mod run;
mod selection;
mod storage;
mod taints;
#[cfg(test)]
mod testing;

pub use config::Config;
pub use run::{Deps, run};
