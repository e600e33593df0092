//! Access reviews (k8s.io/kubernetes `pkg/registry/authorization`, `pkg/apis/authorization/validation`).

use super::{invalid, texts};
use crate::authz::rbac::Rbac;
use crate::authz::selectors::Selectors;
use crate::authz::{Attributes, Authorizer, Decision};
use crate::registry::kinds::internal;
use crate::request::{RequestCx, UserInfo};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_qualified_name;
use apimachinery::{Object, Status};
use serde_json::{Value, json};
use std::sync::Arc;

const GROUP: &str = "authorization.k8s.io";
const ONE_OF: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

/// `SubjectAccessReview`: may the named user or groups?
pub async fn subject(authorizer: &dyn Authorizer, review: Object) -> Result<Object, Status> {
    let mut errors = validate_attributes(&review);
    errors.extend(validate_subject(&review));
    errors.extend(validate_metadata(&review, &[], "must be empty"));
    answer(authorizer, review, errors, None).await
}

/// `SelfSubjectAccessReview`: may the caller?
pub async fn self_subject(cx: &RequestCx, authorizer: &dyn Authorizer, review: Object) -> Result<Object, Status> {
    let mut errors = validate_attributes(&review);
    errors.extend(validate_metadata(&review, &[], "must be empty"));
    answer(authorizer, review, errors, Some(cx.user.clone())).await
}

/// `LocalSubjectAccessReview`: may the named user in this namespace?
pub async fn local(authorizer: &dyn Authorizer, namespace: &str, mut review: Object) -> Result<Object, Status> {
    if review.namespace().is_empty() {
        review.set_meta_str("namespace", namespace);
    }
    let mut errors = validate_attributes(&review);
    errors.extend(validate_subject(&review));
    errors.extend(validate_metadata(&review, &["namespace"], "must be empty except for namespace"));
    let asked = review.text_at(&["spec", "resourceAttributes", "namespace"]);
    if is_set(&review, "resourceAttributes") && asked != review.namespace() {
        let path = Path::new("spec.resourceAttributes.namespace");
        errors.push(FieldError::invalid(&path, asked, "must match metadata.namespace"));
    }
    if is_set(&review, "nonResourceAttributes") {
        let path = Path::new("spec.nonResourceAttributes");
        errors.push(FieldError::invalid(&path, "", "disallowed on this kind of request").showing(paths(&review)));
    }
    if errors.is_empty() && namespace != review.namespace() {
        return Err(Status::bad_request(format!(
            "spec.resourceAttributes.namespace must match namespace: {namespace}"
        )));
    }
    answer(authorizer, review, errors, None).await
}

/// `SelfSubjectRulesReview`: everything the caller may in a namespace, as far as RBAC knows.
pub fn self_subject_rules(cx: &RequestCx, rbac: &Rbac, review: Object) -> Result<Object, Status> {
    let namespace = review.text_at(&["spec", "namespace"]).to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let rules = rbac.rules_for(&cx.user, &namespace);
    let resources: Vec<Value> = rules
        .iter()
        .filter(|r| !r.resources.is_empty())
        .map(|r| {
            let mut rule = json!({ "verbs": r.verbs, "apiGroups": r.api_groups, "resources": r.resources });
            if !r.resource_names.is_empty() {
                rule["resourceNames"] = json!(r.resource_names);
            }
            rule
        })
        .collect();
    let urls: Vec<Value> = rules
        .iter()
        .filter(|r| !r.non_resource_urls.is_empty())
        .map(|r| json!({ "verbs": r.verbs, "nonResourceURLs": r.non_resource_urls }))
        .collect();
    // The node authorizer has rules that cannot be listed.
    let node = crate::authn::user::node_of(&cx.user).is_some();
    let mut answer = review;
    answer.as_map_mut().insert("metadata".to_owned(), json!({}));
    answer.set_at(&["spec"], json!({}));
    let mut status = json!({ "resourceRules": resources, "nonResourceRules": urls, "incomplete": node });
    if node {
        status["evaluationError"] = json!("node authorizer does not support user rule resolution");
    }
    answer.set_at(&["status"], status);
    Ok(answer)
}

