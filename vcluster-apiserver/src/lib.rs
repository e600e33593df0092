//! The API server of a tenant, as a library.
//!
//! A request goes through one chain ([`server`]): TLS, audit id, panic guard, request info ([`request`]), deadline,
//! warnings, authentication ([`authn`]), impersonation, authorization ([`authz`]), dispatch to (resource, verb)
//! ([`api`]). Kinds are data plus a small [`registry::strategy::Strategy`]; verbs are generic. Admission ([`admission`])
//! is no layer: it runs inside the verbs that write.

pub mod admission;
pub mod api;
pub mod audit;
pub mod authn;
pub mod authz;
pub mod backend;
pub mod bootstrap;
pub mod discovery;
pub mod encryption;
pub mod flowcontrol;
pub mod openapi;
pub mod outbound;
mod passing;
pub mod pki;
pub mod proxy;
pub mod registry;
pub mod remembered;
pub mod request;
pub mod reviews;
pub mod server;
pub mod testing;
pub mod upkeep;

#[cfg(test)]
mod fixture;
