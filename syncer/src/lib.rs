//! Runs a tenant's pods on the host's kubelets: what the tenant wants goes down, what the host decides comes up.
//!
//! - Translators are pure, one file per kind: `to_host` says what the copy looks like, `plan` what to write where.
//! - One engine ([`run`]) does all reads, writes and retries; it keeps nothing that the objects themselves do not say.
//! - [`HostServices`] decides a Service's address before the tenant's API server commits it.
//! - [`HostStreams`] carries logs, exec, attach and port-forward to the host.
//!
//! Ownership is per field: the tenant owns desired state, the host owns status and what it allocates. All host copies
//! live in one namespace, are named by one function ([`host_name`]) and recognised by their record ([`marks`]). Tenant
//! state is never deleted because a host object vanished, pods excepted, as a node's loss would.

mod claim;
mod config;
mod configmap;
mod converge;
mod decision;
mod difference;
mod endpointslice;
mod engine;
mod event;
mod kind;
pub mod marks;
mod names;
mod node;
mod pod;
mod references;
mod reservation;
mod scrub;
mod secret;
mod service;
mod service_env;
mod step;
mod storageclass;
mod streams;
mod volume;

pub use config::{Config, Limits};
pub use decision::Decision;
pub use engine::{Deps, run};
pub use names::host_name;
pub use reservation::{Error as ReservationError, HostServices, Releases};
pub use streams::{Error as StreamError, HostStreams};
