//! An authorizer that asks a webhook (k8s.io/apiserver `plugin/pkg/authorizer/webhook`).

use super::{Attributes, Authorizer, Decision};
use crate::outbound::Endpoint;
use crate::remembered::Remembered;
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Longer questions are not remembered: somebody may fill memory with names of his own making.
const LONGEST: usize = 10_000;

/// See the module.
pub struct AccessWebhook {
    endpoint: Endpoint,
    timeout: Duration,
    authorized: Duration,
    unauthorized: Duration,
    deny_on_failure: bool,
    answers: Remembered<(Decision, String)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReviewStatus {
    allowed: bool,
    denied: bool,
    reason: String,
    evaluation_error: String,
}

impl AccessWebhook {
    /// `authorized` and `unauthorized`: how long such answers hold.
    pub fn new(
        endpoint: Endpoint,
        timeout: Duration,
        authorized: Duration,
        unauthorized: Duration,
        deny_on_failure: bool,
    ) -> Self {
        Self { endpoint, timeout, authorized, unauthorized, deny_on_failure, answers: Remembered::default() }
    }

    async fn ask(&self, review: Bytes) -> Result<(Decision, String), String> {
        let (code, body) = self.endpoint.post(review, self.timeout).await.map_err(|e| e.to_string())?;
        if !code.is_success() {
            return Err(format!("the webhook answered {code}"));
        }
        read(&body)
    }
}

/// The review that a question makes.
fn review(a: &Attributes) -> Value {
    let mut spec = json!({"user": a.user.name});
    if !a.user.uid.is_empty() {
        spec["uid"] = json!(a.user.uid);
    }
    if !a.user.groups.is_empty() {
        spec["groups"] = json!(a.user.groups);
    }
    if !a.user.extra.is_empty() {
        spec["extra"] = json!(a.user.extra);
    }
    if a.is_resource {
        let mut attributes = json!({});
        for (field, value) in [
            ("namespace", &a.namespace),
            ("verb", &a.verb),
            ("group", &a.group),
            ("version", &a.version),
            ("resource", &a.resource),
            ("subresource", &a.subresource),
            ("name", &a.name),
        ] {
            if !value.is_empty() {
                attributes[field] = json!(value);
            }
        }
        let (fields, labels) = a.selectors.to_review();
        for (field, selector) in [("fieldSelector", fields), ("labelSelector", labels)] {
            if let Some(selector) = selector {
                attributes[field] = selector;
            }
        }
        spec["resourceAttributes"] = attributes;
    } else {
        spec["nonResourceAttributes"] = json!({"path": a.path, "verb": a.verb});
    }
    json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"allowed": false}})
}

/// The decision that an answer stands for, and its reason.
fn read(body: &[u8]) -> Result<(Decision, String), String> {
    let Review { status } = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let reason = if status.reason.is_empty() { status.evaluation_error } else { status.reason };
    Ok(match (status.allowed, status.denied) {
        (true, true) => return Err("the webhook both allowed and denied".to_owned()),
        (true, false) => (Decision::Allow, reason),
        (false, true) => (Decision::Deny(reason.clone()), reason),
        (false, false) => (Decision::NoOpinion(reason.clone()), reason),
    })
}

#[async_trait]
impl Authorizer for AccessWebhook {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        self.explain(attributes).await.0
    }

    async fn explain(&self, attributes: &Attributes) -> (Decision, String) {
        let review = Bytes::from(review(attributes).to_string());
        let question = (review.len() <= LONGEST).then(|| Remembered::<(Decision, String)>::question(&review));
        if let Some(answer) = question.as_ref().and_then(|question| self.answers.get(question)) {
            return answer;
        }
        match self.ask(review).await {
            Ok(answer) => {
                if let Some(question) = question {
                    let time = if answer.0 == Decision::Allow { self.authorized } else { self.unauthorized };
                    self.answers.keep(question, answer.clone(), time);
                }
                answer
            }
            Err(why) => {
                tracing::warn!(why, "the authorization webhook did not answer");
                let why = format!("the authorization webhook did not answer: {why}");
                let decision =
                    if self.deny_on_failure { Decision::Deny(why.clone()) } else { Decision::NoOpinion(why.clone()) };
                (decision, why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::selectors::Selectors;
    use super::*;
    use crate::outbound::{Trust, tests::server};
    use crate::request::UserInfo;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pods(user: &str) -> Attributes {
        Attributes {
            user: Arc::new(UserInfo { name: user.into(), groups: vec!["g".into()], ..UserInfo::default() }),
            verb: "list".into(),
            namespace: "ns".into(),
            version: "v1".into(),
            resource: "pods".into(),
            is_resource: true,
            selectors: Selectors::of_request("spec.nodeName=n", ""),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_question_is_a_review() {
        let selector = json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]});
        let wanted = json!({"user": "jane", "groups": ["g"], "resourceAttributes": {"namespace": "ns", "verb": "list",
            "version": "v1", "resource": "pods", "fieldSelector": selector}});
        assert_eq!(review(&pods("jane"))["spec"], wanted);
        let path = Attributes { path: "/x".into(), verb: "get".into(), ..Attributes::default() };
        assert_eq!(review(&path)["spec"]["nonResourceAttributes"], json!({"path": "/x", "verb": "get"}));
    }

    // Upstream's cases: webhook_v1_test.go, TestV1WebhookCache and TestV1Webhook.
    #[tokio::test]
    async fn answers_decide_hold_and_fail_as_configured() {
        let asked = Arc::new(AtomicUsize::default());
        let count = asked.clone();
        let url = server(move |_, body| {
            count.fetch_add(1, Ordering::SeqCst);
            let review: Value = serde_json::from_slice(body).unwrap_or_default();
            match review["spec"]["user"].as_str() {
                Some("allowed") => (201, r#"{"status":{"allowed":true,"reason":"friend"}}"#.to_owned()),
                Some("denied") => (200, r#"{"status":{"allowed":false,"denied":true,"reason":"foe"}}"#.to_owned()),
                Some("unknown") => (200, r#"{"status":{"allowed":false}}"#.to_owned()),
                Some("both") => (200, r#"{"status":{"allowed":true,"denied":true}}"#.to_owned()),
                _ => (500, String::new()),
            }
        })
        .await
        .unwrap();
        let hook = |deny| {
            let endpoint = Endpoint::new(&url, &Trust::System).unwrap();
            AccessWebhook::new(endpoint, Duration::from_secs(5), Duration::from_mins(5), Duration::ZERO, deny)
        };
        let webhook = hook(false);
        for (user, decision, questions) in [
            ("allowed", Decision::Allow, 1),
            ("allowed", Decision::Allow, 1),
            ("denied", Decision::Deny("foe".into()), 2),
            ("denied", Decision::Deny("foe".into()), 3),
            ("unknown", Decision::NoOpinion(String::new()), 4),
        ] {
            assert_eq!(webhook.authorize(&pods(user)).await, decision, "{user}");
            assert_eq!(asked.load(Ordering::SeqCst), questions, "{user}");
        }
        for user in ["both", "broken"] {
            assert!(matches!(webhook.authorize(&pods(user)).await, Decision::NoOpinion(_)));
            assert!(matches!(hook(true).authorize(&pods(user)).await, Decision::Deny(_)));
        }
        assert_eq!(webhook.explain(&pods("allowed")).await, (Decision::Allow, "friend".to_owned()));
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(body: Vec<u8>) {
            let _ = read(&body);
        }
    }
}
