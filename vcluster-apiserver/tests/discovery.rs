//! Discovery, OpenAPI and the fixed paths.

use vcluster_apiserver::testing::TestServer;

#[path = "upstream/documents.rs"]
mod upstream;

async fn server() -> TestServer {
    TestServer::start().await.expect("a store in memory starts")
}

#[tokio::test]
async fn both_forms_of_discovery_agree() {
    let server = server().await;
    let groups = server.get("/apis").await.json();
    let legacy: Vec<String> =
        groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap().to_owned()).collect();
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let answer = server.send("GET", "/apis", &accept, "").await;
    assert!(answer.headers["content-type"].to_str().unwrap().contains("as=APIGroupDiscoveryList"));
    let document = answer.json();
    let aggregated: Vec<String> = document["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(legacy, aggregated);
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let known = [accept[0], ("if-none-match", tag.as_str())];
    assert_eq!(server.send("GET", "/apis", &known, "").await.code, 304);
    let core = server.send("GET", "/api", &accept, "").await.json();
    let resources = core["items"][0]["versions"][0]["resources"].as_array().unwrap();
    let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
    assert_eq!((pods["responseKind"]["kind"].as_str(), pods["scope"].as_str()), (Some("Pod"), Some("Namespaced")));
    assert_eq!(server.get("/api/v1").await.text("/groupVersion"), "v1");
    assert_eq!(server.get("/apis/apps").await.text("/preferredVersion/groupVersion"), "apps/v1");
    assert_eq!(server.get("/apis/none").await.code, 404);
}

/// The discovery documents that upstream's release carries, without the versions that have to be switched on.
#[tokio::test]
async fn documents_are_what_upstream_publishes() {
    let server = server().await;
    let folder = upstream::kubernetes().join("api/discovery");
    let mut comparison = upstream::Comparison::default();
    let groups = server.get("/apis").await.json();
    let mut paths = vec!["/api/v1".to_owned()];
    for group in groups["groups"].as_array().unwrap() {
        paths.push(format!("/apis/{}", group["name"].as_str().unwrap()));
        for version in group["versions"].as_array().unwrap() {
            paths.push(format!("/apis/{}", version["groupVersion"].as_str().unwrap()));
        }
    }
    for path in &paths {
        let theirs = upstream::read(&folder.join(format!("{}.json", path[1..].replace('/', "__"))));
        comparison.compare(path, &server.get(path).await.json(), &general(theirs, "versions"));
    }
    let all = general_groups(upstream::read(&folder.join("apis.json")), "groups");
    comparison.compare("/apis", &groups, &all);
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let ours = server.send("GET", "/apis", &accept, "").await.json();
    let theirs = general_groups(upstream::read(&folder.join("aggregated_v2.json")), "items");
    comparison.compare("/apis aggregated", &ours, &theirs);
    comparison.finish("discovery");
    let unknown = server.get("/apis/apps/v9").await;
    assert_eq!((unknown.code, unknown.text("/reason").as_str()), (404, "NotFound"));
}

/// Drops alpha and beta versions from a list of versions.
fn general(mut document: serde_json::Value, list: &str) -> serde_json::Value {
    if let Some(versions) = document.get_mut(list).and_then(serde_json::Value::as_array_mut) {
        versions.retain(|v| {
            let version = v["version"].as_str().unwrap_or_default();
            !version.contains("alpha") && !version.contains("beta")
        });
    }
    document
}

fn general_groups(mut document: serde_json::Value, list: &str) -> serde_json::Value {
    let groups = document[list].as_array().cloned().unwrap_or_default();
    let groups = groups.into_iter().map(|group| general(group, "versions"));
    document[list] = groups.filter(|group| group["versions"][0].is_object()).collect();
    document
}

#[tokio::test]
async fn fixed_paths_answer() {
    let server = server().await;
    assert_eq!(server.get("/version").await.text("/gitVersion"), "v1.37.2");
    assert_eq!(server.get("/readyz").await.body, "ok");
    assert_eq!(server.get("/metrics").await.code, 200);
    assert_eq!(server.get("/nothing").await.code, 404);
    assert_eq!(server.get("/api/v1/namespaces/default/services/kubernetes").await.text("/spec/clusterIP"), "10.96.0.1");
}
