//! The roles and bindings every cluster has (k8s.io/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).
//!
//! They are text tables beside this file. `role NAME` (or `NAMESPACE/NAME`) begins a role, `+KEY` gives it an
//! aggregation label, `<KEY` lets it aggregate; a line below is `VERBS GROUPS RESOURCES... [= NAMES...]`, lists with
//! commas, `core` for the core group, `url` for paths, and `READ`, `WRITE`, `ALL` for the usual sets of verbs.
//! `bind NAME [to ROLE]` begins a binding, a line below is a subject.

use super::super::authz::rule::Rule;
use crate::authz::coverage;
use crate::backend::{Backend, Transaction};
use apimachinery::clock::Rng;
use apimachinery::{GroupResource, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use storage::Check;

const GROUP: &str = "rbac.authorization.k8s.io";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

const TABLES: [&str; 6] = [
    include_str!("rbac/cluster-roles.txt"),
    include_str!("rbac/controller-roles.txt"),
    include_str!("rbac/cluster-role-bindings.txt"),
    include_str!("rbac/controller-role-bindings.txt"),
    include_str!("rbac/namespace-roles.txt"),
    include_str!("rbac/namespace-role-bindings.txt"),
];

/// Every role and binding, without uid and creation time.
pub fn objects() -> Vec<Object> {
    TABLES.iter().flat_map(|table| read(table)).collect()
}

/// The rules of a bootstrap cluster role.
pub fn rules_of(cluster_role: &str) -> Vec<Rule> {
    let role = read(TABLES[0]).into_iter().find(|o| o.name() == cluster_role);
    role.map(|r| Rule::list(r.at(&["rules"]))).unwrap_or_default()
}

/// The resource that an object of [`objects`] belongs to.
pub fn resource_of(object: &Object) -> GroupResource {
    let kind = object.as_map().get("kind").and_then(Value::as_str).unwrap_or_default();
    GroupResource::new(GROUP, format!("{}s", kind.to_ascii_lowercase()))
}

fn read(table: &str) -> Vec<Object> {
    let mut objects: Vec<Object> = Vec::new();
    for line in table.lines().filter(|l| !l.is_empty()) {
        if let Some(entry) = line.strip_prefix("  ") {
            let Some(object) = objects.last_mut() else { continue };
            let is_role = object.as_map().contains_key("rules");
            let (list, item) = if is_role { ("rules", rule(entry)) } else { ("subjects", subject(entry)) };
            if let Some(Value::Array(list)) = object.as_map_mut().get_mut(list) {
                list.push(item);
            }
        } else if let Some(head) = line.strip_prefix("role ") {
            objects.push(role(head));
        } else if let Some(head) = line.strip_prefix("bind ") {
            objects.push(binding(head));
        }
    }
    objects.iter_mut().for_each(forget_empties);
    objects
}

/// As upstream stores them: a role without rules says so, a binding without subjects does not.
fn forget_empties(object: &mut Object) {
    let none = |list: &str| object.as_map().get(list).and_then(Value::as_array).is_some_and(Vec::is_empty);
    if none("rules") {
        object.set_at(&["rules"], Value::Null);
    } else if none("subjects") {
        object.remove_at(&["subjects"]);
    }
}

fn named(cluster_kind: &str, name: &str) -> Value {
    let (kind, namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (cluster_kind.trim_start_matches("Cluster"), Some(namespace), name),
        None => (cluster_kind, None, name),
    };
    let mut metadata = json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { AUTOUPDATE: "true" },
    });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({ "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata })
}

fn into_object(value: Value) -> Object {
    Object::from_value(value).expect("built with an object as metadata")
}

fn role(head: &str) -> Object {
    let mut parts = head.split(' ');
    let mut role = named("ClusterRole", parts.next().unwrap_or_default());
    role["rules"] = json!([]);
    for part in parts {
        if let Some(label) = part.strip_prefix('+') {
            role["metadata"]["labels"][format!("rbac.authorization.k8s.io/{label}")] = json!("true");
        } else if let Some(label) = part.strip_prefix('<') {
            let selector = json!({ "matchLabels": { format!("rbac.authorization.k8s.io/{label}"): "true" } });
            if role.get("aggregationRule").is_none() {
                role["aggregationRule"] = json!({ "clusterRoleSelectors": [] });
            }
            if let Some(list) = role["aggregationRule"]["clusterRoleSelectors"].as_array_mut() {
                list.push(selector);
            }
        }
    }
    into_object(role)
}

fn rule(entry: &str) -> Value {
    const READ: &[&str] = &["get", "list", "watch"];
    const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
    const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let (what, names) = entry.split_once(" = ").unwrap_or((entry, ""));
    let mut parts = what.split(' ');
    let verbs: Vec<&str> = match parts.next().unwrap_or_default() {
        "READ" => READ.to_vec(),
        "WRITE" => WRITE.to_vec(),
        "ALL" => ALL.to_vec(),
        list => list.split(',').collect(),
    };
    let groups = parts.next().unwrap_or_default();
    let targets: Vec<&str> = parts.collect();
    if groups == "url" {
        return json!({ "verbs": verbs, "nonResourceURLs": targets });
    }
    let groups: Vec<&str> = groups.split(',').map(|g| if g == "core" { "" } else { g }).collect();
    let mut rule = json!({ "verbs": verbs, "apiGroups": groups, "resources": targets });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names.split(' ').collect::<Vec<_>>());
    }
    rule
}

