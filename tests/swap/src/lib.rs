//! Component swap: upstream's API server, controllers and scheduler, and ours, in every mixture, under one scenario.
//!
//! A mixture is a row of the table in `tests/table.rs`. It is a whole control plane with [`kubelet`] in the place of nodes: pods
//! become Running without anything being run, so that no host is needed, only upstream's programs in PATH
//! (`cargo xtask upstream minimal`) and ours in `CORACLE`.
//!
//! Nothing here knows which side serves what: a scenario that holds in one row and fails in another has found a difference.

pub mod api;
pub mod components;
pub mod keys;
pub mod kubelet;
pub mod process;
pub mod scenario;
