//! Authorizers that do not look: upstream's modes AlwaysAllow and AlwaysDeny, for tests and for the end of a list.

use super::{Attributes, Authorizer, Decision};
use async_trait::async_trait;

/// Says the same to everything.
pub struct Always(Decision);

impl Always {
    pub fn allow() -> Self {
        Self(Decision::Allow)
    }

    pub fn deny() -> Self {
        Self(Decision::NoOpinion("Everything is forbidden.".to_owned()))
    }
}

#[async_trait]
impl Authorizer for Always {
    async fn authorize(&self, _: &Attributes) -> Decision {
        self.0.clone()
    }
}
