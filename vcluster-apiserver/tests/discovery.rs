//! Discovery, OpenAPI and the fixed paths.

use vcluster_apiserver::testing::TestServer;

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

#[tokio::test]
async fn openapi_addresses_are_immutable() {
    let server = server().await;
    let index = server.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = server.get(&url).await;
    assert_eq!(document.code, 200);
    assert!(document.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let deployment = &document.json()["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(deployment["x-kubernetes-group-version-kind"][0]["kind"], "Deployment");
    let wrong = server.get("/openapi/v3/apis/apps/v1?hash=0").await;
    assert_eq!((wrong.code, wrong.headers["location"].to_str().unwrap()), (301, url.as_str()));
    let old = server.get("/openapi/v2").await.json();
    assert!(old["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"].is_object());
    let patch = &old["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
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
