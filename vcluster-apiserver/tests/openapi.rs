//! The published documents against those that upstream's release carries, field by field, where they lie in the Go
//! module cache.
//!
//! Upstream writes its files with every feature on and enums off; a server with default settings differs from them in
//! what [`Upstream`] takes away and adds. The descriptions of enum values are compared with the generated Go code.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use upstream::{Comparison, kubernetes, read};
use vcluster_apiserver::testing::TestServer;

#[path = "upstream/documents.rs"]
mod upstream;

const ENUM: &str = "\n\nPossible enum values:";

/// Takes away what only one side has: CBOR, which is off by default, and enums, which the published files leave out.
fn normalized(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let members =
                map.into_iter().filter(|(name, value)| !(name.contains("cbor") || name == "enum" && value.is_array()));
            members
                .map(|(name, value)| match (name.as_str(), value) {
                    ("description", Value::String(text)) => {
                        let text = text.split(ENUM).next().unwrap_or_default().trim_end_matches('\n').to_owned();
                        (name, text.into())
                    }
                    (_, value) => (name, normalized(value)),
                })
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(list) => {
            let is_cbor = |value: &Value| value.as_str().is_some_and(|text| text.contains("cbor"));
            list.into_iter().filter(|value| !is_cbor(value)).map(normalized).collect::<Vec<_>>().into()
        }
        other => other,
    }
}

#[tokio::test]
async fn version_3_is_what_upstream_publishes() {
    let server = TestServer::start().await.expect("a store in memory starts");
    let folder = kubernetes().join("api/openapi-spec/v3");
    let index = server.get("/openapi/v3").await.json();
    let mut comparison = Comparison::default();
    let mut documents = 0;
    for (path, entry) in index["paths"].as_object().expect("paths") {
        let url = entry["serverRelativeURL"].as_str().expect("an address");
        let mut ours = server.get(url).await.json();
        let mut theirs = read(&folder.join(format!("{}_openapi.json", path.replace('/', "__"))));
        assert_eq!(ours["info"]["version"], "1.37");
        for document in [&mut ours, &mut theirs] {
            document["info"]["version"] = Value::Null;
        }
        comparison.compare(path, &normalized(ours), &normalized(theirs));
        documents += 1;
    }
    println!("{documents} documents");
    comparison.finish("OpenAPI v3");
}

