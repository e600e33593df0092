//! Jobs: what they must be, and what of them may change (k8s.io/kubernetes `pkg/apis/batch`).

pub mod indexes;
pub mod rules;
pub mod status;
pub mod update;