/// The path that is asked about, as refusals show it.
fn paths(review: &Object) -> String {
    internal::optional("authorization.v1.NonResourceAttributes", review.at(&["spec", "nonResourceAttributes"]))
}

fn is_set(review: &Object, field: &str) -> bool {
    review.at(&["spec", field]).is_some_and(|v| !v.is_null())
}

fn validate_attributes(review: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    if is_set(review, "resourceAttributes") == is_set(review, "nonResourceAttributes") {
        errors.push(FieldError::invalid(&Path::new("spec"), "", ONE_OF).showing(paths(review)));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        let Some(value) = review.at(&["spec", "resourceAttributes", selector]).filter(|v| !v.is_null()) else {
            continue;
        };
        let path = Path::new("spec.resourceAttributes").child(selector);
        let raw = value.get("rawSelector").and_then(Value::as_str).unwrap_or_default();
        let requirements = value.get("requirements").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
        match (raw.is_empty(), requirements) {
            (false, true) => errors.push(FieldError::invalid(
                &path.child("rawSelector"),
                raw,
                "may not specified at the same time as requirements",
            )),
            (true, false) => errors.push(FieldError::required(
                &path.child("requirements"),
                format!("when {path} is specified, requirements or rawSelector is required"),
            )),
            _ => {}
        }
        for (index, requirement) in value["requirements"].as_array().into_iter().flatten().enumerate() {
            let at = path.child("requirements").index(index);
            let text = |field: &str| requirement[field].as_str().unwrap_or_default();
            let key = text("key");
            if selector == "labelSelector" {
                let wrong = is_qualified_name(key).into_iter();
                errors.extend(wrong.map(|why| FieldError::invalid(&at.child("key"), key, why)));
            } else if key.is_empty() {
                errors.push(FieldError::required(&at.child("key"), "must be specified"));
            }
            let none = requirement["values"].as_array().is_none_or(Vec::is_empty);
            match text("operator") {
                "In" | "NotIn" if none => {
                    let why = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(FieldError::required(&at.child("values"), why));
                }
                "Exists" | "DoesNotExist" if !none => {
                    let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(FieldError::forbidden(&at.child("values"), why));
                }
                // Newer clients know operators that this server does not.
                _ => {}
            }
        }
    }
    errors
}

fn validate_subject(review: &Object) -> Option<FieldError> {
    let nobody = review.text_at(&["spec", "user"]).is_empty() && texts(review.at(&["spec", "groups"])).is_empty();
    let path = Path::new("spec").child("user");
    nobody.then(|| FieldError::invalid(&path, "", "at least one of user or group must be specified"))
}

fn validate_metadata(review: &Object, allowed: &[&str], why: &str) -> Option<FieldError> {
    let extra = review.metadata().into_iter().flatten().any(|(field, value)| {
        let empty = value.is_null() || value == "" || value == &json!({}) || value == &json!([]);
        field != "managedFields" && !allowed.contains(&field.as_str()) && !empty
    });
    let value = review.at(&["metadata"]).cloned().unwrap_or_default();
    let shown = schema::ordered::text_of("meta.v1.ObjectMeta", &value);
    extra.then(|| FieldError::invalid(&Path::new("metadata"), "", why).showing(shown))
}

async fn answer(
    authorizer: &dyn Authorizer,
    mut review: Object,
    errors: ErrorList,
    caller: Option<Arc<UserInfo>>,
) -> Result<Object, Status> {
    if !errors.is_empty() {
        return Err(invalid(GROUP, "", "", &errors));
    }
    let user = caller.unwrap_or_else(|| Arc::new(named_user(&review)));
    let attributes = attributes(&review, user);
    let (decision, reason) = authorizer.explain(&attributes).await;
    let mut status = json!({ "allowed": decision == Decision::Allow });
    if matches!(decision, Decision::Deny(_)) {
        status["denied"] = json!(true);
    }
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    let unread = selectors(&review).1;
    if !unread.is_empty() {
        status["evaluationError"] = json!(unread.join(", "));
    }
    review.set_at(&["status"], status);
    Ok(review)
}

