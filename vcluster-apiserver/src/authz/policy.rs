//! Roles and bindings, indexed for decisions: subjects lead to bindings, bindings to rules.
//!
//! A decision touches only the bindings of the asking user and its groups, so its cost does not grow with the number
//! of bindings in the cluster. Mirrors k8s.io/kubernetes `pkg/registry/rbac/validation/rule.go`.

use super::Attributes;
use super::rule::Rule;
use crate::authn::user::service_account_name;
use crate::request::UserInfo;
use apimachinery::Object;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub const GROUP: &str = "rbac.authorization.k8s.io";
/// The resources a policy is made of.
pub const RESOURCES: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];

/// A reference from a binding to a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    pub kind: String,
    pub name: String,
}

/// Whom a binding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    kind: Kind,
    name: String,
    /// As written, for the explanation.
    written: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

#[derive(Debug)]
struct Binding {
    name: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

/// The bindings of one namespace (or of the cluster) by subject, in the order of their names.
#[derive(Debug, Default)]
struct Scope {
    bindings: HashMap<String, Arc<Binding>>,
    users: HashMap<String, BTreeMap<String, Arc<Binding>>>,
    groups: HashMap<String, BTreeMap<String, Arc<Binding>>>,
}

/// Everything that RBAC decides from. Namespace `""` holds the cluster's.
#[derive(Debug, Default)]
pub struct Policy {
    roles: HashMap<String, HashMap<String, Arc<[Rule]>>>,
    scopes: HashMap<String, Scope>,
}

impl Policy {
    /// Takes in a created or changed object of one of [`RESOURCES`].
    pub fn put(&mut self, resource: &str, object: &Object) {
        let (namespace, name) = (object.namespace(), object.name());
        if resource.ends_with("roles") {
            let rules = Rule::list(object.at(&["rules"])).into();
            self.roles.entry(namespace.to_owned()).or_default().insert(name.to_owned(), rules);
            return;
        }
        self.remove(resource, namespace, name);
        let Some(role) = role_ref(object) else { return };
        let subjects = object.at(&["subjects"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let subjects = subjects.iter().filter_map(|s| read_subject(s, namespace)).collect();
        let binding = Arc::new(Binding { name: name.to_owned(), role, subjects });
        let scope = self.scopes.entry(namespace.to_owned()).or_default();
        for subject in &binding.subjects {
            let index = match subject.kind {
                Kind::User => &mut scope.users,
                Kind::Group => &mut scope.groups,
            };
            index.entry(subject.name.clone()).or_default().insert(name.to_owned(), binding.clone());
        }
        scope.bindings.insert(name.to_owned(), binding);
    }

    /// Forgets a deleted object.
    pub fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        if resource.ends_with("roles") {
            if let Some(roles) = self.roles.get_mut(namespace) {
                roles.remove(name);
                if roles.is_empty() {
                    self.roles.remove(namespace);
                }
            }
            return;
        }
        let Some(scope) = self.scopes.get_mut(namespace) else { return };
        let Some(binding) = scope.bindings.remove(name) else { return };
        for subject in &binding.subjects {
            let index = match subject.kind {
                Kind::User => &mut scope.users,
                Kind::Group => &mut scope.groups,
            };
            if let Some(bindings) = index.get_mut(&subject.name) {
                bindings.remove(name);
                if bindings.is_empty() {
                    index.remove(&subject.name);
                }
            }
        }
        if scope.bindings.is_empty() {
            self.scopes.remove(namespace);
        }
    }

    /// The rules of a referenced role; none when it does not exist.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<Arc<[Rule]>> {
        let namespace = match role.kind.as_str() {
            "ClusterRole" => "",
            "Role" => namespace,
            _ => return None,
        };
        self.roles.get(namespace)?.get(&role.name).cloned()
    }

    /// Calls `visit` with each binding that applies, its namespace, and its rules, until it answers false.
    fn visit(&self, user: &UserInfo, namespace: &str, mut visit: impl FnMut(&Binding, &str, &[Rule]) -> bool) {
        let namespaces = std::iter::once("").chain((!namespace.is_empty()).then_some(namespace));
        for namespace in namespaces {
            let Some(scope) = self.scopes.get(namespace) else { continue };
            let of_user = scope.users.get(&user.name).into_iter();
            let of_groups = user.groups.iter().filter_map(|g| scope.groups.get(g));
            for binding in of_user.chain(of_groups).flat_map(BTreeMap::values) {
                let Some(rules) = self.rules_of(&binding.role, namespace) else { continue };
                if !visit(binding, namespace, &rules) {
                    return;
                }
            }
        }
    }

    pub fn allows(&self, attributes: &Attributes) -> bool {
        let mut allowed = false;
        self.visit(&attributes.user, &attributes.namespace, |_, _, rules| {
            allowed = rules.iter().any(|rule| rule.allows(attributes));
            !allowed
        });
        allowed
    }

