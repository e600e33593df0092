//! Tokens known beforehand: those of the server's own components, drawn at start, and of a token file.

use super::{Outcome, TokenAuthenticator};
use crate::pki::{self, key};
use crate::request::UserInfo;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Users by the hash of their token, so that comparing takes no time that depends on a token.
#[derive(Debug, Default)]
pub struct StaticTokens {
    users: HashMap<[u8; 32], UserInfo>,
}

impl StaticTokens {
    pub fn insert(&mut self, token: &str, user: UserInfo) {
        self.users.insert(Sha256::digest(token).into(), user);
    }

    /// Adds a user with a new random token of 256 bits and returns the token.
    pub fn draw(&mut self, user: UserInfo) -> Result<String, pki::Error> {
        let token = URL_SAFE_NO_PAD.encode(key::random::<32>()?);
        self.insert(&token, user);
        Ok(token)
    }
}

#[async_trait]
impl TokenAuthenticator for StaticTokens {
    async fn authenticate_token(&self, token: &str, _: &[String]) -> Outcome {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.users
            .get(&digest)
            .map_or(Outcome::NotRequested, |user| Outcome::Authenticated { user: user.clone(), audiences: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_names_its_user_and_no_other() {
        let mut tokens = StaticTokens::default();
        let user = UserInfo { name: "system:apiserver".into(), ..UserInfo::default() };
        let token = tokens.draw(user.clone()).unwrap();
        let accepted = Outcome::Authenticated { user, audiences: Vec::new() };
        assert_eq!(tokens.authenticate_token(&token, &[]).await, accepted);
        assert_eq!(tokens.authenticate_token("", &[]).await, Outcome::NotRequested);
        assert_ne!(token, tokens.draw(UserInfo::default()).unwrap());
    }
}
