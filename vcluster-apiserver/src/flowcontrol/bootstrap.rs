//! The levels and schemas every cluster has, kept as upstream keeps them
//! (k8s.io/apiserver `pkg/apis/flowcontrol/bootstrap`, k8s.io/kubernetes `pkg/registry/flowcontrol/ensurer`).
//!
//! `bootstrap.txt` beside this file is the table: `level NAME KIND` with its numbers, `schema NAME to LEVEL at PRECEDENCE`
//! with what tells its flows apart, and below it subjects (service accounts are of kube-system) and rules.

use super::{GROUP, LEVELS, SCHEMAS};
use crate::backend::{Backend, Transaction};
use crate::registry::store::timestamp;
use apimachinery::clock::Rng;
use apimachinery::{GroupResource, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use storage::{Check, Write};

const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// These are always as the table has them.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// Every level and schema, with the resource it belongs to.
pub fn objects() -> Vec<(&'static str, Object)> {
    let mut objects: Vec<(&'static str, Object)> = Vec::new();
    for line in include_str!("bootstrap.txt").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["level", name, kind, numbers @ ..] => objects.push((LEVELS, level(name, kind, numbers))),
            ["schema", name, "to", level, "at", precedence, distinguisher @ ..] => {
                objects.push((SCHEMAS, schema(name, level, precedence, distinguisher.first().copied())));
            }
            words => {
                if let Some((_, schema)) = objects.last_mut() {
                    add(schema, words);
                }
            }
        }
    }
    objects
}

/// One of the mandatory levels, for when the store has none.
pub fn mandatory() -> impl Iterator<Item = (&'static str, Object)> {
    objects().into_iter().filter(|(_, object)| MANDATORY.contains(&object.name()))
}

fn named(kind: &str, name: &str, spec: Value) -> Object {
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": {"name": name, "generation": 1, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec, "status": {},
    });
    Object::from_value(object).expect("built with an object as metadata")
}

fn level(name: &str, kind: &str, numbers: &[&str]) -> Object {
    let number = |key: &str| {
        let value = numbers.iter().find_map(|n| n.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|v| v.parse::<u32>().ok()).unwrap_or_default()
    };
    let mut shares = json!({"nominalConcurrencyShares": number("shares"), "lendablePercent": number("lendable")});
    let spec = if kind == "Exempt" {
        json!({"type": "Exempt", "exempt": shares})
    } else {
        shares["limitResponse"] = json!({"type": kind});
        if kind == "Queue" {
            shares["limitResponse"]["queuing"] =
                json!({"queues": number("queues"), "handSize": number("hand"), "queueLengthLimit": number("length")});
        }
        json!({"type": "Limited", "limited": shares})
    };
    named("PriorityLevelConfiguration", name, spec)
}

fn schema(name: &str, level: &str, precedence: &str, distinguisher: Option<&str>) -> Object {
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence.parse::<u32>().unwrap_or_default(),
        "rules": [{"subjects": []}],
    });
    if let Some(method) = distinguisher {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    named("FlowSchema", name, spec)
}

fn add(schema: &mut Object, words: &[&str]) {
    let resource_rule = |verbs: &str, group: &str, resources: &[&str], cluster: bool| {
        let verbs: Vec<&str> = verbs.split(',').collect();
        let group = if group == "core" { "" } else { group };
        let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
        if cluster {
            rule["clusterScope"] = json!(true);
        }
        ("resourceRules", rule)
    };
    let path_rule =
        |verbs: &str, paths: &[&str]| ("nonResourceRules", json!({"verbs": [verbs], "nonResourceURLs": paths}));
    let additions = match words {
        ["subject", "ServiceAccount", name] => {
            let account = json!({"name": name, "namespace": "kube-system"});
            vec![("subjects", json!({"kind": "ServiceAccount", "serviceAccount": account}))]
        }
        ["subject", kind, name] => {
            vec![("subjects", json!({"kind": kind, kind.to_ascii_lowercase(): {"name": name}}))]
        }
        ["all"] => vec![resource_rule("*", "*", &["*"], true), path_rule("*", &["*"])],
        ["paths", verbs, paths @ ..] => vec![path_rule(verbs, paths)],
        ["resources", verbs, group, resources @ ..] => vec![resource_rule(verbs, group, resources, true)],
        ["namespaced", verbs, group, resources @ ..] => vec![resource_rule(verbs, group, resources, false)],
        _ => Vec::new(),
    };
    let Some(Value::Object(rules)) = schema.as_map_mut().get_mut("spec").and_then(|spec| spec.pointer_mut("/rules/0"))
    else {
        return;
    };
    for (list, item) in additions {
        if let Value::Array(list) = rules.entry(list).or_insert_with(|| json!([])) {
            list.push(item);
        }
    }
}

