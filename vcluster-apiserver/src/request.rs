//! What is known about a request before anything is done with it.

pub mod cx;

pub use cx::{RequestCx, UserInfo};
