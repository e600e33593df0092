//! Lists of the resource of one object: in every form, with every option, by every field; and a watch.

use super::exchange::Request;
use super::life::{FORMS, PARTIAL_LIST_PROTOBUF, TABLE};
use super::objects::Fixture;

pub fn requests(fixture: &Fixture, requests: &mut Vec<Request>) {
    let (here, everywhere) = (fixture.collection(), fixture.everywhere());
    let only = format!("fieldSelector=metadata.name%3D{}", fixture.name());
    for accept in FORMS.into_iter().chain([PARTIAL_LIST_PROTOBUF]) {
        requests.push(Request::new("GET", format!("{here}?{only}")).about(format!("list as {accept}")).accept(accept));
    }
    requests.push(Request::new("GET", format!("{everywhere}?{only}")).about("list of all namespaces"));
    for query in [
        "labelSelector=diff%3Dlist",
        "labelSelector=diff+in+(a,b)",
        "labelSelector=a%3D%3D%3Db",
        "labelSelector=!none,none+notin+(x)",
        "fieldSelector=spec.bogus%3Dx",
        "fieldSelector=metadata.name",
        "limit=-1",
        "limit=x",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Bogus&resourceVersion=1",
        "resourceVersionMatch=Exact&resourceVersion=0",
        "continue=bogus",
        "sendInitialEvents=true",
        "watch=true&sendInitialEvents=true",
    ] {
        let listed = if query.starts_with("labelSelector=!") { format!("{query}&{only}") } else { query.to_owned() };
        requests.push(Request::new("GET", format!("{here}?{listed}")).about(format!("list with {query}")));
    }
    matrix(fixture, requests);
    selectors(fixture, requests);
    if fixture.resource.verbs.contains(&"watch") {
        let watch = format!("{here}?{only}&watch=true&resourceVersion=0&timeoutSeconds=1");
        requests.push(Request::new("GET", watch).about("watch as a table").accept(TABLE));
    }
}

/// Which version is asked for, how exactly, and whether all at once.
fn matrix(fixture: &Fixture, requests: &mut Vec<Request>) {
    for version in ["", "0", "{{rv}}"] {
        for exactness in ["", "Exact", "NotOlderThan"] {
            for more in ["", "&limit=1", "&limit=1&continue=bogus", "&sendInitialEvents=false"] {
                let query = format!("resourceVersion={version}&resourceVersionMatch={exactness}{more}");
                let only = format!("fieldSelector=metadata.name%3D{}", fixture.name());
                let path = format!("{}?{only}&{query}", fixture.collection());
                requests.push(Request::new("GET", path).about(format!("list with {query}")));
            }
        }
    }
}

/// By every value that the object has near its root, whether or not the kind can be selected by it.
fn selectors(fixture: &Fixture, requests: &mut Vec<Request>) {
    let mut leaves = Vec::new();
    for part in ["", "spec", "status", "metadata", "involvedObject", "regarding", "source"] {
        let object = if part.is_empty() { &fixture.object } else { &fixture.object[part] };
        let fields = object.as_object().into_iter().flatten();
        leaves.extend(
            fields.filter(|(name, value)| *name != "apiVersion" && !value.is_object() && !value.is_array()).map(
                |(name, value)| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    (if part.is_empty() { name.clone() } else { format!("{part}.{name}") }, text)
                },
            ),
        );
    }
    for (label, value) in leaves.iter().filter(|(_, value)| value.bytes().all(|b| b.is_ascii_alphanumeric())) {
        for (operator, shown) in [("%3D", "="), ("!%3D", "!=")] {
            let only = format!("metadata.name%3D{}", fixture.name());
            let path = format!("{}?fieldSelector={only},{label}{operator}{value}", fixture.collection());
            requests.push(Request::new("GET", path).about(format!("list where {label}{shown}{value}")));
        }
    }
}
