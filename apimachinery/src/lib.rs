//! What every part of Coracle shares about Kubernetes objects, and nothing that does I/O.
//!
//! Kinds and resources ([`gvk`]), objects as JSON trees ([`object`]) and as bytes with a parsed head ([`head`]),
//! `metav1.Status` ([`status`]), field paths and validation errors ([`field`]), selectors ([`selector`]), and the two
//! things that pure code must be handed from outside: time and randomness ([`clock`]).
//!
//! Invariant: no tokio, no sockets, no files, no system clock in here except [`clock::SystemClock`].

pub mod clock;
pub mod field;
pub mod gvk;
pub mod object;
pub mod status;

pub use gvk::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use object::Object;
pub use status::Status;
