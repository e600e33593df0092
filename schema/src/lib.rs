//! What upstream knows about each API type, as data, and everything that is driven by that data alone.
//!
//! The tables under `tables/` are compiled into static arrays by `build.rs`. Nothing here does I/O, reads a clock or
//! knows HTTP; nothing here is written per kind except the cells of the printed tables.

pub mod codec;
pub mod columns;
pub mod configuration;
pub mod decode;
pub mod description;
pub mod empties;
pub mod json;
pub mod ordered;
pub mod patch;
pub mod resources;
pub mod types;
pub mod yaml;

pub use decode::{DecodeError, FieldValidation, decode, normalize, type_meta};
pub use resources::{ResourceInfo, ServedVersion, SubresourceInfo, option_versions, registered, resources, served};
pub use types::{Field, Form, ListType, PatchStrategy, Scalar, Shape, Type, kind, kind_of, type_named, types};
