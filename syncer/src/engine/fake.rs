//! An API server in memory, one for each side of the engine's tests.
//!
//! It keeps what it is given, counts revisions, gives uids, checks preconditions, lets pods end gracefully and tells
//! its followers. It refuses everything else: no defaults, no validation, no owners, no field managers.

use apimachinery::GroupVersionResource;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{Method, Request, Response, StatusCode};
use informer::{Change, Informers, Raw, Source};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<Place, Value>,
    followers: Vec<(String, mpsc::UnboundedSender<Change>)>,
    log: Vec<String>,
    /// Requests that start with this are never answered.
    deaf: Option<String>,
}

/// Resource, namespace, name.
type Place = (String, String, String);
type Answer = Result<Value, u16>;

impl State {
    fn raw(place: &Place, object: &Value) -> Raw {
        let revision = object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        Raw {
            namespace: place.1.as_str().into(),
            name: place.2.as_str().into(),
            revision: revision.unwrap_or(0),
            bytes: object.to_string().into(),
        }
    }

    fn tell(&mut self, resource: &str, change: &Change) {
        self.followers.retain(|(followed, sender)| followed != resource || sender.send(change.clone()).is_ok());
    }

    fn put(&mut self, place: Place, mut object: Value) -> Value {
        self.revision += 1;
        let revision = self.revision.to_string();
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{revision}").into();
        }
        if !place.1.is_empty() {
            metadata["namespace"] = place.1.as_str().into();
        }
        metadata["name"] = place.2.as_str().into();
        metadata["resourceVersion"] = revision.into();
        self.tell(&place.0, &Change::Applied(Self::raw(&place, &object)));
        self.objects.insert(place, object.clone());
        object
    }

    fn remove(&mut self, place: &Place) -> Answer {
        let mut object = self.objects.remove(place).ok_or(404_u16)?;
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.tell(&place.0, &Change::Deleted(Self::raw(place, &object)));
        Ok(object)
    }

    fn patch(&mut self, place: Place, subresource: &str, applies: bool, patch: &Value) -> Answer {
        let Some(mut object) = self.objects.get(&place).cloned() else {
            return if applies && subresource.is_empty() { Ok(self.put(place, patch.clone())) } else { Err(404) };
        };
        let is_met = |field: &str| {
            let wanted = &patch["metadata"][field];
            wanted.is_null() || *wanted == object["metadata"][field]
        };
        if !is_met("uid") || !is_met("resourceVersion") {
            return Err(409);
        }
        let before = object.clone();
        if subresource == "status" {
            merge(&mut object["status"], &patch["status"]);
        } else {
            merge(&mut object, patch);
        }
        Ok(if object == before { object } else { self.put(place, object) })
    }

    fn delete(&mut self, place: &Place, options: &Value) -> Answer {
        let object = self.objects.get(place).ok_or(404_u16)?;
        let wanted = &options["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
            return Err(409);
        }
        let spec_grace = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        let grace = options["gracePeriodSeconds"].as_i64().unwrap_or(spec_grace);
        if place.0 != "pods" || grace == 0 {
            return self.remove(place);
        }
        let mut object = object.clone();
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        Ok(self.put(place.clone(), object))
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

impl Fake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Writes an object as somebody else would; its metadata says where.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        self.lock().put((resource.to_owned(), field("namespace"), field("name")), object);
    }

    /// Removes an object, as somebody else would by force.
    pub(crate) fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.lock().remove(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).unwrap();
    }

    /// Removes the pods that are on their way out, as their kubelet would.
    pub(crate) fn end_pods(&self) {
        let mut state = self.lock();
        let is_ending = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
        let ending = state.objects.iter().filter(|(place, object)| place.0 == "pods" && is_ending(object));
        for place in ending.map(|(place, _)| place.clone()).collect::<Vec<_>>() {
            state.remove(&place).unwrap();
        }
    }

    /// An object, null when it is not there.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Value {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&place).cloned().unwrap_or_default()
    }

    /// The names of a resource's objects, `resource/name` each.
    pub(crate) fn names(&self, resource: &str) -> Vec<String> {
        let state = self.lock();
        let found = state.objects.keys().filter(|place| place.0 == resource);
        found.map(|(resource, _, name)| format!("{resource}/{name}")).collect()
    }

    /// The requests since the last look, `METHOD resource/name/subresource` each.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().log)
    }

    /// Answers no more requests that start so; `None` answers all again.
    pub(crate) fn ignore(&self, start: Option<&str>) {
        self.lock().deaf = start.map(str::to_owned);
    }

    pub(crate) fn informers(&self) -> Informers {
        Informers::new(Arc::new(self.clone()))
    }

    pub(crate) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.answer(request).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let bytes: Bytes = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let (place, subresource) = place(parts.uri.path());
        let line = format!("{} {}/{}/{subresource}", parts.method, place.0, place.2);
        let line = line.trim_end_matches('/').to_owned();
        let is_ignored = {
            let mut state = self.lock();
            state.log.push(line.clone());
            state.deaf.as_ref().is_some_and(|start| line.starts_with(start))
        };
        if is_ignored {
            return std::future::pending().await;
        }
        let applies = parts.headers["content-type"] == "application/apply-patch+yaml";
        let answer = self.perform(&parts.method, place, &subresource, applies, body);
        let code = answer.as_ref().err().copied().unwrap_or(200);
        let failure = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code});
        let text = answer.unwrap_or(failure).to_string();
        let mut response = Response::new(Body::from(text.into_bytes()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }

    fn perform(&self, method: &Method, mut place: Place, subresource: &str, applies: bool, body: Value) -> Answer {
        let mut state = self.lock();
        match (method.as_str(), subresource) {
            ("GET", _) => state.objects.get(&place).cloned().ok_or(404),
            ("POST", "token") => Ok(json!({"status": {"token": "t", "expirationTimestamp": "2100-01-01T00:00:00Z"}})),
            ("POST", _) => {
                place.2 = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if state.objects.contains_key(&place) { Err(409) } else { Ok(state.put(place, body)) }
            }
            ("PATCH", subresource) => state.patch(place, subresource, applies, &body),
            ("DELETE", _) => state.delete(&place, &body),
            _ => Err(405),
        }
    }
}

impl Source for Fake {
    fn follow(&self, resource: &GroupVersionResource) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        let resource = resource.resource.clone();
        let all = state.objects.iter().filter(|(place, _)| place.0 == resource);
        let all = all.map(|(place, object)| State::raw(place, object)).collect();
        sender.send(Change::Replaced(all)).unwrap();
        state.followers.push((resource, sender));
        futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
    }
}

/// What a path names, and its subresource.
fn place(path: &str) -> (Place, String) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let parts = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, parts) = if parts[0] == "namespaces" { (parts[1], &parts[2..]) } else { ("", parts) };
    let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
    ((part(0), namespace.to_owned(), part(1)), part(2))
}
