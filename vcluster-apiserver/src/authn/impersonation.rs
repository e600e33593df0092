//! Acting as somebody else (k8s.io/apiserver `pkg/endpoints/filters/impersonation`).
//!
//! Every part of the wanted identity is authorized by itself before any of it takes effect.

use super::{front_proxy, user};
use crate::authz::{Attributes, Authorizer, Decision, forbidden};
use crate::request::UserInfo;
use apimachinery::Status;
use http::HeaderMap;
use std::sync::Arc;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// The user whom the headers ask to act as; none when they ask for nobody. 403 when the caller may not.
pub async fn impersonate(
    caller: &Arc<UserInfo>,
    headers: &HeaderMap,
    authorizer: &dyn Authorizer,
) -> Result<Option<UserInfo>, Status> {
    let first = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (name, uid) = (first(USER), first(UID));
    let mut groups: Vec<String> =
        headers.get_all(GROUP).iter().map(|v| v.to_str().unwrap_or_default().to_owned()).collect();
    let extra = front_proxy::extra(headers, EXTRA_PREFIX);
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(None);
        }
        return Err(Status::failure(500, "", "requested groups, extra or uid without impersonating a user"));
    }

    let ask = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| Attributes {
        user: caller.clone(),
        verb: "impersonate".into(),
        namespace: namespace.into(),
        group: group.into(),
        version: if group.is_empty() { String::new() } else { "v1".into() },
        resource: resource.into(),
        subresource: subresource.into(),
        name: name.into(),
        is_resource: true,
        ..Attributes::default()
    };
    const AUTHENTICATION: &str = "authentication.k8s.io";
    let service_account = user::split_service_account(&name);
    let mut questions = vec![match service_account {
        Some((namespace, account)) => ask("", "serviceaccounts", "", namespace, account),
        None => ask("", "users", "", "", &name),
    }];
    questions.extend(groups.iter().map(|g| ask("", "groups", "", "", g)));
    for (key, values) in &extra {
        questions.extend(values.iter().map(|v| ask(AUTHENTICATION, "userextras", key, "", v)));
    }
    if !uid.is_empty() {
        questions.push(ask(AUTHENTICATION, "uids", "", "", &uid));
    }
    for question in &questions {
        match authorizer.authorize(question).await {
            Decision::Allow => {}
            Decision::Deny(why) | Decision::NoOpinion(why) => return Err(forbidden(question, &why)),
        }
    }

    if let (Some((namespace, _)), true) = (service_account, groups.is_empty()) {
        groups = user::service_account_groups(namespace);
    }
    let has = |groups: &[String], wanted: &str| groups.iter().any(|g| g == wanted);
    if name == user::ANONYMOUS {
        if !has(&groups, user::UNAUTHENTICATED) {
            groups.push(user::UNAUTHENTICATED.to_owned());
        }
    } else if !has(&groups, user::AUTHENTICATED) && !has(&groups, user::UNAUTHENTICATED) {
        groups.push(user::AUTHENTICATED.to_owned());
    }
    Ok(Some(UserInfo { name, uid, groups, extra }))
}

/// Takes the headers away once they took effect.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|n| n.as_str().starts_with("impersonate-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    /// Allows exactly these `resource[/subresource] [namespace/]name`.
    struct Only(&'static [&'static str]);

    #[async_trait]
    impl Authorizer for Only {
        async fn authorize(&self, a: &Attributes) -> Decision {
            let resource =
                if a.subresource.is_empty() { a.resource.clone() } else { format!("{}/{}", a.resource, a.subresource) };
            let name = if a.namespace.is_empty() { a.name.clone() } else { format!("{}/{}", a.namespace, a.name) };
            if a.verb == "impersonate" && self.0.contains(&format!("{resource} {name}").as_str()) {
                Decision::Allow
            } else {
                Decision::NoOpinion(String::new())
            }
        }
    }

    async fn act(
        pairs: &[(&'static str, &'static str)],
        allowed: &'static [&'static str],
    ) -> Result<Option<UserInfo>, Status> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let caller = Arc::new(UserInfo { name: "admin".into(), ..UserInfo::default() });
        impersonate(&caller, &headers, &Only(allowed)).await
    }

    #[tokio::test]
    async fn identities_are_built_as_upstream_builds_them() {
        assert_eq!(act(&[], &[]).await.unwrap(), None);
        let user = act(&[(USER, "jane")], &["users jane"]).await.unwrap().unwrap();
        assert_eq!(user.groups, ["system:authenticated"]);
        let user = act(&[(USER, "jane"), (GROUP, "dev")], &["users jane", "groups dev"]).await.unwrap().unwrap();
        assert_eq!(user.groups, ["dev", "system:authenticated"]);
        let user = act(&[(USER, "system:anonymous")], &["users system:anonymous"]).await.unwrap().unwrap();
        assert_eq!(user.groups, ["system:unauthenticated"]);
        let user = act(&[(USER, "system:serviceaccount:ns:sa")], &["serviceaccounts ns/sa"]).await.unwrap().unwrap();
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
        let extra = [(USER, "jane"), ("impersonate-extra-acme%2fscope", "view"), (UID, "7")];
        let user = act(&extra, &["users jane", "userextras/acme/scope view", "uids 7"]).await.unwrap().unwrap();
        assert_eq!((user.uid.as_str(), user.extra["acme/scope"][0].as_str()), ("7", "view"));
    }

    #[tokio::test]
    async fn every_part_must_be_allowed() {
        let refused = act(&[(USER, "jane"), (GROUP, "system:masters")], &["users jane"]).await.unwrap_err();
        assert_eq!(refused.code, 403);
        let text = "groups \"system:masters\" is forbidden: User \"admin\" cannot impersonate resource \"groups\" in API group \"\" at the cluster scope";
        assert_eq!(refused.message, text);
        assert_eq!(act(&[(GROUP, "dev")], &["groups dev"]).await.unwrap_err().code, 500);
    }
}