/// Brings the store up to the table in one transaction: creates what is missing, corrects what nobody has taken over, and
/// removes what earlier releases made. Answers how many objects were written.
pub async fn ensure(backend: &Backend, now: Timestamp, rng: &dyn Rng) -> Result<usize, storage::Error> {
    let mut transaction = Transaction::default();
    let wanted = objects();
    for (resource, object) in &wanted {
        let group_resource = GroupResource::new(GROUP, *resource);
        let key = Backend::key(&group_resource, "", object.name());
        let revised = match backend.storage.get(&key).await? {
            None => {
                transaction.checks.push(Check::Absent(key));
                let mut created = object.clone();
                created.set_meta_str("uid", &rng.uuid());
                created.set_meta_str("creationTimestamp", &timestamp(now));
                created
            }
            Some(stored) => {
                let live = serde_json::from_slice(&stored.body).ok().and_then(Object::from_value).unwrap_or_default();
                let Some(revised) = revised(&live, object) else { continue };
                transaction.checks.push(Check::At(key, stored.revision));
                revised
            }
        };
        transaction.writes.push(Backend::put(&group_resource, &revised));
    }
    for resource in [LEVELS, SCHEMAS] {
        let group_resource = GroupResource::new(GROUP, resource);
        for object in backend.objects(&group_resource, None).await? {
            let known = wanted.iter().any(|(r, o)| *r == resource && o.name() == object.name());
            if !known && object.annotation(AUTOUPDATE) == Some("true") {
                let key = Backend::key(&group_resource, "", object.name());
                transaction.checks.push(Check::Present(key.clone()));
                transaction.writes.push(Write::Delete(key, crate::backend::unsealed(&object)));
            }
        }
    }
    let count = transaction.writes.len();
    if count > 0 {
        match backend.storage.transact(transaction.checks, transaction.writes).await {
            // Somebody was faster; the next round sees what is left to do.
            Err(storage::Error::Conflict { .. }) => return Ok(0),
            other => other.map(drop)?,
        }
    }
    Ok(count)
}

/// The live object as it should be; none when it is.
fn revised(live: &Object, wanted: &Object) -> Option<Object> {
    let annotated = match live.annotation(AUTOUPDATE) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    // Without a word of anybody, an object that was never changed is still ours.
    let ours = MANDATORY.contains(&wanted.name()) || annotated.unwrap_or(live.generation() <= 1);
    let mut object = live.clone();
    if annotated != Some(ours) {
        object.set_at(&["metadata", "annotations", AUTOUPDATE], json!(ours.to_string()));
    }
    if ours && live.at(&["spec"]) != wanted.at(&["spec"]) {
        object.set_at(&["spec"], wanted.at(&["spec"])?.clone());
        object.set_at(&["metadata", "generation"], json!(live.generation() + 1));
    }
    (object != *live).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::super::spec::{LevelSpec, Schema};
    use super::*;
    use crate::fixture::Fixture;
    use apimachinery::clock::SeededRng;

    #[test]
    fn the_table_is_whole_and_sound() {
        let objects = objects();
        let levels: Vec<&Object> = objects.iter().filter(|(r, _)| *r == LEVELS).map(|(_, o)| o).collect();
        assert_eq!((levels.len(), objects.len()), (8, 19));
        let shares: u32 = levels.iter().map(|level| LevelSpec::read(level).unwrap().shares).sum();
        assert_eq!(shares, 245);
        for (_, object) in objects.iter().filter(|(r, _)| *r == SCHEMAS) {
            let schema = Schema::read(object).unwrap();
            assert!(levels.iter().any(|level| level.name() == schema.level), "{}", schema.name);
        }
        assert_eq!(mandatory().count(), 4);
    }

    #[tokio::test]
    async fn objects_are_created_corrected_and_left_alone_as_upstream_does() {
        let store = Fixture::default();
        let (rng, now) = (SeededRng::new(1), Timestamp::UNIX_EPOCH);
        let edited = |name: &str, generation: u32, annotation: Option<&str>| {
            let annotations = annotation.map_or(json!({}), |a| json!({AUTOUPDATE: a}));
            json!({"metadata": {"name": name, "generation": generation, "annotations": annotations},
                "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1}}})
        };
        for (name, generation, annotation) in [
            ("system", 1, None),
            ("node-high", 2, None),
            ("workload-low", 7, Some("true")),
            ("workload-high", 7, Some("false")),
            ("catch-all", 7, Some("false")),
            ("retired", 1, Some("true")),
        ] {
            store.put(LEVELS, GROUP, edited(name, generation, annotation)).await;
        }
        // All but the one that is left alone, and one deletion.
        assert_eq!(ensure(&store.backend(), now, &rng).await.unwrap(), 19);
        assert_eq!(ensure(&store.backend(), now, &rng).await.unwrap(), 0);
        let resource = GroupResource::new(GROUP, LEVELS);
        for (name, ours, shares) in [
            ("system", "true", 30),
            ("node-high", "false", 1),
            ("workload-low", "true", 100),
            ("workload-high", "false", 1),
            ("catch-all", "true", 5),
        ] {
            let object = store.backend().object(&resource, "", name).await.unwrap().unwrap();
            assert_eq!(object.annotation(AUTOUPDATE), Some(ours), "{name}");
            assert_eq!(object.at(&["spec", "limited", "nominalConcurrencyShares"]), Some(&json!(shares)), "{name}");
        }
        assert_eq!(store.backend().object(&resource, "", "retired").await.unwrap(), None);
    }
}
