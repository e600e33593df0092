//! Tests of the product on a real host, with unmodified kubectl and helm: what a user does, asserted.
//!
//! They need a host cluster with Coracle installed (KUBECONFIG), the `coracle` program (CORACLE) and upstream's kubectl and helm in
//! PATH; `cargo xtask test` provides all of them and runs the tests, which are ignored otherwise. CORACLE_IMAGE has the
//! tenants run another image than the operator names. Every test makes
//! its own tenant in its own host namespace and removes both, so that one failing test says nothing about another.
//! This crate links nothing of the product: it knows what a user knows.

pub mod cluster;
pub mod process;
pub mod proxy;
pub mod snapshot;
pub mod tenant;
pub mod wait;
pub mod writers;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use tenant::Tenant;
pub use wait::eventually;
pub use writers::Writers;

/// Serves HTTP, names itself, and has curl and dig.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.66.1";
/// A shell and its usual programs.
pub const BUSYBOX: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2";
