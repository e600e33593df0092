//! What is known about a request before anything is done with it: who, what, how it wants its answer.

pub mod body;
pub mod cx;
pub mod info;
pub mod negotiate;
pub mod options;
pub mod query;

pub use cx::{RequestCx, UserInfo};
pub use info::RequestInfo;
