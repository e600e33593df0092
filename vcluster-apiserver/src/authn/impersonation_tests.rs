//! Whom the headers make of a caller, by the rights it has.

use super::*;
use async_trait::async_trait;
use proptest::prelude::*;

/// Allows exactly these `[VERB ]resource[/subresource] [namespace/]name`; the verb is `impersonate` where none is said.
struct Only(&'static [&'static str]);

#[async_trait]
impl Authorizer for Only {
    async fn authorize(&self, a: &Attributes) -> Decision {
        let resource =
            if a.subresource.is_empty() { a.resource.clone() } else { format!("{}/{}", a.resource, a.subresource) };
        let name = if a.namespace.is_empty() { a.name.clone() } else { format!("{}/{}", a.namespace, a.name) };
        let plain = format!("{resource} {name}");
        let full = format!("{} {}/{plain}", a.verb, a.group);
        if (a.verb == "impersonate" && self.0.contains(&plain.as_str())) || self.0.contains(&full.as_str()) {
            Decision::Allow
        } else {
            Decision::NoOpinion(String::new())
        }
    }
}

async fn as_caller(
    caller: UserInfo,
    pairs: &[(&'static str, &'static str)],
    allowed: &'static [&'static str],
) -> Result<Option<Acting>, Status> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    let request = Attributes {
        user: Arc::new(caller),
        verb: "list".into(),
        resource: "pods".into(),
        is_resource: true,
        ..Attributes::default()
    };
    impersonate(&request, &headers, &Only(allowed)).await
}

async fn act(
    pairs: &[(&'static str, &'static str)],
    allowed: &'static [&'static str],
) -> Result<Option<UserInfo>, Status> {
    let caller = UserInfo { name: "admin".into(), ..UserInfo::default() };
    Ok(as_caller(caller, pairs, allowed).await?.map(|acting| acting.user))
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
    for allowed in [&["users jane"][..], &["groups system:masters"]] {
        let refused = act(&[(USER, "jane"), (GROUP, "system:masters")], allowed).await.unwrap_err();
        assert_eq!(refused.code, 403);
    }
    assert_eq!(act(&[(GROUP, "dev")], &["groups dev"]).await.unwrap_err().code, 400);
}

const PODS: &str = "impersonate-on:user-info:list /pods ";

// Upstream's cases: constrained_impersonation_test.go.
#[tokio::test]
async fn constrained_impersonation_needs_the_identity_and_the_deed() {
    let jane = [(USER, "jane")];
    for (headers, allowed, constraint) in [
        (
            &jane[..],
            &[PODS, "impersonate:user-info authentication.k8s.io/users jane"][..],
            Some("impersonate:user-info"),
        ),
        (&jane, &[PODS], None),
        (&jane, &["impersonate:user-info authentication.k8s.io/users jane"], None),
        (&jane, &["users jane"], Some("")),
        (
            &[(USER, "system:node:n")],
            &["impersonate-on:arbitrary-node:list /pods ", "impersonate:arbitrary-node authentication.k8s.io/nodes n"],
            Some("impersonate:arbitrary-node"),
        ),
        (
            &[(USER, "system:serviceaccount:ns:sa")],
            &[
                "impersonate-on:serviceaccount:list /pods ",
                "impersonate:serviceaccount authentication.k8s.io/serviceaccounts ns/sa",
            ],
            Some("impersonate:serviceaccount"),
        ),
        // A service account's name with groups is for the right of old alone.
        (&[(USER, "system:serviceaccount:ns:sa"), (GROUP, "g")], &["serviceaccounts ns/sa", "groups g"], Some("")),
        (
            &[(USER, "jane"), (GROUP, "system:masters")],
            &[
                PODS,
                "impersonate:user-info authentication.k8s.io/users jane",
                "impersonate:user-info authentication.k8s.io/groups system:masters",
            ],
            None,
        ),
        (
            &[(USER, "jane"), (GROUP, "a"), (GROUP, "b"), (GROUP, "c"), (GROUP, "d")],
            &[
                PODS,
                "impersonate:user-info authentication.k8s.io/users jane",
                "impersonate:user-info authentication.k8s.io/groups *",
            ],
            Some("impersonate:user-info"),
        ),
        (
            &[(USER, "jane"), ("impersonate-extra-scopes", "a")],
            &[
                PODS,
                "impersonate:user-info authentication.k8s.io/users jane",
                "impersonate:user-info authentication.k8s.io/userextras/scopes a",
            ],
            None,
        ),
        (
            &[(USER, "jane"), ("impersonate-extra-acme.io%2fscopes", "a")],
            &[
                PODS,
                "impersonate:user-info authentication.k8s.io/users jane",
                "impersonate:user-info authentication.k8s.io/userextras/acme.io/scopes a",
            ],
            Some("impersonate:user-info"),
        ),
    ] {
        let caller = UserInfo { name: "admin".into(), ..UserInfo::default() };
        let acting = as_caller(caller, headers, allowed).await;
        assert_eq!(acting.ok().flatten().map(|a| a.constraint).as_deref(), constraint, "{headers:?} {allowed:?}");
    }
    // The refusal is that of the mode which applied first.
    let refused = act(&jane, &["impersonate:user-info authentication.k8s.io/users jane"]).await.unwrap_err();
    assert!(refused.message.contains("cannot impersonate-on:user-info:list resource \"pods\""), "{}", refused.message);
}

#[tokio::test]
async fn a_pod_may_act_as_its_own_node() {
    let allowed =
        &["impersonate-on:associated-node:list /pods ", "impersonate:associated-node authentication.k8s.io/nodes *"];
    for (name, own, wanted, as_node) in [
        ("system:serviceaccount:ns:sa", "n1", "system:node:n1", true),
        ("system:serviceaccount:ns:sa", "n1", "system:node:n2", false),
        ("jane", "n1", "system:node:n1", false),
    ] {
        let extra = BTreeMap::from([(user::NODE_NAME.to_owned(), vec![own.to_owned()])]);
        let caller = UserInfo { name: name.into(), extra, ..UserInfo::default() };
        let acting = as_caller(caller, &[(USER, wanted)], allowed).await;
        assert_eq!(acting.is_ok(), as_node, "{name} {wanted}");
        if let Ok(Some(acting)) = acting {
            assert_eq!(acting.user.groups, [user::NODES, user::AUTHENTICATED]);
            assert_eq!(acting.constraint, "impersonate:associated-node");
        }
    }
}

proptest! {
    #[test]
    fn no_headers_make_it_fail_otherwise(name in "[ -~]{0,30}", key in "[!#$%&'*+.^_`|~0-9a-z-]{0,20}", value in "[ -~]{0,20}") {
        let mut headers = HeaderMap::new();
        headers.insert(USER, name.parse().unwrap());
        if let Ok(key) = http::HeaderName::try_from(format!("{EXTRA_PREFIX}{key}")) {
            headers.insert(key, value.parse().unwrap());
        }
        if let Ok(Some(wanted)) = wanted(&headers) {
            for (key, values) in &wanted.extra {
                let _ = wrong_extra(key, values);
            }
        }
    }
}
