//! The only writer. What is to be written is built purely as [`Write`]s; [`Writer`] sends them, those of one pod in order.

use crate::extender::Extender;
use crate::pod::PodInfo;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Value,
}

impl Write {
    pub fn create(path: String, body: Value) -> Self {
        Self { method: Method::POST, path, content_type: "application/json", body }
    }

    /// An RFC 7386 merge patch.
    pub fn merge(path: String, body: Value) -> Self {
        Self { method: Method::PATCH, path, content_type: "application/merge-patch+json", body }
    }

    /// A patch that merges lists by their key.
    pub fn strategic(path: String, body: Value) -> Self {
        Self { method: Method::PATCH, path, content_type: "application/strategic-merge-patch+json", body }
    }

    /// Deletes the object with this uid and no other of the same name.
    pub fn delete(path: String, uid: &str) -> Self {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        Self { method: Method::DELETE, path, content_type: "application/json", body }
    }

    /// Assigns the pod to the node.
    pub fn binding(namespace: &str, name: &str, uid: &str, node: &str) -> Self {
        let body = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": namespace, "name": name, "uid": uid},
            "target": {"kind": "Node", "name": node},
        });
        Self::create(format!("{}/binding", pod_path(namespace, name)), body)
    }
}

pub(crate) fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{method} {path} is no request: {source}")]
    Request { method: Method, path: String, source: http::Error },
    #[error("{source}")]
    Refused { method: Method, path: String, source: kube::Error },
    /// What an extender that binds says.
    #[error("{0}")]
    Extender(String),
}

impl WriteError {
    /// The object is not there.
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { source: kube::Error::Api(status), .. } if status.code == 404)
    }
}

/// What a job is for, and so what follows when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What has to be there before the pod is bound.
    Prepare,
    Bind,
    /// Make room for the pod by deleting others.
    Preempt,
    /// Tell the pod's users something; nothing depends on it.
    Tell,
}

/// An extender that binds in the place of the scheduler.
#[derive(Clone)]
pub(crate) struct Binder {
    pub(crate) extender: Arc<Extender>,
    pub(crate) pod: Arc<PodInfo>,
    pub(crate) node: String,
}

/// Writes that belong together, in order; the first failure ends them.
pub(crate) struct Job {
    pub(crate) purpose: Purpose,
    pub(crate) writes: Vec<Write>,
    /// Asked after the writes.
    pub(crate) binder: Option<Binder>,
}

/// The end of a job of the pod `uid`.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) uid: String,
    pub(crate) purpose: Purpose,
    pub(crate) result: Result<(), WriteError>,
    ticket: u64,
}

/// Runs jobs in the background: different pods at once, one pod's jobs one after the other.
pub(crate) struct Writer {
    client: Client,
    done: mpsc::UnboundedSender<Done>,
    lanes: HashMap<String, (u64, JoinHandle<()>)>,
    tickets: u64,
}

impl Writer {
    pub(crate) fn new(client: Client) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (done, ends) = mpsc::unbounded_channel();
        (Self { client, done, lanes: HashMap::new(), tickets: 0 }, ends)
    }

    pub(crate) fn start(&mut self, uid: &str, job: Job) {
        self.tickets += 1;
        let (ticket, uid) = (self.tickets, uid.to_owned());
        let before = self.lanes.remove(&uid).map(|(_, task)| task);
        let (client, done, key) = (self.client.clone(), self.done.clone(), uid.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // A job that panicked has ended as well.
                let _ended = before.await;
            }
            let result = send_all(&client, &job).await;
            // The receiver is gone only when the scheduler stops.
            let _sent = done.send(Done { uid, purpose: job.purpose, result, ticket });
        });
        self.lanes.insert(key, (ticket, task));
    }

    /// Forgets a lane that has nothing left to do.
    pub(crate) fn settle(&mut self, done: &Done) {
        if self.lanes.get(&done.uid).is_some_and(|(ticket, _)| *ticket == done.ticket) {
            self.lanes.remove(&done.uid);
        }
    }

    /// Waits for everything that was started.
    pub(crate) async fn finish(self) {
        for (_, task) in self.lanes.into_values() {
            let _ended = task.await;
        }
    }
}

async fn send_all(client: &Client, job: &Job) -> Result<(), WriteError> {
    for write in &job.writes {
        match send(client, write).await {
            // A victim that is gone already has made room.
            Err(error) if job.purpose == Purpose::Preempt && error.is_not_found() => {}
            result => result?,
        }
    }
    let Some(Binder { extender, pod, node }) = &job.binder else { return Ok(()) };
    match extender.bind(&pod.pod, node).await {
        Err(error) if extender.is_ignorable() => {
            tracing::info!(%error, "an extender does not bind and may be ignored");
            send(client, &Write::binding(pod.namespace(), pod.name(), pod.uid(), node)).await
        }
        result => result.map_err(|error| WriteError::Extender(error.to_string())),
    }
}

async fn send(client: &Client, write: &Write) -> Result<(), WriteError> {
    let (method, path) = (write.method.clone(), write.path.clone());
    let request = Request::builder().method(&method).uri(&path).header("content-type", write.content_type);
    let request = request.body(write.body.to_string().into_bytes()).map_err(|source| WriteError::Request {
        method: method.clone(),
        path: path.clone(),
        source,
    })?;
    let answer = client.request_text(request).await;
    answer.map(drop).map_err(|source| WriteError::Refused { method, path, source })
}
