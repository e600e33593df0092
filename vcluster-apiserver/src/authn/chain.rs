//! The schemes in order, the group that everyone known is in, and what becomes of those who show nothing.

use super::{Authenticator, Outcome, Peer, user};
use crate::request::UserInfo;
use async_trait::async_trait;
use std::sync::Arc;

/// Asks each scheme until one accepts. When none does and one was tried, the request fails; when none was tried it is
/// anonymous, or unauthenticated where anonymous requests are off.
pub struct Chain {
    schemes: Vec<Arc<dyn Authenticator>>,
    anonymous: bool,
}

impl Chain {
    /// Upstream's order: front proxy, client certificates, bearer tokens.
    pub fn new(schemes: Vec<Arc<dyn Authenticator>>, anonymous: bool) -> Self {
        Self { schemes, anonymous }
    }
}

/// The user of requests without credentials.
pub fn anonymous() -> UserInfo {
    UserInfo { name: user::ANONYMOUS.to_owned(), groups: vec![user::UNAUTHENTICATED.to_owned()], ..UserInfo::default() }
}

/// Adds `system:authenticated` to a user who proved who it is.
pub fn with_authenticated_group(mut info: UserInfo) -> UserInfo {
    let known = |g: &String| g == user::AUTHENTICATED || g == user::UNAUTHENTICATED;
    if info.name != user::ANONYMOUS && !info.groups.iter().any(known) {
        info.groups.push(user::AUTHENTICATED.to_owned());
    }
    info
}

#[async_trait]
impl Authenticator for Chain {
    async fn authenticate(&self, peer: &Peer, headers: &http::HeaderMap) -> Outcome {
        let mut failures = Vec::new();
        for scheme in &self.schemes {
            match scheme.authenticate(peer, headers).await {
                Outcome::NotRequested => {}
                Outcome::Authenticated { user, audiences } => {
                    return Outcome::Authenticated { user: with_authenticated_group(user), audiences };
                }
                Outcome::Failed(why) => failures.push(why),
            }
        }
        match (failures.is_empty(), self.anonymous) {
            (true, true) => Outcome::Authenticated { user: anonymous(), audiences: Vec::new() },
            (true, false) => Outcome::NotRequested,
            (false, _) => Outcome::Failed(failures.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(Outcome);

    #[async_trait]
    impl Authenticator for Says {
        async fn authenticate(&self, _: &Peer, _: &http::HeaderMap) -> Outcome {
            self.0.clone()
        }
    }

    fn accepts(name: &str) -> Outcome {
        let user = UserInfo { name: name.into(), ..UserInfo::default() };
        Outcome::Authenticated { user, audiences: Vec::new() }
    }

    async fn ask(outcomes: &[Outcome], anonymous: bool) -> Outcome {
        let schemes = outcomes.iter().map(|o| Arc::new(Says(o.clone())) as Arc<dyn Authenticator>).collect();
        Chain::new(schemes, anonymous).authenticate(&Peer::default(), &http::HeaderMap::new()).await
    }

    #[tokio::test]
    async fn the_first_acceptance_wins_and_wrong_credentials_are_never_anonymous() {
        let failed = Outcome::Failed("bad".into());
        let Outcome::Authenticated { user, .. } = ask(&[failed.clone(), accepts("jane"), accepts("joe")], true).await
        else {
            panic!("jane was accepted");
        };
        assert_eq!((user.name.as_str(), user.groups), ("jane", vec![user::AUTHENTICATED.to_owned()]));
        assert_eq!(ask(&[failed.clone(), Outcome::NotRequested], true).await, failed);
        let nobody = Outcome::Authenticated { user: anonymous(), audiences: Vec::new() };
        assert_eq!(ask(&[Outcome::NotRequested], true).await, nobody);
        assert_eq!(ask(&[Outcome::NotRequested], false).await, Outcome::NotRequested);
    }
}
