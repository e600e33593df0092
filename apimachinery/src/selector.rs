//! Label selectors and field selectors, as they stand in query parameters and in objects.

pub mod field;
pub mod label;

pub use field::FieldSelector;
pub use label::LabelSelector;
