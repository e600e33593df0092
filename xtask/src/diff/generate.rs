//! Scenarios for every resource: the life of an object in all media types, and its variants.
//!
//! Variants are sent with `dryRun=All`, so that each meets the same state and nothing has to be taken back.

use super::edit::{Edit, Place};
use super::exchange::{Body, JSON, PROTOBUF, Request, YAML};
use super::life;
use super::objects::Fixture;
use super::variants;
use serde_json::{Value, json};

/// Requests that share the live object and the names of volatile values.
pub struct Scenario {
    pub name: String,
    pub requests: Vec<Request>,
}

/// How much of what could be asked is asked.
#[derive(Clone, Copy)]
pub struct Amount {
    pub seed: u64,
    /// Variants of one object and verb.
    pub variants: usize,
}

/// Kinds that upstream's API server changes by itself soon after they are written: their answers depend on time.
const WATCHED_BY_UPSTREAM: [&str; 4] =
    ["apiservices", "customresourcedefinitions", "flowschemas", "prioritylevelconfigurations"];

/// Whether an object can be made and read afterwards, as it was made.
pub fn stays(fixture: &Fixture) -> bool {
    fixture.resource.verbs.contains(&"get") && !WATCHED_BY_UPSTREAM.contains(&fixture.resource.plural)
}

/// Everything that is asked about one object.
pub fn scenarios(fixture: &Fixture, amount: Amount) -> Vec<Scenario> {
    let title = fixture.title();
    let scenario = |what: &str, requests: Vec<Request>| Scenario { name: format!("{title}/{what}"), requests };
    let stored = fixture.resource.verbs.contains(&"get");
    let mut scenarios = vec![scenario("create", create(fixture, amount, stored))];
    if stays(fixture) {
        scenarios.push(scenario("update", update(fixture, amount)));
        scenarios.push(scenario("life", life::requests(fixture)));
    }
    scenarios
}

fn create(fixture: &Fixture, amount: Amount, stored: bool) -> Vec<Request> {
    let path = |more: &str| {
        let dry = if stored { "?dryRun=All" } else { "" };
        let joint = if dry.is_empty() && !more.is_empty() { "?" } else { "" };
        format!(
            "{}{dry}{joint}{}",
            fixture.collection(),
            if dry.is_empty() { more.trim_start_matches('&') } else { more }
        )
    };
    let post = |more: &str| Request::new("POST", path(more));
    let object = || Body::Object(fixture.object.clone());
    let mut requests = Vec::new();
    for content_type in [JSON, YAML, PROTOBUF] {
        for accept in [JSON, YAML, PROTOBUF] {
            let about = format!("{} to {}", short(content_type), short(accept));
            requests.push(post("").about(about).accept(accept).body(content_type, object()));
        }
    }
    for (content_type, accept) in [("text/plain", JSON), (JSON, "text/plain"), ("application/cbor", JSON), ("", JSON)] {
        requests
            .push(post("").about(format!("{content_type} to {accept}")).accept(accept).body(content_type, object()));
    }
    let mut edits = variants::of_body(fixture.row, &fixture.object);
    edits.extend(variants::sample(variants::of_part(fixture.row, "metadata", &fixture.object), 24, amount.seed));
    for edit in variants::sample(edits, amount.variants, amount.seed) {
        requests.push(post("").about(edit.to_string()).body(JSON, Body::Object(edited(&fixture.object, &edit))));
    }
    let unknown = Edit::Set(Place::of(&["spec", "bogus"]), json!(1));
    for validation in ["Strict", "Ignore", "Warn", "Bogus"] {
        let body = Body::Object(edited(&fixture.object, &unknown));
        let more = format!("&fieldValidation={validation}");
        requests.push(post(&more).about(format!("unknown field, {validation}")).body(JSON, body));
    }
    for (name, value) in [("kind", "Bogus"), ("apiVersion", "bogus/v1"), ("apiVersion", ""), ("kind", "")] {
        let edit = Edit::Set(Place::of(&[name]), value.into());
        requests.push(post("").about(edit.to_string()).body(JSON, Body::Object(edited(&fixture.object, &edit))));
    }
    for text in ["", "{", "[]", "null", "{}", "\"x\""] {
        requests.push(post("").about(format!("body {text:?}")).body(JSON, Body::Text(text.to_owned())));
    }
    requests
}

fn update(fixture: &Fixture, amount: Amount) -> Vec<Request> {
    let mut requests = life::begin(fixture);
    let put = |path: String, edits: Vec<Edit>| Request::new("PUT", path).body(JSON, Body::Live(edits));
    let path = fixture.path();
    for edit in variants::sample(variants::changed(fixture.row, &fixture.object), amount.variants / 2, amount.seed) {
        requests.push(put(format!("{path}?dryRun=All"), vec![edit.clone()]).about(edit.to_string()));
    }
    let edits = variants::of_body(fixture.row, &fixture.object);
    for edit in variants::sample(edits, amount.variants / 4, amount.seed ^ 1) {
        requests.push(put(format!("{path}?dryRun=All"), vec![edit.clone()]).about(edit.to_string()));
    }
    let edits = variants::of_part(fixture.row, "metadata", &fixture.object);
    for edit in variants::sample(edits, 12, amount.seed ^ 2) {
        requests.push(put(format!("{path}?dryRun=All"), vec![edit.clone()]).about(edit.to_string()));
    }
    if fixture.resource.subresource("status").is_some() {
        let whole = fixture.object.get("status").map(|status| Edit::Set(Place::of(&["status"]), status.clone()));
        let edits = variants::of_part(fixture.row, "status", &fixture.object);
        for edit in variants::sample(edits, amount.variants / 4, amount.seed ^ 3) {
            let both = whole.iter().cloned().chain([edit.clone()]).collect();
            requests.push(put(format!("{path}/status?dryRun=All"), both).about(edit.to_string()));
        }
    }
    requests.extend(life::end(fixture));
    requests
}

fn edited(object: &Value, edit: &Edit) -> Value {
    let mut object = object.clone();
    edit.apply(&mut object);
    object
}

fn short(media_type: &str) -> &str {
    media_type.rsplit(['.', '/']).next().unwrap_or(media_type)
}
