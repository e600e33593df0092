//! What the server itself puts into an empty cluster.

pub mod rbac;
