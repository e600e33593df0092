//! FlowSchema and PriorityLevelConfiguration objects as flow control understands them
//! (k8s.io/apiserver `pkg/util/flowcontrol/rule.go` and `queueSetCompleterForPL`).
//!
//! Objects whose shape contradicts itself are as good as absent.

use super::queue_set::{Discipline, Queuing};
use crate::authn::user;
use crate::request::{RequestInfo, UserInfo};
use apimachinery::Object;
use serde::Deserialize;
use std::sync::Arc;

/// A PriorityLevelConfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelSpec {
    pub uid: Arc<str>,
    pub discipline: Discipline,
    pub shares: u32,
    /// Percent of the nominal limit; none for borrowing means without limit.
    pub lendable: u32,
    pub borrowing: Option<u32>,
}

impl Default for LevelSpec {
    fn default() -> Self {
        Self { uid: "".into(), discipline: Discipline::Reject, shares: 0, lendable: 0, borrowing: None }
    }
}

/// A FlowSchema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub name: String,
    pub uid: Arc<str>,
    pub level: String,
    pub precedence: i64,
    pub distinguisher: Distinguisher,
    rules: Vec<PolicyRule>,
}

/// What tells the flows of one schema apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distinguisher {
    #[default]
    None,
    ByUser,
    ByNamespace,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct LevelJson {
    r#type: String,
    limited: Option<LimitedJson>,
    exempt: Option<SharesJson>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SharesJson {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LimitedJson {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: Option<u32>,
    borrowing_limit_percent: Option<u32>,
    limit_response: ResponseJson,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ResponseJson {
    r#type: String,
    queuing: Option<QueuingJson>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct QueuingJson {
    queues: usize,
    hand_size: usize,
    queue_length_limit: usize,
}

/// What validation of the API lets through at most.
const MOST_QUEUES: usize = 10_000_000;

impl LevelSpec {
    /// None when the object contradicts itself.
    pub fn read(object: &Object) -> Option<Self> {
        let spec = LevelJson::deserialize(object.at(&["spec"])?).ok()?;
        let exempt = spec.r#type == "Exempt";
        if exempt != (object.name() == "exempt") {
            return None;
        }
        let uid = object.uid().into();
        match (spec.limited, spec.exempt) {
            (None, Some(shares)) if exempt => Some(Self {
                uid,
                discipline: Discipline::Exempt,
                shares: shares.nominal_concurrency_shares.unwrap_or_default(),
                lendable: shares.lendable_percent.unwrap_or_default(),
                borrowing: None,
            }),
            (Some(limited), None) if spec.r#type == "Limited" => Some(Self {
                uid,
                discipline: discipline(&limited.limit_response)?,
                shares: limited.nominal_concurrency_shares.unwrap_or(30),
                lendable: limited.lendable_percent.unwrap_or_default(),
                borrowing: limited.borrowing_limit_percent,
            }),
            _ => None,
        }
    }
}

fn discipline(response: &ResponseJson) -> Option<Discipline> {
    match (response.r#type.as_str(), &response.queuing) {
        ("Reject", None) => Some(Discipline::Reject),
        ("Queue", Some(q)) if (1..=MOST_QUEUES).contains(&q.queues) && (1..=q.queues).contains(&q.hand_size) => {
            Some(Discipline::Queue(Queuing { queues: q.queues, hand: q.hand_size, length: q.queue_length_limit }))
        }
        _ => None,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SchemaJson {
    priority_level_configuration: NameJson,
    matching_precedence: Option<i64>,
    distinguisher_method: Option<TypeJson>,
    rules: Vec<PolicyRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct NameJson {
    name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct TypeJson {
    r#type: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyRule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    kind: String,
    user: Option<NameJson>,
    group: Option<NameJson>,
    service_account: Option<AccountJson>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct AccountJson {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
}

impl Schema {
    pub fn read(object: &Object) -> Option<Self> {
        let spec = SchemaJson::deserialize(object.at(&["spec"])?).ok()?;
        let distinguisher = match spec.distinguisher_method {
            None => Distinguisher::None,
            Some(method) if method.r#type == "ByUser" => Distinguisher::ByUser,
            Some(method) if method.r#type == "ByNamespace" => Distinguisher::ByNamespace,
            Some(_) => return None,
        };
        Some(Self {
            name: object.name().to_owned(),
            uid: object.uid().into(),
            level: spec.priority_level_configuration.name,
            precedence: spec.matching_precedence.unwrap_or(1000),
            distinguisher,
            rules: spec.rules,
        })
    }

    pub fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.rules.iter().any(|rules| {
            rules.subjects.iter().any(|subject| subject.matches(user))
                && if info.is_resource {
                    rules.resource_rules.iter().any(|rule| rule.matches(info))
                } else {
                    rules.non_resource_rules.iter().any(|rule| rule.matches(info))
                }
        })
    }

    /// What the flow is told apart by.
    pub fn flow<'a>(&self, user: &'a UserInfo, info: &'a RequestInfo) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::ByUser => &user.name,
            Distinguisher::ByNamespace => &info.namespace,
        }
    }
}

impl Subject {
    fn matches(&self, user: &UserInfo) -> bool {
        match self.kind.as_str() {
            "User" => self.user.as_ref().is_some_and(|u| u.name == "*" || u.name == user.name),
            "Group" => self.group.as_ref().is_some_and(|g| g.name == "*" || user.in_group(&g.name)),
            "ServiceAccount" => self.service_account.as_ref().is_some_and(|account| {
                let rest = user.name.strip_prefix(user::SERVICE_ACCOUNT_PREFIX);
                let rest = rest.and_then(|r| r.strip_prefix(account.namespace.as_str()));
                let name = rest.and_then(|r| r.strip_prefix(':'));
                name.is_some_and(|name| account.name == "*" || account.name == name)
            }),
            _ => false,
        }
    }
}

/// A lone star takes everything.
fn holds(list: &[String], wanted: &str) -> bool {
    matches!(list, [only] if only == "*") || list.iter().any(|item| item == wanted)
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let resource = || match info.subresource.as_str() {
            "" => holds(&self.resources, &info.resource),
            subresource => holds(&self.resources, &format!("{}/{subresource}", info.resource)),
        };
        let scope = || match info.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => holds(&self.namespaces, namespace),
        };
        holds(&self.verbs, &info.verb) && resource() && holds(&self.api_groups, &info.group) && scope()
    }
}

impl PathRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        holds(&self.verbs, &info.verb)
            && self.paths.iter().any(|rule| {
                let prefix = rule.strip_suffix('*').unwrap_or(rule).trim_end_matches('/');
                rule == "*"
                    || *rule == info.path
                    || info.path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn schema(rules: Value) -> Schema {
        let object = json!({"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"},
            "distinguisherMethod": {"type": "ByUser"}, "rules": [rules]}});
        Schema::read(&Object::from_value(object).unwrap()).unwrap()
    }

    fn user(name: &str, group: &str) -> UserInfo {
        UserInfo { name: name.into(), groups: vec![group.into()], ..UserInfo::default() }
    }

    fn pods(verb: &str, namespace: &str, subresource: &str) -> RequestInfo {
        RequestInfo {
            is_resource: true,
            verb: verb.into(),
            resource: "pods".into(),
            namespace: namespace.into(),
            subresource: subresource.into(),
            ..RequestInfo::default()
        }
    }

    // Upstream's cases: rule_test.go, TestMatching.
    #[test]
    fn subjects_match_as_upstream() {
        let rule = |subject: Value| {
            schema(json!({"subjects": [subject], "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"],
                "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]}))
        };
        let account =
            |ns: &str, name: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": ns, "name": name}});
        for (subject, user, expected) in [
            (json!({"kind": "User", "user": {"name": "a"}}), user("a", "g"), true),
            (json!({"kind": "User", "user": {"name": "*"}}), user("b", "g"), true),
            (json!({"kind": "User", "user": {"name": "a"}}), user("b", "g"), false),
            (json!({"kind": "Group", "group": {"name": "g"}}), user("b", "g"), true),
            (json!({"kind": "Group", "group": {"name": "*"}}), user("b", "h"), true),
            (json!({"kind": "Group", "group": {"name": "g"}}), user("b", "h"), false),
            (account("ns", "sa"), user("system:serviceaccount:ns:sa", ""), true),
            (account("ns", "*"), user("system:serviceaccount:ns:other", ""), true),
            (account("ns", "sa"), user("system:serviceaccount:ns:sa2", ""), false),
            (account("n", "*"), user("system:serviceaccount:ns:sa", ""), false),
            (json!({"kind": "User"}), user("a", "g"), false),
        ] {
            assert_eq!(rule(subject.clone()).matches(&user, &pods("get", "ns", "")), expected, "{subject}");
        }
    }

    #[test]
    fn resources_and_paths_match_as_upstream() {
        let who = json!([{"kind": "Group", "group": {"name": "*"}}]);
        let resource = |resources: &[&str], cluster: bool, namespaces: &[&str]| {
            schema(json!({"subjects": who, "resourceRules": [{"verbs": ["get", "list"], "apiGroups": [""],
                "resources": resources, "clusterScope": cluster, "namespaces": namespaces}]}))
        };
        for (rule, info, expected) in [
            (resource(&["pods"], false, &["ns"]), pods("get", "ns", ""), true),
            (resource(&["pods"], false, &["ns"]), pods("watch", "ns", ""), false),
            (resource(&["pods"], false, &["ns"]), pods("get", "other", ""), false),
            (resource(&["pods"], false, &["*"]), pods("list", "", ""), false),
            (resource(&["pods"], true, &[]), pods("list", "", ""), true),
            (resource(&["pods"], false, &["*"]), pods("get", "ns", "log"), false),
            (resource(&["pods/log"], false, &["*"]), pods("get", "ns", "log"), true),
            (resource(&["*"], false, &["*"]), pods("get", "ns", "log"), true),
        ] {
            assert_eq!(rule.matches(&user("u", "g"), &info), expected, "{rule:?} {info:?}");
        }
        for (rule, path, expected) in [
            ("*", "/x", true),
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/etcd", true),
            ("/healthz", "/healthzz", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/apis", false),
        ] {
            let rule =
                schema(json!({"subjects": who, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": [rule]}]}));
            let info = RequestInfo { verb: "get".into(), path: path.into(), ..RequestInfo::default() };
            assert_eq!(rule.matches(&user("u", "g"), &info), expected, "{rule:?} {path}");
        }
    }

    #[test]
    fn contradictory_levels_are_as_good_as_absent() {
        let read = |name: &str, spec: Value| {
            LevelSpec::read(&Object::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap())
        };
        let queue = json!({"type": "Queue", "queuing": {"queues": 2, "handSize": 1, "queueLengthLimit": 5}});
        let limited = |response: &Value| json!({"type": "Limited", "limited": {"limitResponse": response}});
        assert!(read("l", limited(&queue)).is_some());
        assert!(read("exempt", json!({"type": "Exempt", "exempt": {}})).is_some());
        for (name, spec) in [
            ("l", json!({"type": "Exempt", "exempt": {}})),
            ("exempt", limited(&queue)),
            ("l", json!({"type": "Limited"})),
            ("l", limited(&json!({"type": "Queue"}))),
            ("l", limited(&json!({"type": "Reject", "queuing": queue["queuing"]}))),
            ("l", limited(&json!({"type": "Queue", "queuing": {"queues": 2, "handSize": 3}}))),
        ] {
            assert_eq!(read(name, spec.clone()), None, "{spec}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z*/]{0,5}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map(
                    "type|limited|exempt|limitResponse|queuing|rules|subjects|kind|user|verbs|handSize|queues",
                    inner,
                    0..4
                )
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_object_makes_reading_fail(spec in any_json()) {
            let object = Object::from_value(json!({"metadata": {"name": "x"}, "spec": spec})).unwrap();
            let _ = LevelSpec::read(&object);
            if let Some(schema) = Schema::read(&object) {
                let _ = schema.matches(&user("u", "g"), &pods("get", "ns", ""));
            }
        }
    }
}
