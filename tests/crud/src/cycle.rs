//! The life of one object.
//!
//! A server's own controllers may change the object at any time: nothing is expected to stay as it was but what was sent,
//! and a conflict is answered with another try.

use super::contains::missing;
use super::discovery::Served;
use super::objects::Fixture;
use super::{Api, text};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The label that only the object has.
const LABEL: &str = "crud";
const SELECTOR: &str = "labelSelector=crud%3Dyes";
/// How often something is tried that depends on a server's controllers, and the time between.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

struct Cycle<'a, A> {
    api: &'a mut A,
    served: &'a Served,
    fixture: &'a Fixture,
    /// What was sent last.
    sent: Value,
    /// The newest resource version.
    version: u64,
}

/// Asks everything of one resource.
pub async fn run(api: &mut impl Api, served: &Served, fixture: &Fixture) -> Result<()> {
    let mut sent = fixture.object.clone();
    sent["metadata"]["labels"][LABEL] = "yes".into();
    let mut cycle = Cycle { api, served, fixture, sent, version: 0 };
    let outcome = cycle.all().await;
    // Whatever happened, the next resource begins without it.
    cycle.delete("DELETE", &fixture.path()).await.ok();
    outcome
}

impl<A: Api> Cycle<'_, A> {
    async fn all(&mut self) -> Result<()> {
        let (path, collection) = (self.fixture.path(), self.fixture.collection());
        let before = self.ask("GET", &format!("{collection}?{SELECTOR}"), "", &Value::Null, 200).await?;
        let start = text(&before, "/metadata/resourceVersion")?.to_owned();
        let made = self.sent.clone();
        let made = self.ask("POST", &format!("{collection}?fieldValidation=Strict"), JSON, &made, 201).await?;
        self.written(&made).context("create")?;
        for pointer in ["/metadata/uid", "/metadata/creationTimestamp"] {
            text(&made, pointer)?;
        }
        self.read(&path).await.context("get")?;
        self.update(&path, "updated", |object| object["metadata"]["annotations"]["updated"] = "yes".into()).await?;
        if self.served.has_status {
            self.status(&format!("{path}/status")).await.context("status")?;
        }
        self.patch(&path).await?;
        self.list(&collection).await.context("list")?;
        self.list(&self.fixture.everywhere()).await.context("list of all namespaces")?;
        if self.served.deletes_collections {
            self.delete("DELETE", &format!("{collection}?{SELECTOR}")).await.context("deletecollection")?;
        } else {
            self.delete("DELETE", &path).await.context("delete")?;
        }
        self.watch(&format!("{collection}?watch=true&{SELECTOR}&timeoutSeconds=1&resourceVersion={start}"), &made).await
    }

    async fn ask(&mut self, method: &str, path: &str, content_type: &str, body: &Value, code: u16) -> Result<Value> {
        let (got, answer) = self.api.call(method, path, content_type, body).await?;
        ensure!(got == code, "{method} {path} ({content_type}): {got} {answer}");
        Ok(answer)
    }

    /// An answer holds what was sent, in a version that is not older than the last.
    fn check(&mut self, answer: &Value) -> Result<()> {
        let mut sent = self.sent.clone();
        // What only a server says, what it decides, and what it keeps in another form.
        for member in ["apiVersion", "kind", "status", "stringData"] {
            sent.as_object_mut().and_then(|map| map.remove(member));
        }
        if let Some(place) = missing(&sent, answer) {
            bail!("the answer does not hold what was sent: {place}");
        }
        let version = text(answer, "/metadata/resourceVersion")?.parse()?;
        ensure!(version >= self.version, "version {version} came after {}", self.version);
        self.version = version;
        Ok(())
    }

    /// The same for an answer to a write, which makes a new version.
    fn written(&mut self, answer: &Value) -> Result<()> {
        let before = self.version;
        self.check(answer)?;
        ensure!(self.version > before, "the version is still {before}");
        Ok(())
    }

    async fn read(&mut self, path: &str) -> Result<Value> {
        let object = self.ask("GET", path, "", &Value::Null, 200).await?;
        self.check(&object)?;
        Ok(object)
    }

    /// Replaces the object by itself with a change.
    async fn update(&mut self, path: &str, what: &str, change: impl Fn(&mut Value)) -> Result<Value> {
        for _ in 0..TRIES {
            let mut object = self.read(path).await.with_context(|| format!("get to be {what}"))?;
            change(&mut object);
            let (code, answer) = self.api.call("PUT", path, JSON, &object).await?;
            match code {
                200 => {
                    change(&mut self.sent);
                    self.written(&answer).with_context(|| what.to_owned())?;
                    return Ok(answer);
                }
                409 => {}
                _ => bail!("PUT {path} ({what}): {code} {answer}"),
            }
        }
        bail!("PUT {path} ({what}): always a conflict")
    }

    async fn status(&mut self, path: &str) -> Result<()> {
        let status = self.fixture.object.get("status").cloned().unwrap_or_else(|| json!({}));
        let (code, answer) = self.put_status(path, &status).await?;
        ensure!(code == 200, "PUT {path}: {code} {answer}");
        let holds = |answer: &Value| match missing(&status, &answer["status"]) {
            Some(place) => bail!("the answer does not hold what was sent: {place}"),
            None => Ok(()),
        };
        holds(&answer)?;
        self.check(&answer)?;
        for (content_type, patch) in [(MERGE, json!({ "status": status })), (STRATEGIC, json!({ "status": status }))] {
            let answer = self.ask("PATCH", path, content_type, &patch, 200).await?;
            holds(&answer).context(content_type)?;
        }
        let mut applied = self.applied();
        applied["status"] = status.clone();
        let answer = self.ask("PATCH", &forced(path), APPLY, &applied, 200).await?;
        holds(&answer).context(APPLY)?;
        self.check(&answer)?;
        let read = self.read(path).await?;
        holds(&read)
    }

    async fn put_status(&mut self, path: &str, status: &Value) -> Result<(u16, Value)> {
        let mut last = (409, Value::Null);
        for _ in 0..TRIES {
            let mut object = self.read(path).await?;
            object["status"] = status.clone();
            last = self.api.call("PUT", path, JSON, &object).await?;
            if last.0 != 409 {
                break;
            }
        }
        Ok(last)
    }

    /// Each kind of patch adds an annotation.
    async fn patch(&mut self, path: &str) -> Result<()> {
        let annotation = |name: &str| json!({"metadata": {"annotations": {name: "yes"}}});
        let operation = json!([{"op": "add", "path": "/metadata/annotations/json", "value": "yes"}]);
        let mut applied = self.applied();
        applied["metadata"]["annotations"] = json!({"apply": "yes"});
        for (name, content_type, path, body) in [
            ("merge", MERGE, path.to_owned(), annotation("merge")),
            ("strategic", STRATEGIC, path.to_owned(), annotation("strategic")),
            ("json", JSON_PATCH, path.to_owned(), operation),
            ("apply", APPLY, forced(path), applied),
        ] {
            let answer = self.ask("PATCH", &path, content_type, &body, 200).await?;
            self.sent["metadata"]["annotations"][name] = "yes".into();
            self.written(&answer).with_context(|| format!("{name} patch"))?;
        }
        Ok(())
    }

    /// What an apply must say at least.
    fn applied(&self) -> Value {
        let object = &self.fixture.object;
        json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": self.fixture.name()}})
    }

    async fn list(&mut self, collection: &str) -> Result<()> {
        let list = self.ask("GET", &format!("{collection}?{SELECTOR}"), "", &Value::Null, 200).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [item] = items else { bail!("{} objects are listed", items.len()) };
        let item = item.clone();
        self.check(&item)
    }

    /// Deletes and waits until the object is gone; what would be done by controllers is done for them.
    async fn delete(&mut self, method: &str, path: &str) -> Result<()> {
        let options = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        let (code, answer) = self.api.call(method, path, JSON, &options).await?;
        ensure!(matches!(code, 200 | 202), "{method} {path}: {code} {answer}");
        let path = self.fixture.path();
        for _ in 0..TRIES {
            let (code, object) = self.api.call("GET", &path, "", &Value::Null).await?;
            if code == 404 {
                return Ok(());
            }
            text(&object, "/metadata/deletionTimestamp")?;
            if object["metadata"]["finalizers"].is_array() {
                let patch = json!({"metadata": {"finalizers": null}});
                self.api.call("PATCH", &path, MERGE, &patch).await?;
            }
            if self.fixture.resource.plural == "namespaces" {
                let mut empty = self.applied();
                empty["spec"] = json!({"finalizers": []});
                self.api.call("PUT", &format!("{path}/finalize"), JSON, &empty).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{path} is never gone")
    }

    /// A watch from before the beginning tells the whole life.
    async fn watch(&mut self, path: &str, made: &Value) -> Result<()> {
        let events = self.ask("GET", path, "", &Value::Null, 200).await?;
        let events = events.as_array().cloned().unwrap_or_default();
        let words: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
        let [first, between @ .., last] = words.as_slice() else { bail!("a watch tells {words:?}") };
        let changes = between.iter().all(|word| *word == "MODIFIED") && !between.is_empty();
        ensure!(*first == "ADDED" && changes && *last == "DELETED", "a watch tells {words:?}");
        if let Some(place) = missing(&events[0]["object"], made) {
            bail!("what was added is not what was made: {place}");
        }
        let mut version = 0;
        for event in &events {
            ensure!(event["object"]["metadata"]["uid"] == made["metadata"]["uid"], "a watch tells of another object");
            let next: u64 = text(event, "/object/metadata/resourceVersion")?.parse()?;
            ensure!(next > version, "a watch tells of version {next} after {version}");
            version = next;
        }
        Ok(())
    }
}

/// An apply of this test's that takes what others own.
fn forced(path: &str) -> String {
    format!("{path}?fieldManager=crud&force=true")
}
