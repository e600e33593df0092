//! Upstream's own test tables, one file for each plugin in `golden/`: the same pods, nodes and numbers, in JSON as Go
//! writes them. Each line is a case; its `kind` says what is asked of the plugin.

use crate::cache::Cache;
use crate::catalog::{Table, key};
use crate::change::{Change, Changed, Pair};
use crate::config::{Config, ProfileConfig};
use crate::framework::{Plugin, Prepared, Verdict, normalize_by_max};
use crate::plugin::resource_allocation::Shape;
use crate::pod::{PodInfo, spec_of};
use crate::profile::plugin;
use crate::selection::Selector;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

mod preemption;

fn typed<T: DeserializeOwned>(value: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}")))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Pods of the tables often have no uid; here they are told apart by one.
fn pod(value: &Value, fallback: &str) -> Arc<Pod> {
    let mut value = value.clone();
    if value["metadata"]["uid"].is_null() {
        value["metadata"]["uid"] = fallback.into();
    }
    typed(&value)
}

fn fill<T: Metadata<Ty = ObjectMeta> + DeserializeOwned>(table: &mut Table<T>, objects: &Value) {
    for value in list(objects) {
        let object: Arc<T> = typed(value);
        table.set(key(object.metadata()), Some(object));
    }
}

fn world(case: &Value) -> Cache {
    let mut cache = Cache::default();
    for node in list(&case["nodes"]).iter().chain(list(&case["others"])) {
        cache.set_node(typed(node));
    }
    for (at, value) in list(&case["pods"]).iter().enumerate() {
        let pod = pod(value, &format!("there-{at}"));
        let node = spec_of(&pod).node_name.clone().unwrap_or_default();
        cache.set_pod(PodInfo::placed(&pod), &node);
    }
    let objects = &case["objects"];
    for namespace in list(&objects["namespaces"]) {
        let labels = serde_json::from_value(namespace["metadata"]["labels"].clone()).unwrap();
        cache.set_namespace(namespace["metadata"]["name"].as_str().unwrap(), Some(labels));
    }
    let catalog = &mut cache.snapshot_mut().catalog;
    fill(&mut catalog.claims, &objects["claims"]);
    fill(&mut catalog.volumes, &objects["volumes"]);
    fill(&mut catalog.classes, &objects["classes"]);
    fill(&mut catalog.capacities, &objects["capacities"]);
    fill(&mut catalog.csi_drivers, &objects["csiDrivers"]);
    let budgets = list(&case["pdbs"]).iter().enumerate();
    let budgets: Vec<_> = budgets.map(|(at, budget)| (at.to_string(), typed(budget))).collect();
    for service in list(&objects["services"]) {
        let service: Arc<Service> = typed(service);
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        catalog.owners.set_service(&service.metadata, selector);
    }
    cache.snapshot_mut().budgets.extend(budgets);
    cache
}

fn built(case: &Value) -> Arc<dyn Plugin> {
    let name = case["plugin"].as_str().unwrap();
    let config = Config { hosted_volumes: false, ..Config::default() };
    let mut profile: ProfileConfig = config.profiles[0].clone();
    profile.args.set(name, case["args"].clone()).unwrap_or_else(|error| panic!("{error}: {}", case["args"]));
    plugin(name, &profile, &config).unwrap()
}

fn told(verdict: &Verdict) -> Value {
    let code = match verdict {
        Verdict::Fits => return Value::Null,
        Verdict::Unschedulable(_) => "Unschedulable",
        Verdict::Unresolvable(_) => "UnschedulableAndUnresolvable",
        Verdict::Failed(_) => "Error",
    };
    json!({"code": code, "reasons": verdict.reasons()})
}

/// Some tables look at the code alone, and wrong input is told in other words than Go's.
fn same(want: &Value, got: &Value) -> bool {
    let success = |value: &Value| value.is_null() || value["code"] == "Success";
    (success(want) && success(got))
        || (want["code"] == got["code"]
            && (want["reasons"].is_null() || want["code"] == "Error" || want["reasons"] == got["reasons"]))
}

/// Nothing, or how the plugin differs from the table.
fn filter(case: &Value) -> Option<String> {
    let plugin = built(case);
    let mut cache = world(case);
    let snapshot = cache.snapshot();
    let new = PodInfo::new(pod(&case["pod"], "new"));
    let prepared = plugin.pre_filter().unwrap().prepare(&new, snapshot);
    let pre = match &prepared {
        Prepared::Skip => json!({"code": "Skip", "reasons": []}),
        Prepared::Rejected(reason) => told(&Verdict::unresolvable(reason.clone())),
        Prepared::Failed(reason) => told(&Verdict::Failed(reason.clone())),
        Prepared::Filter(_) | Prepared::Narrowed(..) => Value::Null,
    };
    // Where the table does not look at `PreFilter`, having nothing to say is as good as saying yes.
    let skipped = pre["code"] == "Skip" && case["pre"].is_null();
    if !same(&case["pre"], &pre) && !skipped {
        return Some(format!("PreFilter says {pre} for {}", case["pre"]));
    }
    let filter = match prepared {
        Prepared::Filter(filter) => filter,
        Prepared::Narrowed(filter, names) => {
            let names: Vec<_> = names.into_iter().collect();
            if !case["narrowed"].is_null() && json!(names) != case["narrowed"] {
                return Some(format!("narrowed to {names:?}"));
            }
            filter
        }
        _ if skipped => Box::new(|_: &NodeInfo| Verdict::Fits),
        _ => return None,
    };
    for (want, node) in list(&case["want"]).iter().zip(list(&case["nodes"])) {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let Some(node) = snapshot.node(name) else { continue };
        let got = told(&filter.filter(node));
        if !same(want, &got) {
            return Some(format!("on {name:?}: {got} for {want}"));
        }
    }
    None
}

