//! Upstream's serialized fixtures of every kind (`k8s.io/api/testdata/HEAD`) through both servers.
//!
//! A fixture has a value in every field, and most of those values are nonsense. It is sent as it is, then mended by what
//! upstream says of it until upstream accepts it; each refusal on the way must be ours too. What was accepted is made,
//! sent to its status in the same way, and read in every encoding. So are the valid objects of `tests/diff/objects`.

use super::Run;
use super::edit::{Edit, Place};
use super::exchange::{Body, JSON, PROTOBUF, Request, YAML};
use super::generate::{Scenario, stays};
use super::life;
use super::mend::Mender;
use super::objects::Fixture;
use super::side::Memories;
use crate::upstream;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;

/// Refusals after which a fixture is given up.
const PATIENCE: usize = 100;

/// A fixture with a valid object of the same resource.
pub struct Golden {
    pub name: String,
    valid: Fixture,
    object: Value,
}

/// The fixtures of every kind that one of `valid` is an object of, each once.
pub fn load(valid: &[Fixture]) -> Result<Vec<Golden>> {
    let folder = upstream::source("k8s.io/api")?.join("testdata/HEAD");
    let mut golden: Vec<Golden> = Vec::new();
    for fixture in valid {
        let name = format!("{}/golden", fixture.title());
        let info = fixture.resource;
        let group = if info.kind_group.is_empty() { "core" } else { info.kind_group };
        let file = folder.join(format!("{group}.{}.{}.json", info.kind_version, info.kind));
        // Types of the API server's own modules (custom resources, API services) have none.
        if file.is_file() && !golden.iter().any(|other| other.name == name) {
            let text = fs::read(&file).with_context(|| file.display().to_string())?;
            golden.push(Golden { name, valid: fixture.clone(), object: serde_json::from_slice(&text)? });
        }
    }
    Ok(golden)
}

/// A valid object made in protobuf and read in every encoding: whether each can say what another said.
pub fn scenario(fixture: &Fixture) -> Scenario {
    let (at, lasting) = place(fixture);
    let mut requests = vec![made(&at, &fixture.object)];
    if lasting {
        requests[0] = made(&fixture.collection(), &fixture.object);
        requests.extend(read(fixture));
        requests.extend(life::end(fixture));
    }
    Scenario { name: format!("{}/encodings", fixture.title()), requests }
}

impl Golden {
    pub async fn compare(&self, run: &mut Run) -> Result<()> {
        let mut sides = Memories::default();
        let (at, lasting) = place(&self.valid);
        for (about, content_type) in [("JSON", JSON), ("YAML", YAML), ("protobuf", PROTOBUF)] {
            let request = Request::new("POST", &at).about(format!("as it is, {about}"));
            run.ask(&self.name, &request.body(content_type, Body::Object(self.object.clone())), &mut sides).await?;
        }
        let mut object = self.object.clone();
        for edit in self.own() {
            edit.apply(&mut object);
        }
        let post = |object: &Value| made(&at, object).about("mended");
        let Some(object) = self.accepted(run, object, post, &mut sides).await? else { return Ok(()) };
        if !lasting {
            return Ok(());
        }
        run.ask(&self.name, &made(&self.valid.collection(), &object), &mut sides).await?;
        let status = |object: &Value, query: &str| {
            let set = Edit::Set(Place::of(&["status"]), object["status"].clone());
            let request = Request::new("PUT", format!("{}/status{query}", self.valid.path())).about("status");
            request.body(PROTOBUF, Body::Live(vec![set]))
        };
        if self.valid.resource.subresource("status").is_some()
            && let Some(object) =
                self.accepted(run, self.object.clone(), |object| status(object, "?dryRun=All"), &mut sides).await?
        {
            run.ask(&self.name, &status(&object, "").keep(), &mut sides).await?;
        }
        for request in read(&self.valid).into_iter().chain(life::end(&self.valid)) {
            run.ask(&self.name, &request, &mut sides).await?;
        }
        Ok(())
    }

    /// What makes the fixture an object of the server's: a name of its own, and nothing that only a server may say.
    fn own(&self) -> [Edit; 3] {
        let metadata = |name: &str| Place::of(&["metadata", name]);
        let name = self.valid.object["metadata"]["name"].clone();
        [
            Edit::Set(metadata("name"), name),
            Edit::Remove(metadata("namespace")),
            Edit::Remove(metadata("resourceVersion")),
        ]
    }

    /// Sends `object` and mends it until upstream takes it; None when upstream never does.
    async fn accepted(
        &self,
        run: &mut Run,
        mut object: Value,
        request: impl Fn(&Value) -> Request,
        sides: &mut Memories,
    ) -> Result<Option<Value>> {
        let mut mender = Mender::new(&self.valid.object);
        for _ in 0..PATIENCE {
            let answer = run.ask(&self.name, &request(&object), sides).await?;
            if answer.status < 300 {
                return Ok(Some(object));
            }
            if !mender.mend(&mut object, &answer.body) {
                println!("{}: given up: {}", self.name, answer.body["message"]);
                return Ok(None);
            }
        }
        println!("{}: given up after {PATIENCE} refusals", self.name);
        Ok(None)
    }
}

/// Where an object can be tried, and whether it can be made there and read afterwards.
fn place(fixture: &Fixture) -> (String, bool) {
    let dry = if fixture.resource.verbs.contains(&"get") { "?dryRun=All" } else { "" };
    (fixture.collection() + dry, stays(fixture))
}

fn made(path: &str, object: &Value) -> Request {
    Request::new("POST", path).about("made").accept(PROTOBUF).body(PROTOBUF, Body::Object(object.clone())).keep()
}

fn read(fixture: &Fixture) -> Vec<Request> {
    let list = format!("{}?fieldSelector=metadata.name%3D{}", fixture.collection(), fixture.name());
    let forms = [(JSON, "JSON"), (YAML, "YAML"), (PROTOBUF, "protobuf")];
    let ask = |path: &str, what: &str| {
        forms.map(|(accept, form)| Request::new("GET", path).about(format!("{what} in {form}")).accept(accept))
    };
    [ask(&fixture.path(), "get"), ask(&list, "list")].concat()
}