/// What of upstream's document belongs to the paths that we serve: everything that references lead to.
fn reachable(document: &Value, from: &Value, found: &mut BTreeSet<(String, String)>) {
    match from {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                let mut parts = reference.trim_start_matches("#/").splitn(2, '/');
                let (section, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                if found.insert((section.to_owned(), name.to_owned())) {
                    reachable(document, &document[section][name], found);
                }
            }
            map.values().for_each(|value| reachable(document, value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| reachable(document, value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn version_2_is_what_upstream_publishes() {
    let server = TestServer::start().await.expect("a store in memory starts");
    let ours = normalized(server.get("/openapi/v2").await.json());
    let theirs = normalized(read(&kubernetes().join("api/openapi-spec/swagger.json")));
    let mut comparison = Comparison::default();
    for section in ["swagger", "securityDefinitions", "security"] {
        comparison.compare(section, &ours[section], &theirs[section]);
    }
    // Versions that have to be switched on, and the files of the machine's logs.
    let is_served = |path: &str| {
        let version = path.split('/').nth(3).unwrap_or_default();
        let gated = version.contains("alpha") || version.contains("beta");
        !gated
            && !path.starts_with("/logs")
            && !path.contains("internal.apiserver")
            && !path.contains("lifecycle.k8s.io")
    };
    let served: serde_json::Map<String, Value> = theirs["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .filter(|(path, _)| is_served(path))
        .map(|(path, item)| (path.clone(), item.clone()))
        .collect();
    let served = Value::Object(served);
    comparison.compare("paths", &ours["paths"], &served);
    let mut wanted = BTreeSet::new();
    reachable(&theirs, &served, &mut wanted);
    for section in ["definitions", "parameters"] {
        let names = wanted.iter().filter(|(s, _)| s == section);
        let expected: serde_json::Map<String, Value> =
            names.map(|(_, name)| (name.clone(), theirs[section][name].clone())).collect();
        comparison.compare(section, &ours[section], &expected.into());
    }
    comparison.finish("OpenAPI v2");
}

/// Descriptions that name the values of an enum, from the Go code that upstream generates.
fn enum_descriptions(kubernetes: &Path) -> BTreeSet<String> {
    let file = kubernetes.join("pkg/generated/openapi/zz_generated.openapi.go");
    let source = std::fs::read_to_string(file).expect("the generated code");
    let lines = source.lines().filter_map(|line| line.trim().strip_prefix("Description:"));
    let literals = lines.map(|rest| rest.trim().trim_end_matches(',')).filter(|text| text.contains("Possible enum"));
    literals.map(|literal| serde_json::from_str::<String>(literal).expect("a quoted text")).collect()
}

#[tokio::test]
async fn enums_are_described_as_upstream_describes_them() {
    let server = TestServer::start().await.expect("a store in memory starts");
    let known = enum_descriptions(&kubernetes());
    let document = server.get("/openapi/v2").await.json();
    let mut checked: BTreeMap<bool, Vec<String>> = BTreeMap::new();
    for (name, definition) in document["definitions"].as_object().expect("definitions") {
        for (member, property) in definition["properties"].as_object().into_iter().flatten() {
            let Some(text) = property["description"].as_str().filter(|text| text.contains(ENUM)) else { continue };
            assert!(property["enum"].is_array(), "{name} {member}");
            checked.entry(known.contains(text)).or_default().push(format!("{name} {member}: {text}"));
        }
    }
    let different = checked.remove(&false).unwrap_or_default();
    let same = checked.remove(&true).unwrap_or_default();
    println!("enums: same {}, different {}", same.len(), different.len());
    assert!(different.is_empty(), "{different:#?}");
    assert!(same.len() > 80, "{}", same.len());
}

#[tokio::test]
async fn protobuf_is_offered_under_both_spellings() {
    let server = TestServer::start().await.expect("a store in memory starts");
    for (path, accept, media) in [
        (
            "/openapi/v2",
            "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        ),
        (
            "/openapi/v3/apis/apps/v1",
            "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
            "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
        ),
    ] {
        let json = server.get(path).await;
        let answer = server.send("GET", path, &[("accept", accept)], "").await;
        assert_eq!((answer.code, answer.headers["content-type"].to_str().unwrap()), (200, media));
        assert_eq!(answer.headers["etag"], json.headers["etag"], "both encodings have one tag");
        assert!(answer.body.len() > 100_000 && answer.body.len() < json.body.len());
        let tag = json.headers["etag"].to_str().unwrap();
        assert_eq!(server.send("GET", path, &[("if-none-match", tag)], "").await.code, 304);
        assert_eq!(server.send("GET", path, &[("accept", "application/yaml")], "").await.code, 406);
    }
    assert_eq!(server.get("/openapi/v3/apis/none/v1").await.code, 404);
}

#[tokio::test]
async fn addresses_are_immutable() {
    let server = TestServer::start().await.expect("a store in memory starts");
    let index = server.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = server.get(&url).await;
    assert_eq!(document.headers["cache-control"], "public, immutable");
    assert!(document.headers["expires"].to_str().unwrap().ends_with(" UTC"));
    assert_eq!(url.rsplit('=').next().unwrap(), document.headers["etag"].to_str().unwrap().trim_matches('"'));
    let wrong = server.get("/openapi/v3/apis/apps/v1?hash=0").await;
    assert_eq!((wrong.code, wrong.headers["location"].to_str().unwrap()), (301, url.as_str()));
    let plain = server.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!((plain.code, plain.headers["cache-control"].to_str().unwrap()), (200, "no-cache, private"));
}
