//! What every part of Coracle shares about Kubernetes objects, and nothing that does I/O.
//!
//! Kinds and resources ([`gvk`]), objects as JSON trees ([`object`]) and as bytes with a parsed head ([`head`]),
//! `metav1.Status` ([`status`]), field paths and validation errors ([`field`]), the rules for names and metadata
//! ([`validation`]), selectors ([`selector`]), quantities ([`quantity`]), times and durations ([`time`]), the paging
//! token of lists ([`continue_token`]), schedules ([`cron`]), and the two things that pure code must be handed from outside: time and
//! randomness ([`clock`]).
//!
//! Invariant: no tokio, no sockets, no files, no system clock in here except [`clock::SystemClock`].

pub mod clock;
pub mod continue_token;
pub mod cron;
pub mod field;
pub mod gvk;
pub mod head;
pub mod object;
pub mod quantity;
pub mod selector;
pub mod status;
pub mod time;
pub mod validation;

pub use gvk::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use head::Head;
pub use object::Object;
pub use quantity::Quantity;
pub use status::Status;