    /// Which binding allows, in upstream's words.
    pub fn explain(&self, attributes: &Attributes) -> Option<String> {
        let mut found = None;
        self.visit(&attributes.user, &attributes.namespace, |binding, namespace, rules| {
            if !rules.iter().any(|rule| rule.allows(attributes)) {
                return true;
            }
            let applies = |s: &&Subject| match s.kind {
                Kind::User => s.name == attributes.user.name,
                Kind::Group => attributes.user.in_group(&s.name),
            };
            let subject = binding.subjects.iter().find(applies).map_or("", |s| s.written.as_str());
            let (kind, name) = if namespace.is_empty() {
                ("ClusterRoleBinding", binding.name.clone())
            } else {
                ("RoleBinding", format!("{}/{namespace}", binding.name))
            };
            let role = &binding.role;
            found = Some(format!("RBAC: allowed by {kind} {name:?} of {} {:?} to {subject}", role.kind, role.name));
            false
        });
        found
    }

    /// Every rule that applies to a user in a namespace.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> Vec<Rule> {
        let mut all = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.visit(user, namespace, |binding, namespace, rules| {
            if seen.insert((namespace.is_empty(), binding.name.clone())) {
                all.extend_from_slice(rules);
            }
            true
        });
        all
    }
}

/// The `roleRef` of a binding.
pub fn role_ref(binding: &Object) -> Option<RoleRef> {
    let text = |field: &str| binding.at(&["roleRef", field]).and_then(Value::as_str).map(str::to_owned);
    Some(RoleRef { kind: text("kind")?, name: text("name")? })
}

fn read_subject(subject: &Value, namespace: &str) -> Option<Subject> {
    let text = |field: &str| subject.get(field).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("kind"), text("name"));
    let plain = |kind_of| Some(Subject { kind: kind_of, name: name.to_owned(), written: format!("{kind} {name:?}") });
    match kind {
        "User" => plain(Kind::User),
        "Group" => plain(Kind::Group),
        "ServiceAccount" => {
            let own = text("namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            (!namespace.is_empty()).then(|| Subject {
                kind: Kind::User,
                name: service_account_name(namespace, name),
                written: format!("{kind} {:?}", format!("{name}/{namespace}")),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn policy() -> Policy {
        let mut policy = Policy::default();
        let rule = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }]);
        policy.put("clusterroles", &object(json!({ "metadata": { "name": "reader" }, "rules": rule })));
        policy.put("roles", &object(json!({ "metadata": { "name": "reader", "namespace": "ns" }, "rules": rule })));
        let binding = |namespace: &str, name: &str, kind: &str, subject: Value| {
            object(json!({
                "metadata": { "name": name, "namespace": namespace },
                "roleRef": { "kind": kind, "name": "reader" },
                "subjects": [subject],
            }))
        };
        let group = json!({ "kind": "Group", "name": "ops" });
        policy.put("clusterrolebindings", &binding("", "ops", "ClusterRole", group));
        let account = json!({ "kind": "ServiceAccount", "name": "sa" });
        policy.put("rolebindings", &binding("ns", "sa", "Role", account));
        let user = json!({ "kind": "User", "name": "jane" });
        policy.put("rolebindings", &binding("ns", "jane", "ClusterRole", user));
        policy
    }

    fn ask(name: &str, groups: &[&str], namespace: &str) -> Attributes {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        Attributes {
            user: Arc::new(UserInfo { name: name.into(), groups, ..UserInfo::default() }),
            verb: "get".into(),
            namespace: namespace.into(),
            resource: "pods".into(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    #[test]
    fn bindings_apply_to_their_subjects_in_their_scope() {
        let policy = policy();
        let cases = [
            ("joe", &["ops"][..], "ns", true),
            ("joe", &["ops"], "", true),
            ("joe", &[], "ns", false),
            ("jane", &[], "ns", true),
            ("jane", &[], "other", false),
            ("jane", &[], "", false),
            ("system:serviceaccount:ns:sa", &[], "ns", true),
            ("system:serviceaccount:other:sa", &[], "ns", false),
        ];
        for (name, groups, namespace, wanted) in cases {
            assert_eq!(policy.allows(&ask(name, groups, namespace)), wanted, "{name} {groups:?} {namespace}");
        }
    }

    #[test]
    fn an_allowance_names_its_binding() {
        let policy = policy();
        let text = |a| policy.explain(&a).unwrap();
        assert_eq!(
            text(ask("joe", &["ops"], "")),
            r#"RBAC: allowed by ClusterRoleBinding "ops" of ClusterRole "reader" to Group "ops""#
        );
        assert_eq!(
            text(ask("system:serviceaccount:ns:sa", &[], "ns")),
            r#"RBAC: allowed by RoleBinding "sa/ns" of Role "reader" to ServiceAccount "sa/ns""#
        );
    }

    #[test]
    fn what_is_removed_or_changed_allows_no_more() {
        let mut policy = policy();
        policy.remove("rolebindings", "ns", "jane");
        assert!(!policy.allows(&ask("jane", &[], "ns")));
        policy.remove("clusterroles", "", "reader");
        assert!(!policy.allows(&ask("joe", &["ops"], "")));
        let changed = json!({
            "metadata": { "name": "sa", "namespace": "ns" },
            "roleRef": { "kind": "Role", "name": "reader" },
            "subjects": [{ "kind": "User", "name": "joe" }],
        });
        policy.put("rolebindings", &object(changed));
        assert!(!policy.allows(&ask("system:serviceaccount:ns:sa", &[], "ns")));
        assert!(policy.allows(&ask("joe", &[], "ns")));
    }
}