fn score(case: &Value) -> Option<String> {
    let plugin = built(case);
    let mut cache = world(case);
    let snapshot = cache.snapshot();
    let new = PodInfo::new(pod(&case["pod"], "new"));
    let names: Vec<_> = list(&case["nodes"]).iter().map(|node| node["metadata"]["name"].as_str().unwrap()).collect();
    let feasible: Vec<_> = names.iter().map(|name| snapshot.node(name).unwrap().clone()).collect();
    let scorer = plugin.pre_score().unwrap().scorer(&new, snapshot, &feasible);
    let scores = scorer.map(|scorer| {
        let mut scores: Vec<i64> = feasible.iter().map(|node| scorer.score(node)).collect();
        scorer.normalize(&mut scores);
        scores
    });
    let got = scores.map_or(Value::Null, |scores| json!(scores));
    // Having nothing to say is the same as saying the same of all.
    let level = |value: &Value| list(value).windows(2).all(|pair| pair[0] == pair[1]);
    let agrees = got == case["want"] || (got.is_null() && level(&case["want"]));
    (!agrees).then(|| format!("{got} for {}", case["want"]))
}

fn hint(case: &Value) -> Option<String> {
    fn pair<T: DeserializeOwned>(case: &Value) -> Pair<T> {
        let state = |value: &Value| (!value.is_null()).then(|| typed(value));
        Pair::new(state(&case["old"]), state(&case["new"]))
    }
    let object = match case["object"].as_str().unwrap() {
        "Node" => Changed::Node(pair(case)),
        "AssignedPod" => Changed::AssignedPod(pair(case)),
        "TargetPod" => Changed::TargetPod(pair(case)),
        "Claim" => Changed::Claim(pair(case)),
        "Volume" => Changed::Volume(pair(case)),
        "StorageClass" => Changed::StorageClass(pair(case)),
        "CsiNode" => Changed::CsiNode(pair(case)),
        "CsiDriver" => Changed::CsiDriver(pair(case)),
        "CsiStorageCapacity" => Changed::CsiStorageCapacity(pair(case)),
        "VolumeAttachment" => Changed::VolumeAttachment(pair(case)),
        "DeviceClass" => Changed::DeviceClass(pair(case)),
        other => panic!("{other}"),
    };
    let waiting = PodInfo::new(pod(&case["pod"], "new"));
    let got = built(case).woken_by(&waiting, &Change::new(object));
    (json!(got) != case["want"]).then(|| format!("{got} for {}", case["want"]))
}

fn checked(case: &Value) -> Option<String> {
    match case["kind"].as_str().unwrap() {
        "filter" => filter(case),
        "score" => score(case),
        "hint" => hint(case),
        "fits" => {
            let mut cache = world(case);
            let new = PodInfo::new(pod(&case["pod"], "new"));
            let plugin = built(case);
            let snapshot = cache.snapshot();
            let Prepared::Filter(filter) = plugin.pre_filter().unwrap().prepare(&new, snapshot) else { return None };
            let got = filter.filter(&snapshot.nodes[0]).fits();
            (json!(got) != case["want"]).then(|| format!("{got}"))
        }
        "narrow" => {
            let new = PodInfo::new(pod(&case["pod"], "new"));
            let (plugin, snapshot) = (built(case), Snapshot::default());
            let names: Vec<String> = match plugin.pre_filter().unwrap().prepare(&new, &snapshot) {
                Prepared::Narrowed(_, names) => names.into_iter().collect(),
                _ => Vec::new(),
            };
            (json!(names) != case["want"]).then(|| format!("{names:?}"))
        }
        "gate" => {
            let refusal = built(case).pre_enqueue().unwrap().refusal(&pod(&case["pod"], "new"), &Snapshot::default());
            let got = refusal.map_or(Value::Null, |reason| told(&Verdict::unresolvable(reason)));
            (!same(&case["want"], &got)).then(|| format!("{got}"))
        }
        "shape" => {
            let points: Vec<(i64, i64)> = serde_json::from_value(case["points"].clone()).unwrap();
            let want: Vec<(i64, i64)> = serde_json::from_value(case["want"].clone()).unwrap();
            let shape = Shape::of_points(points);
            let wrong = want.into_iter().find(|(x, y)| shape.at(*x) != *y);
            wrong.map(|(x, y)| format!("{} at {x} for {y}", shape.at(x)))
        }
        "normalize" => {
            let mut scores: Vec<i64> = serde_json::from_value(case["scores"].clone()).unwrap();
            normalize_by_max(&mut scores, case["reverse"] == true);
            (json!(scores) != case["want"]).then(|| format!("{scores:?} for {}", case["want"]))
        }
        "dryrun" | "best" | "postfilter" => preemption::checked(case),
        other => panic!("{other}"),
    }
}

/// Every case of every table.
#[test]
fn upstreams_tables() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let (mut failures, mut passed) = (Vec::new(), 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let name = format!("{} {} {}", path.file_stem().unwrap().display(), case["test"], case["name"]);
            match checked(&case) {
                None => passed += 1,
                Some(difference) => failures.push(format!("{name}: {difference}")),
            }
        }
    }
    failures.sort();
    assert!(failures.is_empty(), "{passed} pass, {} do not:\n{}", failures.len(), failures.join("\n"));
    assert!(passed > 500, "only {passed} cases were found");
    // A table that lost its selector would pass for the wrong reason.
    assert_ne!(Selector::All(Vec::new()), Selector::Nothing);
}
