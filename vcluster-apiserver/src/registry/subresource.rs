//! Subresources: views of an object that change a part of it ([`facet`]), and those that do something of their own.

pub mod binding;
pub mod condition;
pub mod eviction;
pub mod facet;
pub mod scale;
