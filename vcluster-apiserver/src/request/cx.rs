//! The context that goes first into every operation: who asks, and what the answer must carry besides its body.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Who a request acts as (k8s.io/apiserver `pkg/authentication/user`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// One request's identity and the warnings collected for its answer. Cheap to clone; clones share the warnings.
#[derive(Clone, Debug, Default)]
pub struct RequestCx {
    pub user: Arc<UserInfo>,
    pub audit_id: Arc<str>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl RequestCx {
    pub fn new(user: UserInfo, audit_id: &str) -> Self {
        Self { user: Arc::new(user), audit_id: audit_id.into(), warnings: Arc::default() }
    }

    /// Adds a `Warning: 299` header to the answer; repeated texts are sent once.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
