//! Server-side apply: who owns which field of an object, and merging what one owner declares into what others did
//! (k8s.io/apimachinery `pkg/util/managedfields`, sigs.k8s.io/structured-merge-diff).
//!
//! [`managed::update`] records a plain write, [`managed::apply`] merges a declared one. Ownership recorded at another
//! version of a kind is read with the names of the version at hand; fields are not converted.

mod combine;
mod compare;
mod element;
mod field_set;
pub mod managed;
mod remove;
mod set;
mod typed;

pub use compare::{Difference, compare};
pub use element::Element;
pub use field_set::field_set;
pub use set::Set;
pub use typed::validate;
