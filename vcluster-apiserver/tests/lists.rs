//! Lists and watches: revisions, pages, selectors, order (k8s.io/apiserver `pkg/storage/testing`, re-expressed).

use http_body_util::BodyExt;
use serde_json::{Value, json};
use storage::{Revision, Storage};
use vcluster_apiserver::request::body::Body;
use vcluster_apiserver::testing::TestServer;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn with_maps(names: &[&str]) -> TestServer {
    let server = TestServer::start().await.expect("a store in memory starts");
    for name in names {
        let object = json!({"metadata": {"name": name, "labels": {"n": name}}});
        assert_eq!(server.post(MAPS, &object).await.code, 201);
    }
    server
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|i| i["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// Reads frames of a watch until `count` have come.
async fn frames(body: &mut Body, count: usize) -> Vec<Value> {
    let mut text = String::new();
    while text.lines().count() < count {
        let Some(frame) = body.frame().await else { break };
        let data = frame.expect("a watch does not break").into_data().expect("a watch has no trailers");
        text.push_str(std::str::from_utf8(&data).expect("JSON is text"));
    }
    text.lines().map(|line| serde_json::from_str(line).expect("a frame is one line of JSON")).collect()
}

fn short(events: &[Value]) -> Vec<String> {
    let word = |e: &Value| e["type"].as_str().unwrap_or_default().to_owned();
    events.iter().map(|e| format!("{} {}", word(e), e["object"]["metadata"]["name"].as_str().unwrap_or("-"))).collect()
}

#[tokio::test]
async fn pages_show_one_snapshot() {
    let server = with_maps(&["a", "b", "c"]).await;
    let first = server.get(&format!("{MAPS}?limit=1")).await.json();
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a".into()], &json!(2)));
    server.delete(&format!("{MAPS}/b")).await;
    server.post(MAPS, &json!({"metadata": {"name": "bb"}})).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = server.get(&format!("{MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!(names(&second), ["b", "c"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!((second["metadata"].get("continue"), second["metadata"].get("remainingItemCount")), (None, None));
    let exact = server.get(&format!("{MAPS}?limit=1&resourceVersion=1&continue={token}")).await;
    assert_eq!(exact.code, 400);
}

#[tokio::test]
async fn an_expired_token_goes_on_in_the_present() {
    let server = with_maps(&["a", "b", "c"]).await;
    let first = server.get(&format!("{MAPS}?limit=1")).await.json();
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        server.patch(&format!("{MAPS}/c"), "application/merge-patch+json", &json!({"data": {"t": "u"}})).await;
        server.patch(&format!("{MAPS}/c"), "application/merge-patch+json", &json!({"data": null})).await;
    }
    let current = server.cache.current().await.unwrap();
    server.cache.compact(current).await.unwrap();
    let expired = server.get(&format!("{MAPS}?limit=1&continue={token}")).await;
    if expired.code == 200 {
        // The cache's ring still reaches back; then the snapshot is simply still there.
        assert_eq!(names(&expired.json()), ["b"]);
        return;
    }
    assert_eq!((expired.code, expired.text("/reason").as_str()), (410, "Expired"));
    let token = expired.text("/metadata/continue");
    let rest = server.get(&format!("{MAPS}?continue={token}")).await.json();
    assert_eq!(names(&rest), ["b", "c"]);
}

#[tokio::test]
async fn revisions_select_what_a_list_shows() {
    let server = with_maps(&["a"]).await;
    let old = server.get(MAPS).await.text("/metadata/resourceVersion");
    server.post(MAPS, &json!({"metadata": {"name": "b"}})).await;
    for (query, expected) in [
        (String::new(), vec!["a", "b"]),
        ("?resourceVersion=0".to_owned(), vec!["a", "b"]),
        (format!("?resourceVersion={old}"), vec!["a", "b"]),
        (format!("?resourceVersion={old}&resourceVersionMatch=Exact"), vec!["a"]),
        (format!("?resourceVersion={old}&limit=10"), vec!["a"]),
        (format!("?resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=10"), vec!["a", "b"]),
        ("?labelSelector=n".to_owned(), vec!["a"]),
        ("?fieldSelector=metadata.name%3Db".to_owned(), vec!["b"]),
    ] {
        assert_eq!(names(&server.get(&format!("{MAPS}{query}")).await.json()), expected, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revision_of_the_future_times_out() {
    let server = with_maps(&[]).await;
    let answer = server.get(&format!("{MAPS}?resourceVersion=100000")).await;
    assert_eq!((answer.code, answer.text("/details/causes/0/reason").as_str()), (504, "ResourceVersionTooLarge"));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_revision_in_order() {
    let server = with_maps(&["a"]).await;
    let at = server.get(MAPS).await.text("/metadata/resourceVersion");
    server.post(MAPS, &json!({"metadata": {"name": "b"}})).await;
    let mut body = server.open("GET", &format!("{MAPS}?watch=1&resourceVersion={at}"), &[], "").await.into_body();
    server.patch(&format!("{MAPS}/b"), "application/merge-patch+json", &json!({"data": {"k": "v"}})).await;
    server.delete(&format!("{MAPS}/b")).await;
    server.post("/api/v1/namespaces/kube-system/configmaps", &json!({"metadata": {"name": "elsewhere"}})).await;
    server.post(MAPS, &json!({"metadata": {"name": "c"}})).await;
    let events = frames(&mut body, 4).await;
    assert_eq!(short(&events), ["ADDED b", "MODIFIED b", "DELETED b", "ADDED c"]);
    let revisions: Vec<u64> =
        events.iter().map(|e| e["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
}

#[tokio::test]
async fn leaving_a_selection_is_a_deletion() {
    let server = with_maps(&["a"]).await;
    let uri = format!("{MAPS}?watch=1&labelSelector=n%3Da");
    let mut body = server.open("GET", &uri, &[], "").await.into_body();
    let relabel = |value: &str| json!({"metadata": {"labels": {"n": value}}, "data": {"now": value}});
    server.patch(&format!("{MAPS}/a"), "application/merge-patch+json", &relabel("z")).await;
    let last = server.patch(&format!("{MAPS}/a"), "application/merge-patch+json", &relabel("a")).await;
    let events = frames(&mut body, 3).await;
    assert_eq!(short(&events), ["ADDED a", "DELETED a", "ADDED a"]);
    assert_eq!(events[1]["object"]["metadata"]["labels"]["n"], "a", "the last state that was selected");
    let gone: u64 = events[1]["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let back: u64 = last.text("/metadata/resourceVersion").parse().unwrap();
    assert_eq!(gone + 1, back, "dated with the change");
}

#[tokio::test(start_paused = true)]
async fn streaming_lists_end_with_a_bookmark_and_watches_with_their_time() {
    let server = with_maps(&["a", "b"]).await;
    let query =
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=100";
    let mut body = server.open("GET", &format!("{MAPS}?{query}"), &[], "").await.into_body();
    let events = frames(&mut body, 3).await;
    assert_eq!(short(&events), ["ADDED a", "ADDED b", "BOOKMARK -"]);
    assert_eq!(events[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    server.post("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "s"}})).await;
    let rest = frames(&mut body, 100).await;
    assert_eq!(short(&rest), ["BOOKMARK -", "BOOKMARK -"], "one a minute, one before the end, then a clean end");
    let seen = rest[1]["object"]["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(seen, server.cache.applied().to_string(), "a bookmark also passes other resources' changes");
}

#[tokio::test]
async fn a_watch_from_a_forgotten_revision_says_so_in_the_stream() {
    let server = with_maps(&["a", "b", "c"]).await;
    server.cache.compact(Revision(server.cache.applied().0)).await.unwrap();
    let uri = format!("{MAPS}?watch=1&resourceVersion=1&timeoutSeconds=1");
    let answer = server.open("GET", &uri, &[], "").await;
    assert_eq!(answer.status().as_u16(), 200);
    let mut body = answer.into_body();
    let events = frames(&mut body, 1).await;
    // The ring may still reach back to it; then nothing was lost.
    let word = events[0]["type"].as_str().unwrap();
    assert!(word == "ADDED" || events[0]["object"]["code"] == 410, "{events:?}");
}

#[tokio::test]
async fn tables_and_metadata_are_shown_on_request() {
    let server = with_maps(&["a"]).await;
    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1,application/json")];
    let shown = server.send("GET", MAPS, &table, "").await.json();
    assert_eq!((shown["kind"].as_str(), shown["rows"][0]["cells"][0].as_str()), (Some("Table"), Some("a")));
    assert_eq!(shown["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")];
    let shown = server.send("GET", MAPS, &partial, "").await.json();
    assert_eq!(shown["kind"], "PartialObjectMetadataList");
    assert_eq!(shown["items"][0]["metadata"]["name"], "a");
    let proto = [("accept", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")];
    assert_eq!(&server.send("GET", &format!("{MAPS}/a"), &proto, "").await.body[..4], b"k8s\0");
}

#[tokio::test]
async fn events_of_both_groups_are_the_same_objects() {
    let server = with_maps(&[]).await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "message": "m", "reason": "r", "type": "Normal"});
    server.post("/api/v1/namespaces/default/events", &event).await;
    let other = "/apis/events.k8s.io/v1/namespaces/default/events";
    let list = server.get(&format!("{other}?fieldSelector=regarding.name%3Dp")).await.json();
    assert_eq!((names(&list), list["items"][0]["note"].as_str()), (vec!["e".to_owned()], Some("m")));
    let path = format!("{other}/e");
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let patched = server.patch(&path, "application/merge-patch+json", &labelled).await;
    assert_eq!(patched.text("/apiVersion"), "events.k8s.io/v1");
    assert_eq!(server.get("/api/v1/namespaces/default/events/e").await.text("/metadata/labels/a"), "b");
    // The newer group lets nothing of an event change but its series.
    let changed = server.patch(&path, "application/merge-patch+json", &json!({"note": "n"})).await;
    assert_eq!(changed.code, 422);
}