fn binding(head: &str) -> Object {
    let (name, target) = head.split_once(" to ").unwrap_or((head, head));
    let mut binding = named("ClusterRoleBinding", name);
    let (kind, target) = match (name.contains('/'), target.split_once('/')) {
        (true, Some((_, role))) => ("Role", role),
        (true, None) => ("Role", target),
        (false, _) => ("ClusterRole", target),
    };
    binding["roleRef"] = json!({ "apiGroup": GROUP, "kind": kind, "name": target });
    binding["subjects"] = json!([]);
    into_object(binding)
}

fn subject(entry: &str) -> Value {
    match entry.split_once(' ') {
        Some(("account", account)) => {
            let (namespace, name) = account.split_once('/').unwrap_or(("", account));
            json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace })
        }
        Some(("user", name)) => json!({ "apiGroup": GROUP, "kind": "User", "name": name }),
        Some((_, name)) => json!({ "apiGroup": GROUP, "kind": "Group", "name": name }),
        None => Value::Null,
    }
}

/// Brings the store up to the tables in one transaction: creates what is missing and adds what roles and bindings lack.
/// Extra rules and subjects stay, and objects whose autoupdate annotation says `false` are left alone.
pub async fn reconcile(backend: &Backend, now: Timestamp, rng: &dyn Rng) -> Result<usize, storage::Error> {
    let mut transaction = Transaction::default();
    for wanted in objects() {
        let resource = resource_of(&wanted);
        let key = Backend::key(&resource, wanted.namespace(), wanted.name());
        let live = backend.storage.get(&key).await?;
        let object = match &live {
            None => {
                transaction.checks.push(Check::Absent(key));
                let mut created = wanted;
                created.set_meta_str("uid", &rng.uuid());
                created.set_meta_str("creationTimestamp", &now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
                created
            }
            Some(stored) => {
                let Some(old) = serde_json::from_slice(&stored.body).ok().and_then(Object::from_value) else {
                    continue;
                };
                let Some(completed) = completed(&old, &wanted) else { continue };
                transaction.checks.push(Check::At(key, stored.revision));
                completed
            }
        };
        transaction.writes.push(Backend::put(&resource, &object));
    }
    let count = transaction.writes.len();
    if count > 0 {
        backend.storage.transact(transaction.checks, transaction.writes).await?;
    }
    Ok(count)
}

/// The live object with what it lacks; none when it lacks nothing.
fn completed(live: &Object, wanted: &Object) -> Option<Object> {
    if live.annotation(AUTOUPDATE) == Some("false") {
        return None;
    }
    let mut object = live.clone();
    for map in ["labels", "annotations"] {
        let Some(Value::Object(additions)) = wanted.at(&["metadata", map]) else { continue };
        for (key, value) in additions {
            if live.at(&["metadata", map, key]).is_none() {
                object.set_at(&["metadata", map, key], value.clone());
            }
        }
    }
    if wanted.as_map().contains_key("aggregationRule") {
        if live.at(&["aggregationRule"]) != wanted.at(&["aggregationRule"]) {
            object.set_at(&["aggregationRule"], wanted.at(&["aggregationRule"])?.clone());
        }
    } else if wanted.as_map().contains_key("rules") {
        let missing = coverage::missing(&Rule::list(live.at(&["rules"])), &Rule::list(wanted.at(&["rules"])));
        if !missing.is_empty() {
            let mut rules = Rule::list(live.at(&["rules"]));
            rules.extend(coverage::compacted(missing));
            object.set_at(&["rules"], serde_json::to_value(rules).ok()?);
        }
    } else {
        let list = |o: &Object| o.at(&["subjects"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut subjects = list(live);
        let identity = |s: &Value| (s.get("kind").cloned(), s.get("name").cloned(), s.get("namespace").cloned());
        for subject in list(wanted) {
            if !subjects.iter().any(|s| identity(s) == identity(&subject)) {
                subjects.push(subject);
            }
        }
        if subjects.len() != list(live).len() {
            object.set_at(&["subjects"], Value::Array(subjects));
        }
    }
    (object != *live).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use apimachinery::clock::SeededRng;
    use std::collections::BTreeMap;

    /// Upstream's expected objects, read where the Go module cache holds them; none where there is no such cache.
    fn upstreams() -> Option<BTreeMap<String, Value>> {
        let module = std::process::Command::new("go")
            .args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/upstream/kubernetes"))
            .output()
            .ok()
            .filter(|o| o.status.success())
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())?;
        let folder = format!("{module}/plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata");
        let files = [
            "cluster-roles",
            "controller-roles",
            "cluster-role-bindings",
            "controller-role-bindings",
            "namespace-roles",
            "namespace-role-bindings",
        ];
        let mut all = BTreeMap::new();
        for file in files {
            let text = std::fs::read_to_string(format!("{folder}/{file}.yaml")).ok()?;
            let (list, _) = schema::yaml::from_yaml(text.as_bytes()).unwrap();
            for item in list["items"].as_array().unwrap() {
                all.insert(identity(item), normalized(item));
            }
        }
        Some(all)
    }

    fn identity(object: &Value) -> String {
        format!("{} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
    }

    /// Absent, null and empty lists are the same.
    fn normalized(object: &Value) -> Value {
        let mut object = object.clone();
        for field in ["rules", "subjects"] {
            if object.get(field).is_some_and(|v| v.is_null() || v == &json!([])) {
                object.as_object_mut().unwrap().remove(field);
            }
        }
        object
    }

    #[test]
    fn the_tables_are_upstreams() {
        let Some(wanted) = upstreams() else { return };
        let ours: BTreeMap<String, Value> = objects()
            .into_iter()
            .map(|o| {
                let value = o.into_value();
                (identity(&value), normalized(&value))
            })
            .collect();
        assert_eq!(ours.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (name, object) in wanted {
            assert_eq!(ours[&name], object, "{name}");
        }
    }

    #[tokio::test]
    async fn reconciling_creates_completes_and_then_rests() {
        let store = Fixture::default();
        let rng = SeededRng::new(1);
        let now = Timestamp::UNIX_EPOCH;
        let edited = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": "system:discovery", "uid": "kept" },
            "rules": [{ "verbs": ["get"], "nonResourceURLs": ["/extra", "/api"] }],
        });
        store.put("clusterroles", GROUP, edited).await;
        let mut left = json!({ "metadata": { "name": "system:basic-user", "annotations": { AUTOUPDATE: "false" } } });
        left["rules"] = json!([]);
        store.put("clusterroles", GROUP, left).await;

        assert_eq!(reconcile(&store.backend(), now, &rng).await.unwrap(), objects().len() - 1);
        assert_eq!(reconcile(&store.backend(), now, &rng).await.unwrap(), 0);
        let roles = GroupResource::new(GROUP, "clusterroles");
        let role = store.backend().object(&roles, "", "system:discovery").await.unwrap().unwrap();
        assert_eq!(role.uid(), "kept");
        let rules = Rule::list(role.at(&["rules"]));
        assert_eq!(coverage::missing(&rules, &rules_of("system:discovery")), []);
        assert!(rules.iter().any(|r| r.non_resource_urls.contains(&"/extra".to_owned())));
        let untouched = store.backend().object(&roles, "", "system:basic-user").await.unwrap().unwrap();
        assert_eq!(untouched.at(&["rules"]), Some(&json!([])));
    }
}
