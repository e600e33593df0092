//! The verbs over every resource of the tables, and the cases that clients depend on.

use serde_json::{Value, json};
use std::sync::Arc;
use vcluster_apiserver::registry::builtin;
use vcluster_apiserver::registry::special::Specials;
use vcluster_apiserver::registry::strategy::Plain;
use vcluster_apiserver::testing::TestServer;

async fn server() -> TestServer {
    TestServer::start().await.expect("a store in memory starts")
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn every_persisted_resource_is_created_read_and_deleted() {
    // The kinds' own rules aside: this is about what all kinds share.
    let plain = || builtin::snapshot_with(|_, _| Arc::new(Plain));
    let server = TestServer::with(plain(), Vec::new(), Specials::default()).await.expect("a store in memory starts");
    let mut count = 0;
    for resource in plain().resources().filter(|r| r.is_persisted() && r.has_verb("create")) {
        let gvr = &resource.gvr;
        let prefix = if gvr.group.is_empty() {
            format!("/api/{}", gvr.version)
        } else {
            format!("/apis/{}/{}", gvr.group, gvr.version)
        };
        let scope = if resource.namespaced { "/namespaces/default" } else { "" };
        let path = format!("{prefix}{scope}/{}", gvr.resource);
        let mut object = json!({"apiVersion": resource.kind.api_version(), "kind": resource.kind.kind,
            "metadata": {"name": "thing", "labels": {"a": "b"}}});
        if gvr.resource == "services" {
            object["spec"] = json!({"ports": [{"port": 80}]});
        }
        let created = server.post(&path, &object).await;
        assert_eq!(created.code, 201, "{path}: {}", created.text("/message"));
        assert_eq!(created.text("/kind"), resource.kind.kind);
        assert_eq!(created.text("/apiVersion"), resource.kind.api_version());
        let one = format!("{path}/thing");
        let read = server.get(&one).await;
        assert_eq!(read.body, created.body, "{path}");
        let listed = server.get(&format!("{path}?labelSelector=a%3Db")).await.json();
        let names: Vec<&str> =
            listed["items"].as_array().unwrap().iter().filter_map(|i| i["metadata"]["name"].as_str()).collect();
        assert!(names.contains(&"thing"), "{path} {listed}");
        assert_eq!(listed["items"][0].get("kind"), None, "{path}");
        assert_eq!(server.delete(&one).await.code, 200, "{path}");
        if gvr.resource != "namespaces" {
            assert_eq!(server.get(&one).await.code, 404, "{path}");
        }
        count += 1;
    }
    assert!(count > 50, "{count} resources");
}

#[tokio::test]
async fn an_update_needs_the_version_it_was_made_from() {
    let server = server().await;
    let created = server.post(MAPS, &config_map("a", "1")).await.json();
    let uri = format!("{MAPS}/a");
    let mut changed = created.clone();
    changed["data"]["k"] = "2".into();
    let updated = server.put(&uri, &changed).await;
    assert_eq!(updated.code, 200);
    assert_ne!(updated.text("/metadata/resourceVersion"), created["metadata"]["resourceVersion"]);
    let stale = server.put(&uri, &changed).await;
    assert_eq!((stale.code, stale.text("/reason").as_str()), (409, "Conflict"));
    changed["metadata"]["resourceVersion"] = "".into();
    assert_eq!(
        server.put(&uri, &changed).await.body,
        server.get(&uri).await.body,
        "nothing changed, so nothing is written"
    );
    changed["metadata"]["uid"] = "other".into();
    assert_eq!(server.put(&uri, &changed).await.code, 409);
}

#[tokio::test]
async fn patches_of_all_kinds_change_the_live_object() {
    let server = server().await;
    server.post(MAPS, &config_map("a", "1")).await;
    let uri = format!("{MAPS}/a");
    let merged = server.patch(&uri, "application/merge-patch+json", &json!({"data": {"x": "y"}})).await;
    assert_eq!(merged.json()["data"], json!({"k": "1", "x": "y"}));
    let operations = json!([{"op": "remove", "path": "/data/x"}]);
    let patched = server.patch(&uri, "application/json-patch+json", &operations).await;
    assert_eq!(patched.json()["data"], json!({"k": "1"}));
    let failed = server.patch(&uri, "application/json-patch+json", &operations).await;
    assert_eq!(failed.code, 422);
    assert_eq!(server.patch(&uri, "application/json", &operations).await.code, 415);
    let missing = server.patch(&format!("{MAPS}/none"), "application/merge-patch+json", &json!({})).await;
    assert_eq!(missing.code, 404);
}

#[tokio::test]
async fn finalizers_keep_an_object_until_the_last_is_gone() {
    let server = server().await;
    let mut object = config_map("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/wait"]);
    server.post(MAPS, &object).await;
    let uri = format!("{MAPS}/a");
    let pending = server.delete(&uri).await;
    assert_eq!((pending.code, pending.text("/kind").as_str()), (200, "ConfigMap"));
    assert_eq!(pending.text("/metadata/deletionTimestamp"), "2026-01-01T00:00:00Z");
    let again = server.post(MAPS, &config_map("a", "2")).await;
    assert_eq!(again.code, 409);
    assert!(again.text("/message").starts_with("object is being deleted: "));
    let patch = json!({"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}});
    assert_eq!(server.patch(&uri, "application/merge-patch+json", &patch).await.code, 422);
    let released = server.patch(&uri, "application/merge-patch+json", &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(released.code, 200);
    assert_eq!(server.get(&uri).await.code, 404);
}

#[tokio::test]
async fn dry_runs_store_nothing() {
    let server = server().await;
    let dry = server.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await;
    assert_eq!(dry.code, 201);
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 404);
    server.post(MAPS, &config_map("a", "1")).await;
    assert_eq!(server.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await.code, 409);
    assert_eq!(server.delete(&format!("{MAPS}/a?dryRun=All")).await.code, 200);
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 200);
    assert_eq!(server.delete(&format!("{MAPS}/a?dryRun=Some")).await.code, 422);
}

#[tokio::test]
async fn names_are_generated() {
    let server = server().await;
    let object = json!({"metadata": {"generateName": "web-"}});
    let created = server.post(MAPS, &object).await;
    assert_eq!(created.code, 201, "{}", created.text("/message"));
    let name = created.text("/metadata/name");
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn field_validation_warns_or_refuses() {
    let server = server().await;
    let body = r#"{"metadata":{"name":"a"},"data":{"k":"1","k":"2"},"extra":1}"#;
    let json = [("content-type", "application/json")];
    let strict = server.send("POST", &format!("{MAPS}?fieldValidation=Strict"), &json, body).await;
    assert_eq!(strict.code, 400);
    let why = r#"strict decoding error: duplicate field "data.k", unknown field "extra""#;
    let expected = format!(r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: {why}"#);
    assert_eq!(strict.text("/message"), expected);
    let warned = server.send("POST", MAPS, &json, body).await;
    assert_eq!(warned.code, 201);
    let warnings: Vec<_> = warned.headers.get_all("warning").iter().collect();
    assert_eq!(warnings, [r#"299 - "duplicate field \"data.k\"""#, r#"299 - "unknown field \"extra\"""#]);
}

#[tokio::test]
async fn yaml_and_protobuf_carry_the_same_object() {
    let server = server().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n";
    let created = server
        .send(
            "POST",
            MAPS,
            &[("content-type", "application/yaml"), ("accept", "application/vnd.kubernetes.protobuf")],
            yaml,
        )
        .await;
    assert_eq!(created.code, 201);
    assert_eq!(&created.body[..4], b"k8s\0");
    let mut copy = created.body.to_vec();
    let uri = format!("{MAPS}/a");
    let proto = [("content-type", "application/vnd.kubernetes.protobuf")];
    let updated = server.send("PUT", &uri, &proto, std::mem::take(&mut copy)).await;
    assert_eq!(updated.code, 200, "{}", updated.text("/message"));
    assert_eq!(updated.body, server.get(&uri).await.body);
    let list = server.send("GET", MAPS, &[("accept", "application/vnd.kubernetes.protobuf")], "").await;
    assert_eq!(&list.body[..4], b"k8s\0");
}

#[tokio::test]
async fn a_scale_changes_replicas_only() {
    let server = server().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let created = server.post(path, &json!({"metadata": {"name": "d"}, "spec": spec})).await;
    assert_eq!((created.code, created.json()["metadata"]["generation"].as_i64()), (201, Some(1)));
    let uri = format!("{path}/d/scale");
    let scale = server.get(&uri).await;
    assert_eq!((scale.text("/kind").as_str(), scale.text("/status/selector").as_str()), ("Scale", "a=b"));
    let scaled = server.patch(&uri, "application/merge-patch+json", &json!({"spec": {"replicas": 3}})).await;
    assert_eq!(scaled.json()["spec"]["replicas"], 3, "{}", scaled.text("/message"));
    let deployment = server.get(&format!("{path}/d")).await.json();
    assert_eq!((&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn status_and_spec_are_separate() {
    let server = server().await;
    let path = "/apis/apps/v1/namespaces/default/replicasets";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let object = json!({"metadata": {"name": "r"}, "spec": spec, "status": {"replicas": 9}});
    let created = server.post(path, &object).await.json();
    assert_ne!(created["status"]["replicas"], 9, "{created}");
    let uri = format!("{path}/r");
    let both = json!({"spec": {"replicas": 2}, "status": {"replicas": 5}});
    let main = server.patch(&uri, "application/merge-patch+json", &both).await.json();
    assert_eq!(main["spec"]["replicas"], 2);
    assert_ne!(main["status"]["replicas"], 5);
    let both = json!({"spec": {"replicas": 7}, "status": {"replicas": 5}});
    let status = server.patch(&format!("{uri}/status"), "application/merge-patch+json", &both).await.json();
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(2), &json!(5)));
    assert_eq!(status["metadata"]["generation"], 2);
}

#[tokio::test]
async fn services_get_addresses_and_give_them_back() {
    let server = server().await;
    let path = "/api/v1/namespaces/default/services";
    let service =
        |name: &str| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let dry = server.post(&format!("{path}?dryRun=All"), &service("a")).await;
    assert_eq!(dry.code, 201);
    let a = server.post(path, &service("a")).await.json();
    let address = a["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{a}");
    assert_eq!(a["spec"]["ports"][0]["nodePort"], 30000);
    let mut taken = service("b");
    taken["spec"]["clusterIP"] = address.as_str().into();
    let refused = server.post(path, &taken).await;
    assert_eq!(refused.code, 422);
    assert!(refused.text("/message").contains("provided IP is already allocated"));
    let uri = format!("/apis/networking.k8s.io/v1/ipaddresses/{address}");
    assert_eq!(server.get(&uri).await.code, 200);
    server.delete(&format!("{path}/a")).await;
    assert_eq!(server.get(&uri).await.code, 404);
    assert_eq!(server.post(path, &taken).await.code, 201);
}

#[tokio::test]
async fn a_namespace_waits_for_its_finalizer() {
    let server = server().await;
    server
        .post("/api/v1/namespaces", &json!({"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes"]}}))
        .await;
    let pending = server.delete("/api/v1/namespaces/x").await.json();
    assert_eq!(pending["status"]["phase"], "Terminating");
    let mut finalized = pending.clone();
    finalized["spec"]["finalizers"] = json!([]);
    assert_eq!(server.put("/api/v1/namespaces/x/finalize", &finalized).await.code, 200);
    assert_eq!(server.get("/api/v1/namespaces/x").await.code, 404);
}

#[tokio::test]
async fn hostile_requests_get_a_status() {
    let server = server().await;
    let json = [("content-type", "application/json")];
    for (method, uri, headers, body, code) in [
        ("POST", MAPS, &json[..], "[".repeat(1_000_000), 400),
        ("POST", MAPS, &json[..], "x".repeat(4 << 20), 413),
        ("POST", MAPS, &json[..], "{".to_owned(), 400),
        ("POST", MAPS, &json[..], "[]".to_owned(), 400),
        ("POST", MAPS, &json[..], r#"{"kind":"Pod","apiVersion":"v1"}"#.to_owned(), 400),
        ("POST", MAPS, &json[..], r#"{"metadata":{"name":"a","namespace":"b"}}"#.to_owned(), 400),
        ("POST", MAPS, &json[..], r#"{"metadata":{"name":"A B"}}"#.to_owned(), 422),
        ("POST", MAPS, &json[..], r#"{"metadata":{}}"#.to_owned(), 422),
        ("POST", MAPS, &[("content-type", "text/plain")][..], "{}".to_owned(), 415),
        ("POST", MAPS, &[("content-type", "application/vnd.kubernetes.protobuf")][..], "k8s\0junk".to_owned(), 400),
        ("GET", MAPS, &[("accept", "image/png")][..], String::new(), 406),
        ("GET", "/api/v1/pods?labelSelector=a%20in%20(", &[][..], String::new(), 400),
        ("GET", "/api/v1/pods?fieldSelector=spec.nothing%3Da", &[][..], String::new(), 400),
        ("GET", "/api/v1/pods?limit=1&continue=nonsense", &[][..], String::new(), 400),
        // Upstream's list hands the store's error on as it is, so that it becomes 500.
        ("GET", "/api/v1/pods?resourceVersion=nonsense", &[][..], String::new(), 400),
        ("GET", "/api/v1/nothing", &[][..], String::new(), 404),
        ("GET", "/apis/nothing/v1/nothing", &[][..], String::new(), 404),
        ("BREW", "/api/v1/pods", &[][..], String::new(), 404),
        ("PATCH", MAPS, &json[..], "{}".to_owned(), 405),
        ("GET", "/api/v1/namespaces/default/pods/none/exec", &[][..], String::new(), 404),
    ] {
        let answer = server.send(method, uri, headers, body).await;
        assert_eq!(answer.code, code, "{method} {uri}: {}", answer.text("/message"));
    }
}

#[tokio::test]
async fn applies_own_their_fields_and_meet_conflicts() {
    let server = server().await;
    let uri = |manager: &str| format!("{MAPS}/a?fieldManager={manager}");
    let apply = "application/apply-patch+yaml";
    let object =
        |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    let created = server.patch(&uri("one"), apply, &object(json!({"x": "1", "y": "1"}))).await;
    assert_eq!(created.code, 201, "{}", created.text("/message"));
    assert_eq!(created.text("/metadata/managedFields/0/manager"), "one");
    let conflict = server.patch(&uri("two"), apply, &object(json!({"x": "2"}))).await;
    assert_eq!(conflict.code, 409);
    assert_eq!(conflict.text("/message"), "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    assert_eq!(conflict.text("/details/causes/0/reason"), "FieldManagerConflict");
    let forced = server.patch(&format!("{}&force=true", uri("two")), apply, &object(json!({"x": "2"}))).await;
    assert_eq!(forced.json()["data"], json!({"x": "2", "y": "1"}));
    let dropped = server.patch(&uri("one"), apply, &object(json!({}))).await;
    assert_eq!(dropped.json()["data"], json!({"x": "2"}), "nobody declares y any more");
    assert_eq!(server.patch(&format!("{MAPS}/a"), apply, &object(json!({}))).await.code, 422, "a manager is required");
}

#[tokio::test]
async fn strategic_merges_pair_list_elements_by_key() {
    let server = server().await;
    let path = "/api/v1/namespaces/default/pods";
    let container = |name: &str| json!({"name": name, "image": "i"});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [container("a"), container("b")]}});
    let created = server.post(path, &pod).await;
    assert_eq!(created.code, 201, "{}", created.text("/message"));
    let patch = json!({"spec": {"containers": [{"name": "b", "image": "j"}]}});
    let patched = server.patch(&format!("{path}/p"), "application/strategic-merge-patch+json", &patch).await;
    let containers = patched.json()["spec"]["containers"].clone();
    assert_eq!(
        (&containers[0]["image"], &containers[1]["image"]),
        (&json!("i"), &json!("j")),
        "{}",
        patched.text("/message")
    );
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let server = server().await;
    let path = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
    server.post(path, &pod).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(server.post(&format!("{path}/p/binding"), &binding).await.code, 201);
    assert_eq!(server.post(&format!("{path}/p/binding"), &binding).await.code, 409);
    let bound = server.get(&format!("{path}?fieldSelector=spec.nodeName%3Dn")).await.json();
    assert_eq!(bound["items"].as_array().map(Vec::len), Some(1));
    let evicted = server.post(&format!("{path}/p/eviction"), &json!({"metadata": {"name": "p"}})).await;
    assert_eq!(evicted.code, 201, "{}", evicted.text("/message"));
    let going = server.get(&format!("{path}/p")).await;
    assert!(!going.text("/metadata/deletionTimestamp").is_empty());
    let conditions = going.json()["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget");
    assert_eq!(target.map(|condition| &condition["reason"]), Some(&json!("EvictionByEvictionAPI")));
}

#[tokio::test]
async fn only_proxies_are_asked_for_a_head() {
    let server = server().await;
    let head = async |path: &str| server.send("HEAD", path, &[], "").await.code;
    assert_eq!(head("/api/v1/namespaces/default").await, 405);
    assert_eq!(head("/api/v1/namespaces/default/pods/none/log").await, 405);
    // Upstream's `ConnectMethods` of proxies have HEAD: it is the pod that is missing.
    assert_eq!(head("/api/v1/namespaces/default/pods/none/proxy").await, 404);
    assert_eq!(head("/api/v1/namespaces/default/pods/none/proxy/x").await, 404);
}
