//! Cluster DNS: the Kubernetes DNS specification 1.1 answered from the tenant's Services and EndpointSlices.
//!
//! [`names`] reads a question, [`zone`] answers it (pure), [`view`] looks things up in the shared caches, [`handler`]
//! speaks DNS, [`forward`] asks the name servers above for everything outside the cluster domain.
//!
//! Nothing is copied: an answer is made from the caches when it is asked for, and the caches answer when everything
//! else is down.

pub mod forward;
pub mod handler;
pub mod names;
pub mod server;
pub mod view;
pub mod zone;

pub use server::{Config, Server};
