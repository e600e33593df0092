//! What is served: one [`Resource`](resource::Resource) per (group, version, plural), data plus a [`Strategy`](strategy::Strategy).

pub mod strategy;