fn named_user(review: &Object) -> UserInfo {
    let extra = review.at(&["spec", "extra"]).and_then(Value::as_object);
    UserInfo {
        name: review.text_at(&["spec", "user"]).to_owned(),
        uid: review.text_at(&["spec", "uid"]).to_owned(),
        groups: texts(review.at(&["spec", "groups"])),
        extra: extra.into_iter().flatten().map(|(k, v)| (k.clone(), texts(Some(v)))).collect(),
    }
}

fn attributes(review: &Object, user: Arc<UserInfo>) -> Attributes {
    if !is_set(review, "resourceAttributes") {
        let field = |name: &str| review.text_at(&["spec", "nonResourceAttributes", name]).to_owned();
        return Attributes { user, verb: field("verb"), path: field("path"), ..Attributes::default() };
    }
    let field = |name: &str| review.text_at(&["spec", "resourceAttributes", name]).to_owned();
    let version = field("version");
    Attributes {
        user,
        verb: field("verb"),
        namespace: field("namespace"),
        group: field("group"),
        version: if version.is_empty() { "*".into() } else { version },
        resource: field("resource"),
        subresource: field("subresource"),
        name: field("name"),
        is_resource: true,
        path: String::new(),
        selectors: selectors(review).0,
    }
}

/// The selectors of a review, and what of them could not be read.
fn selectors(review: &Object) -> (Selectors, Vec<String>) {
    review.at(&["spec", "resourceAttributes"]).map(Selectors::of_review).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    /// Allows `jane` to get pods, denies `mallory` everything.
    struct Rules;

    #[async_trait]
    impl Authorizer for Rules {
        async fn authorize(&self, a: &Attributes) -> Decision {
            match a.user.name.as_str() {
                "jane" if a.verb == "get" && a.resource == "pods" => Decision::Allow,
                "mallory" => Decision::Deny("no".into()),
                _ => Decision::NoOpinion(String::new()),
            }
        }
    }

    fn review(spec: Value) -> Object {
        Object::from_value(json!({ "metadata": { "creationTimestamp": null }, "spec": spec })).unwrap()
    }

    #[tokio::test]
    async fn reviews_answer_what_the_authorizer_says() {
        let pods = json!({ "verb": "get", "resource": "pods", "namespace": "ns" });
        let cases = [
            (json!({ "user": "jane", "resourceAttributes": pods }), json!({ "allowed": true })),
            (json!({ "user": "joe", "resourceAttributes": pods }), json!({ "allowed": false })),
            (
                json!({ "user": "mallory", "resourceAttributes": pods }),
                json!({ "allowed": false, "denied": true, "reason": "no" }),
            ),
        ];
        for (spec, wanted) in cases {
            let answer = subject(&Rules, review(spec.clone())).await.unwrap();
            assert_eq!(answer.at(&["status"]), Some(&wanted), "{spec}");
        }
        let cx = RequestCx::new(UserInfo { name: "jane".into(), ..UserInfo::default() }, "");
        let answer = self_subject(&cx, &Rules, review(json!({ "resourceAttributes": pods }))).await.unwrap();
        assert_eq!(answer.at(&["status", "allowed"]), Some(&json!(true)));
    }

    #[tokio::test]
    async fn reviews_are_validated_as_upstream() {
        let pods = json!({ "verb": "get", "resource": "pods", "namespace": "ns" });
        let cases = [
            (
                json!({ "user": "jane" }),
                "spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
            (
                json!({ "resourceAttributes": pods }),
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ),
        ];
        for (spec, wanted) in cases {
            let status = subject(&Rules, review(spec)).await.unwrap_err();
            assert_eq!(status.code, 422);
            assert_eq!(status.message, format!(".authorization.k8s.io \"\" is invalid: {wanted}"));
        }
        let mut wrong = review(json!({ "user": "jane", "resourceAttributes": pods }));
        wrong.set_meta_str("namespace", "other");
        let status = local(&Rules, "other", wrong).await.unwrap_err();
        assert!(status.message.contains("must match metadata.namespace"), "{status}");
    }
}
