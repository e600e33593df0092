//! The life of one object: made, read and listed in every form, changed in every way, deleted.

use super::edit::{Edit, Place};
use super::exchange::{Body, JSON, PROTOBUF, Request, YAML};
use super::lists;
use super::objects::Fixture;
use serde_json::{Value, json};

pub const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIAL_PROTOBUF: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
pub const PARTIAL_LIST_PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const TABLE_OR_JSON: &str = "application/json;as=Table;g=meta.k8s.io;v=v1beta1,application/json";
const TABLE_PROTOBUF: &str = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";

/// What objects and lists are asked for in, whether there is such a form of them or not.
pub const FORMS: [&str; 9] =
    [JSON, YAML, PROTOBUF, TABLE, PARTIAL, PARTIAL_LIST, TABLE_OR_JSON, TABLE_PROTOBUF, "text/plain"];

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Makes the object and keeps it.
pub fn begin(fixture: &Fixture) -> Vec<Request> {
    let body = Body::Object(fixture.object.clone());
    vec![Request::new("POST", fixture.collection()).about("made").body(JSON, body).keep()]
}

/// Deletes the object, whatever holds it.
pub fn end(fixture: &Fixture) -> Vec<Request> {
    let path = fixture.path();
    let mut requests = vec![
        Request::new("DELETE", format!("{path}?gracePeriodSeconds=0&propagationPolicy=Background")).about("deleted"),
        Request::new("PATCH", &path)
            .about("let go")
            .body(MERGE, Body::Text(r#"{"metadata": {"finalizers": null}}"#.to_owned())),
    ];
    if fixture.resource.plural == "namespaces" {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": fixture.name()}, "spec": {"finalizers": []}});
        requests
            .push(Request::new("PUT", format!("{path}/finalize")).about("finalized").body(JSON, Body::Object(body)));
    }
    requests.push(Request::new("GET", path).about("gone"));
    requests
}

/// Everything from creation to deletion.
pub fn requests(fixture: &Fixture) -> Vec<Request> {
    let mut requests = begin(fixture);
    let again = Body::Object(fixture.object.clone());
    requests.push(Request::new("POST", fixture.collection()).about("made twice").body(JSON, again));
    read(fixture, &mut requests);
    lists::requests(fixture, &mut requests);
    update(fixture, &mut requests);
    patch(fixture, &mut requests);
    apply(fixture, &mut requests);
    subresources(fixture, &mut requests);
    delete(fixture, &mut requests);
    requests.extend(end(fixture));
    requests
}

fn read(fixture: &Fixture, requests: &mut Vec<Request>) {
    let (path, missing) = (fixture.path(), format!("{}/missing", fixture.collection()));
    for accept in FORMS.into_iter().chain([PARTIAL_PROTOBUF, "*/*", "application/json;q=0.5,application/yaml"]) {
        requests.push(Request::new("GET", &path).about(format!("get as {accept}")).accept(accept));
    }
    for accept in [JSON, YAML, PROTOBUF, TABLE] {
        requests.push(Request::new("GET", &missing).about(format!("get of a missing one as {accept}")).accept(accept));
    }
    for query in ["resourceVersion=0", "resourceVersion=x", "includeObject=Object"] {
        requests.push(Request::new("GET", format!("{path}?{query}")).about(query).accept(TABLE_OR_JSON));
    }
    requests.push(Request::new("HEAD", path).about("head"));
}

fn update(fixture: &Fixture, requests: &mut Vec<Request>) {
    let path = fixture.path();
    let metadata = |name: &str| Place::of(&["metadata", name]);
    let put = |about: &str, edits: Vec<Edit>| Request::new("PUT", &path).about(about).body(JSON, Body::Live(edits));
    let label = |value: &str| Edit::Set(metadata("labels").member("diff"), value.into());
    requests.extend([
        put("put that changes nothing", Vec::new()).keep(),
        put("put with another label", vec![label("put")]).keep(),
        put("put with an old version", vec![label("old"), Edit::Set(metadata("resourceVersion"), "1".into())]),
        put("put with a version that is none", vec![Edit::Set(metadata("resourceVersion"), "x".into())]),
        put("put without a version", vec![label("none"), Edit::Remove(metadata("resourceVersion"))]).keep(),
        put("put of another name", vec![Edit::Set(metadata("name"), "other".into())]),
        put("put without a name", vec![Edit::Remove(metadata("name"))]),
        put("put of another uid", vec![Edit::Set(metadata("uid"), "b1f32a5c-0000-4000-8000-000000000000".into())]),
        put("put of another namespace", vec![Edit::Set(metadata("namespace"), "other".into())]),
        put("put without managers", vec![Edit::Set(metadata("managedFields"), json!([]))]).keep(),
        put("put of another generation", vec![Edit::Set(metadata("generation"), 17.into())]).keep(),
        put("put of another creation", vec![Edit::Set(metadata("creationTimestamp"), "2001-01-01T00:00:00Z".into())]),
        put("put with a finalizer", vec![Edit::Set(metadata("finalizers"), json!(["bad finalizer"]))]),
        put(
            "put with an owner",
            vec![Edit::Set(metadata("ownerReferences"), json!([{"apiVersion": "v1", "kind": "Pod"}]))],
        ),
        put("put with unknown fields", vec![Edit::Set(Place::of(&["bogus"]), 1.into())]),
        put("put deletion", vec![Edit::Set(metadata("deletionTimestamp"), "2001-01-01T00:00:00Z".into())]),
    ]);
    let missing = format!("{}/missing", fixture.collection());
    let renamed = vec![
        Edit::Set(metadata("name"), "missing".into()),
        Edit::Remove(metadata("resourceVersion")),
        Edit::Remove(metadata("uid")),
    ];
    requests.push(
        Request::new("PUT", format!("{missing}?dryRun=All"))
            .about("put of a missing one")
            .body(JSON, Body::Live(renamed)),
    );
    for (method, path) in [("PUT", fixture.collection()), ("PATCH", fixture.collection()), ("POST", fixture.path())] {
        let about = format!("{method} where it is not allowed");
        requests.push(Request::new(method, path).about(about).body(JSON, Body::Live(Vec::new())));
    }
}

fn patch(fixture: &Fixture, requests: &mut Vec<Request>) {
    let path = fixture.path();
    let labels = r#"{"metadata": {"labels": {"diff": "list", "merged": "yes"}}}"#;
    for (media_type, text, keep) in [
        (MERGE, labels, true),
        (MERGE, labels, false),
        (MERGE, r#"{"metadata": {"labels": {"merged": null}}}"#, true),
        (MERGE, r#"{"metadata": {"labels": "x"}}"#, false),
        (MERGE, r#"{"metadata": {"resourceVersion": "1"}}"#, false),
        (MERGE, r#"{"metadata": {"name": "other"}}"#, false),
        (MERGE, r#"{"bogus": 1}"#, false),
        (MERGE, "[]", false),
        (MERGE, "{", false),
        (STRATEGIC, r#"{"metadata": {"annotations": {"strategic": "yes"}}}"#, true),
        (STRATEGIC, r#"{"metadata": {"finalizers": ["example.com/a"]}}"#, true),
        (STRATEGIC, r#"{"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}"#, true),
        (STRATEGIC, r#"{"metadata": {"labels": {"$patch": "replace", "diff": "list"}}}"#, true),
        (STRATEGIC, r#"{"metadata": {"$patch": "bogus"}}"#, false),
        (STRATEGIC, r#"{"metadata": {"labels": ["x"]}}"#, false),
        (JSON_PATCH, r#"[{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]"#, true),
        (JSON_PATCH, r#"[{"op": "test", "path": "/metadata/labels/patched", "value": "no"}]"#, false),
        (JSON_PATCH, r#"[{"op": "remove", "path": "/metadata/labels/missing"}]"#, false),
        (JSON_PATCH, r#"[{"op": "move", "from": "/metadata/labels/patched", "path": "/metadata/labels/moved"}]"#, true),
        (JSON_PATCH, r#"[{"op": "bogus", "path": "/a"}]"#, false),
        (JSON_PATCH, "{}", false),
        ("text/plain", "{}", false),
        (JSON, "{}", false),
    ] {
        let about = format!("{} {text}", media_type.trim_start_matches("application/"));
        let mut request = Request::new("PATCH", &path).about(about).body(media_type, Body::Text(text.to_owned()));
        request.keep = keep;
        requests.push(request);
    }
    let missing = format!("{}/missing", fixture.collection());
    requests
        .push(Request::new("PATCH", missing).about("patch of a missing one").body(MERGE, Body::Text("{}".to_owned())));
}

fn apply(fixture: &Fixture, requests: &mut Vec<Request>) {
    let path = fixture.path();
    let (api_version, kind) = (&fixture.object["apiVersion"], &fixture.object["kind"]);
    let body = |labels: Value| {
        let metadata = json!({"name": fixture.name(), "labels": labels});
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata})
    };
    let mut owned = fixture.object.clone();
    if let Some(map) = owned.as_object_mut() {
        map.remove("status");
    }
    for (about, query, body, keep) in [
        ("apply", "fieldManager=one", body(json!({"applied": "1"})), true),
        ("apply again", "fieldManager=one", body(json!({"applied": "1"})), true),
        ("apply with a conflict", "fieldManager=two", body(json!({"applied": "2"})), false),
        ("apply with force", "fieldManager=two&force=true", body(json!({"applied": "2"})), true),
        ("apply of nothing", "fieldManager=one", body(json!({})), true),
        ("apply of the whole", "fieldManager=one", owned.clone(), false),
        ("apply of the whole with force", "fieldManager=one&force=true", owned, true),
        ("apply without a manager", "", body(json!({"applied": "3"})), false),
        (
            "apply of another kind",
            "fieldManager=one",
            json!({"apiVersion": "v1", "kind": "Bogus", "metadata": {}}),
            false,
        ),
        ("apply without a kind", "fieldManager=one", json!({"metadata": {"name": fixture.name()}}), false),
        (
            "apply with an unknown field",
            "fieldManager=one",
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": fixture.name()}, "bogus": 1}),
            false,
        ),
        (
            "apply with managed fields",
            "fieldManager=one",
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": fixture.name(), "managedFields": [{"manager": "x"}]}}),
            false,
        ),
    ] {
        let mut request = Request::new("PATCH", format!("{path}?{query}")).about(about);
        request = request.body(APPLY, Body::Text(body.to_string()));
        request.keep = keep;
        requests.push(request);
    }
}

fn subresources(fixture: &Fixture, requests: &mut Vec<Request>) {
    let path = fixture.path();
    if fixture.resource.subresource("status").is_some() {
        let at = format!("{path}/status");
        let status = fixture.object.get("status").cloned().unwrap_or_else(|| json!({}));
        let set = Edit::Set(Place::of(&["status"]), status.clone());
        let label = Edit::Set(Place::of(&["metadata", "labels", "from-status"]), "yes".into());
        let patch = json!({ "status": status }).to_string();
        requests.extend([
            Request::new("GET", &at).about("get of the status"),
            Request::new("PUT", &at).about("put of the status").body(JSON, Body::Live(vec![set.clone()])).keep(),
            Request::new("PUT", &at)
                .about("put of the status and labels")
                .body(JSON, Body::Live(vec![set, label]))
                .keep(),
            Request::new("PATCH", &at).about("merge of the status").body(MERGE, Body::Text(patch.clone())).keep(),
            Request::new("PATCH", &at).about("strategic merge of the status").body(STRATEGIC, Body::Text(patch)).keep(),
            Request::new("PUT", &path)
                .about("put without the status")
                .body(JSON, Body::Live(vec![Edit::Remove(Place::of(&["status"]))]))
                .keep(),
            Request::new("GET", &path).about("table with a status").accept(TABLE),
            Request::new("GET", &path).about("protobuf with a status").accept(PROTOBUF),
            Request::new("POST", &at).about("post to the status").body(JSON, Body::Live(Vec::new())),
            Request::new("DELETE", &at).about("delete of the status"),
        ]);
    }
    if fixture.resource.subresource("scale").is_some() {
        let at = format!("{path}/scale");
        let replicas = |n: Value| json!({"spec": {"replicas": n}}).to_string();
        requests.extend([
            Request::new("GET", &at).about("get of the scale"),
            Request::new("GET", &at).about("get of the scale").accept(PROTOBUF),
            Request::new("GET", &at).about("get of the scale").accept(TABLE),
            Request::new("PATCH", &at).about("merge of the scale").body(MERGE, Body::Text(replicas(json!(3)))),
            Request::new("PATCH", &at).about("scale below zero").body(MERGE, Body::Text(replicas(json!(-1)))),
            Request::new("PATCH", &at).about("scale of a wrong type").body(MERGE, Body::Text(replicas(json!("x")))),
            Request::new("GET", &path).about("after scaling").keep(),
        ]);
    }
    requests.push(Request::new("GET", format!("{path}/bogus")).about("get of an unknown subresource"));
}

fn delete(fixture: &Fixture, requests: &mut Vec<Request>) {
    let path = fixture.path();
    let options = |about: &str, text: &str| {
        Request::new("DELETE", format!("{path}?dryRun=All")).about(about).body(JSON, Body::Text(text.to_owned()))
    };
    requests.extend([
        Request::new("DELETE", format!("{path}?dryRun=All")).about("delete, dry"),
        Request::new("DELETE", format!("{path}?dryRun=Bogus")).about("delete with a bogus dry run"),
        options("delete of another uid", r#"{"preconditions": {"uid": "x"}, "dryRun": ["All"]}"#),
        options("delete of another version", r#"{"preconditions": {"resourceVersion": "1"}, "dryRun": ["All"]}"#),
        options(
            "delete with two policies",
            r#"{"propagationPolicy": "Orphan", "orphanDependents": true, "dryRun": ["All"]}"#,
        ),
        options("delete with a bogus policy", r#"{"propagationPolicy": "Bogus", "dryRun": ["All"]}"#),
        options("delete in the foreground", r#"{"propagationPolicy": "Foreground", "dryRun": ["All"]}"#),
        options("delete that orphans", r#"{"propagationPolicy": "Orphan", "dryRun": ["All"]}"#),
        options("delete with wrong options", r#"{"gracePeriodSeconds": "x"}"#),
        options("delete with options of another kind", r#"{"kind": "Pod", "apiVersion": "v1"}"#),
        Request::new("DELETE", format!("{}/missing", fixture.collection())).about("delete of a missing one"),
    ]);
    if fixture.resource.verbs.contains(&"deletecollection") {
        let everything = format!("{}?labelSelector=none%3Dsuch", fixture.collection());
        requests.push(Request::new("DELETE", everything).about("delete of no collection"));
    }
}
