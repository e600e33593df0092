//! The operator: one `TenantCluster` becomes one control plane pod and what stands around it.
//!
//! [`api`] is the custom resource, [`desired`] turns it into host objects (pure), [`status`] turns what is observed into
//! conditions (pure), [`controller`] watches, applies and cleans up. Nothing here talks to a tenant's API: the tenant
//! process reports about itself in a ConfigMap ([`report`]).

pub mod api;
pub mod apply;
pub mod cleanup;
pub mod controller;
pub mod desired;
pub mod observed;
pub mod pki;
pub mod report;
pub mod status;

pub use api::TenantCluster;
