//! The commands that people type; they talk to the host cluster of the current kubeconfig.

pub mod connect;
pub mod create;
pub mod delete;
pub mod describe;
pub mod kubeconfig;
pub mod list;
pub mod print;
mod tenant;
mod wait;
