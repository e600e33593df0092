//! Who is behind a token, and who the caller is: `TokenReview` and `SelfSubjectReview`
//! (k8s.io/kubernetes `pkg/registry/authentication`).

use super::{texts, user_info};
use crate::authn::chain::with_authenticated_group;
use crate::authn::{Outcome, TokenAuthenticator};
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// `TokenReview`: the user of a token, for the audiences that the asker accepts.
pub async fn token_review(
    tokens: &dyn TokenAuthenticator,
    own_audiences: &[String],
    mut review: Object,
) -> Result<Object, Status> {
    let token = review.text_at(&["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let mut asked = texts(review.at(&["spec", "audiences"]));
    if asked.is_empty() {
        asked = own_audiences.to_vec();
    }
    let status = match tokens.authenticate_token(token, &asked).await {
        Outcome::Authenticated { user, audiences } => {
            let mut status = json!({ "authenticated": true, "user": user_info(&with_authenticated_group(user)) });
            // Schemes that know no audiences speak for the server's own only.
            let audiences = if audiences.is_empty() { own_audiences.to_vec() } else { audiences };
            if !asked.is_empty() && !audiences.iter().any(|a| asked.contains(a)) {
                return Err(Status::internal("bad audiences returned by authenticator"));
            }
            if !audiences.is_empty() {
                status["audiences"] = json!(audiences);
            }
            status
        }
        Outcome::Failed(why) => json!({ "error": why }),
        Outcome::NotRequested => json!({ "error": "invalid bearer token" }),
    };
    // Upstream leaves what it does not answer as the asker wrote it.
    let mut all = Map::from_iter([("user".to_owned(), json!({}))]);
    all.extend(review.at(&["status"]).and_then(Value::as_object).cloned().unwrap_or_default());
    all.remove("authenticated");
    all.extend(status.as_object().cloned().unwrap_or_default());
    review.set_at(&["status"], all.into());
    Ok(review)
}

/// `SelfSubjectReview`: the caller's own identity.
pub fn self_subject_review(cx: &RequestCx, now: Timestamp, mut review: Object) -> Object {
    review.as_map_mut().remove("metadata");
    review.set_meta_str("creationTimestamp", &now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    review.set_at(&["status"], json!({ "userInfo": user_info(&cx.user) }));
    review
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::bearer::Bearer;
    use crate::authn::static_tokens::StaticTokens;
    use crate::request::UserInfo;
    use std::sync::Arc;

    async fn ask(spec: Value) -> Result<Object, Status> {
        let mut tokens = StaticTokens::default();
        tokens.insert("secret", UserInfo { name: "jane".into(), ..UserInfo::default() });
        let bearer = Bearer::new(vec![Arc::new(tokens)]);
        let review = Object::from_value(json!({ "spec": spec })).unwrap();
        token_review(&bearer, &["api".to_owned()], review).await
    }

    #[tokio::test]
    async fn a_token_review_names_the_user_or_the_error() {
        let known = ask(json!({ "token": "secret" })).await.unwrap();
        let wanted = json!({
            "authenticated": true,
            "user": { "username": "jane", "groups": ["system:authenticated"] },
            "audiences": ["api"],
        });
        assert_eq!(known.at(&["status"]), Some(&wanted));
        let unknown = ask(json!({ "token": "other" })).await.unwrap();
        assert_eq!(unknown.at(&["status"]), Some(&json!({ "user": {}, "error": "invalid bearer token" })));
        assert_eq!(ask(json!({})).await.unwrap_err().code, 400);
    }

    #[test]
    fn a_self_review_shows_the_caller() {
        let user = UserInfo { name: "jane".into(), groups: vec!["dev".into()], ..UserInfo::default() };
        let answer = self_subject_review(&RequestCx::new(user, ""), Timestamp::UNIX_EPOCH, Object::default());
        assert_eq!(answer.at(&["status", "userInfo"]), Some(&json!({ "username": "jane", "groups": ["dev"] })));
        assert_eq!(answer.meta_str("creationTimestamp"), "1970-01-01T00:00:00Z");
    }
}
