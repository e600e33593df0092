//! Tokens that a webhook knows (k8s.io/apiserver `plugin/pkg/authenticator/token/webhook`).

use super::{Outcome, TokenAuthenticator};
use crate::outbound::Endpoint;
use crate::remembered::Remembered;
use crate::request::UserInfo;
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// See the module.
pub struct TokenWebhook {
    endpoint: Endpoint,
    /// How long an answer holds; upstream's `--authentication-token-webhook-cache-ttl` is two minutes.
    time: Duration,
    answers: Remembered<Outcome>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl TokenWebhook {
    pub fn new(endpoint: Endpoint, time: Duration) -> Self {
        Self { endpoint, time, answers: Remembered::default() }
    }

    async fn ask(&self, review: Bytes, audiences: &[String]) -> Result<Outcome, String> {
        let (code, body) = self.endpoint.post(review, TIMEOUT).await.map_err(|e| e.to_string())?;
        if !code.is_success() {
            return Err(format!("the webhook answered {code}"));
        }
        read(&body, audiences)
    }
}

/// The outcome that a review's answer stands for.
fn read(body: &[u8], audiences: &[String]) -> Result<Outcome, String> {
    let Review { status } = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if !status.authenticated {
        return Ok(if status.error.is_empty() { Outcome::NotRequested } else { Outcome::Failed(status.error) });
    }
    // A webhook that says nothing of audiences vouches for this server's only, which is who asks with none.
    let common: Vec<String> = audiences.iter().filter(|a| status.audiences.contains(a)).cloned().collect();
    if !audiences.is_empty() && common.is_empty() {
        return Ok(if status.audiences.is_empty() {
            Outcome::NotRequested
        } else {
            Outcome::Failed("the token is for other audiences".to_owned())
        });
    }
    if status.user.username.is_empty() {
        return Err("the webhook named nobody".to_owned());
    }
    let User { username: name, uid, groups, extra } = status.user;
    Ok(Outcome::Authenticated { user: UserInfo { name, uid, groups, extra }, audiences: common })
}

#[async_trait]
impl TokenAuthenticator for TokenWebhook {
    async fn authenticate_token(&self, token: &str, audiences: &[String]) -> Outcome {
        let mut spec = json!({"token": token});
        if !audiences.is_empty() {
            spec["audiences"] = json!(audiences);
        }
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"user": {}}});
        let review = Bytes::from(review.to_string());
        let question = Remembered::<Outcome>::question(&review);
        if let Some(answer) = self.answers.get(&question) {
            return answer;
        }
        match self.ask(review, audiences).await {
            Ok(outcome) => {
                self.answers.keep(question, outcome.clone(), self.time);
                outcome
            }
            Err(why) => {
                tracing::warn!(why, "the token webhook did not answer");
                Outcome::Failed(format!("the token webhook did not answer: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::{Trust, tests::server};
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    // Upstream's cases: webhook_v1_test.go.
    #[test]
    fn answers_are_read_as_upstream_reads_them() {
        let read = |status: serde_json::Value, audiences: &[&str]| {
            let audiences: Vec<String> = audiences.iter().map(|a| (*a).to_owned()).collect();
            super::read(json!({"status": status}).to_string().as_bytes(), &audiences)
        };
        let user = json!({"username": "jane", "uid": "7", "groups": ["a"], "extra": {"k": ["v"]}});
        let Ok(Outcome::Authenticated { user: jane, audiences }) =
            read(json!({"authenticated": true, "user": user}), &[])
        else {
            panic!("refused")
        };
        assert_eq!((jane.name.as_str(), jane.extra["k"][0].as_str(), audiences.len()), ("jane", "v", 0));
        let good = json!({"authenticated": true, "user": user, "audiences": ["a", "b"]});
        let Ok(Outcome::Authenticated { audiences, .. }) = read(good.clone(), &["b", "c"]) else { panic!("refused") };
        assert_eq!(audiences, ["b"]);
        assert!(matches!(read(good, &["c"]), Ok(Outcome::Failed(_))));
        assert_eq!(read(json!({"authenticated": true, "user": user}), &["c"]), Ok(Outcome::NotRequested));
        assert_eq!(read(json!({"authenticated": false}), &[]), Ok(Outcome::NotRequested));
        assert_eq!(read(json!({"authenticated": false, "error": "no"}), &[]), Ok(Outcome::Failed("no".into())));
        assert!(read(json!({"authenticated": true}), &[]).is_err());
    }

    #[tokio::test]
    async fn an_answer_is_remembered_and_a_failure_is_not() {
        let asked = Arc::new(AtomicUsize::default());
        let count = asked.clone();
        let url = server(move |_, body| {
            count.fetch_add(1, Ordering::SeqCst);
            let review: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            match review["spec"]["token"].as_str() {
                Some("good") => {
                    (201, json!({"status": {"authenticated": true, "user": {"username": "u"}}}).to_string())
                }
                _ => (500, String::new()),
            }
        })
        .await
        .unwrap();
        let webhook = TokenWebhook::new(Endpoint::new(&url, &Trust::System).unwrap(), Duration::from_mins(2));
        for _ in 0..3 {
            assert!(matches!(webhook.authenticate_token("good", &[]).await, Outcome::Authenticated { .. }));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        for _ in 0..2 {
            assert!(matches!(webhook.authenticate_token("bad", &[]).await, Outcome::Failed(_)));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(body: Vec<u8>, text in "\\PC{0,60}") {
            let _ = read(&body, std::slice::from_ref(&text));
            let _ = read(format!("{{\"status\":{{\"authenticated\":true,\"user\":{text:?}}}}}").as_bytes(), &[]);
        }
    }
}
