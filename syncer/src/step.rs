//! What a plan consists of: writes as data. Plans are pure; the engine performs them in order.

use crate::kind::Kind;
use crate::pod::projection::TokenRequest;
use serde_json::Value;
use std::time::Duration;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Server-side apply of a whole object under our manager name. A `metadata.uid` in it is a precondition.
    HostApply {
        kind: Kind,
        object: Value,
    },
    /// Server-side apply of a subresource under our manager name.
    HostApplyStatus {
        kind: Kind,
        object: Value,
    },
    /// Strategic merge patch of a host object's subresource.
    HostPatch {
        kind: Kind,
        name: String,
        subresource: &'static str,
        patch: Value,
    },
    HostDelete {
        kind: Kind,
        name: String,
        uid: String,
        grace: Option<i64>,
    },
    VirtCreate {
        kind: Kind,
        namespace: String,
        object: Value,
    },
    /// JSON merge patch; `subresource` is empty for the object itself.
    VirtPatch {
        kind: Kind,
        namespace: String,
        name: String,
        subresource: &'static str,
        patch: Value,
    },
    VirtDelete {
        kind: Kind,
        namespace: String,
        name: String,
        uid: String,
        grace: Option<i64>,
    },
    /// Asks the tenant for tokens and puts them into the host Secret that `secret` describes.
    Mint {
        namespace: String,
        service_account: String,
        pod: String,
        uid: String,
        tokens: Vec<TokenRequest>,
        secret: Value,
    },
}

/// What to do about one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// When to look again without being told.
    pub(crate) again: Option<Duration>,
    /// What the tenant should hear about its object, as an Event of type Warning.
    pub(crate) warning: Option<String>,
}

impl Plan {
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    pub(crate) fn of(steps: Vec<Step>) -> Self {
        Self { steps, ..Self::default() }
    }

    pub(crate) fn after(again: Duration) -> Self {
        Self { again: Some(again), ..Self::default() }
    }

    pub(crate) fn warn(warning: impl Into<String>) -> Self {
        Self { warning: Some(warning.into()), ..Self::default() }
    }
}
