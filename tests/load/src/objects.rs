//! The objects that are made, and filling a namespace with them.

use crate::connection::{Ask, Client};
use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Instant;

/// Bytes of payload in a ConfigMap or Secret: with its metadata one is about 800 bytes long.
const PAYLOAD: usize = 400;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Configmaps,
    Secrets,
    Pods,
}

impl Kind {
    fn resource(self) -> &'static str {
        match self {
            Self::Configmaps => "configmaps",
            Self::Secrets => "secrets",
            Self::Pods => "pods",
        }
    }

    pub fn path(self, namespace: &str) -> String {
        format!("/api/v1/namespaces/{namespace}/{}", self.resource())
    }

    pub fn body(self, name: &str) -> String {
        let metadata = json!({"name": name, "labels": {"app": "load", "part": name.len().to_string()}});
        let content = match self {
            Self::Configmaps => json!({"kind": "ConfigMap", "data": {"payload": "x".repeat(PAYLOAD)}}),
            Self::Secrets => json!({"kind": "Secret", "stringData": {"payload": "x".repeat(PAYLOAD)}}),
            Self::Pods => pod(),
        };
        let mut object = json!({"apiVersion": "v1", "metadata": metadata});
        if let (Some(object), Value::Object(content)) = (object.as_object_mut(), content) {
            object.extend(content);
        }
        object.to_string()
    }
}

/// Of the size that pods of deployments have: two containers with probes, resources, variables and volumes.
fn pod() -> Value {
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example.com/team/app:1.2.3", "args": ["--listen=:8080", "--verbose"],
            "ports": [{"containerPort": 8080, "name": "http"}],
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "MODE", "value": "fast"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
            "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "initialDelaySeconds": 10},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]})
    };
    json!({"kind": "Pod", "spec": {"containers": [container("app"), container("proxy")],
        "volumes": [{"name": "data", "emptyDir": {}}]}})
}

#[derive(clap::Args)]
pub struct Options {
    #[arg(value_enum)]
    kind: Kind,
    /// How many there shall be
    count: usize,
    #[arg(long)]
    namespace: String,
    #[arg(long, default_value_t = 64)]
    clients: usize,
}

/// Makes a namespace that pods can be made in.
pub async fn namespace(client: &Client, name: &str) -> Result<()> {
    let mut connection = client.http1().await?;
    let path = format!("/api/v1/namespaces/{name}");
    if connection.ask(Ask::get(&path)).await.is_ok() {
        return Ok(());
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string();
    connection.ask(Ask::post("/api/v1/namespaces", namespace)).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}).to_string();
    connection.ask(Ask::post(&format!("{path}/serviceaccounts"), account)).await?;
    Ok(())
}

pub async fn run(client: &Client, options: &Options) -> Result<Value> {
    namespace(client, &options.namespace).await?;
    let begun = Instant::now();
    let path = options.kind.path(&options.namespace);
    let next = Cell::new(0);
    let work = (0..options.clients).map(|_| async {
        let mut connection = client.http1().await?;
        while next.get() < options.count {
            let number = next.replace(next.get() + 1);
            let body = options.kind.body(&format!("object-{number:06}"));
            connection.ask(Ask::post(&path, body)).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(work).await?;
    Ok(json!({"count": options.count, "whole": begun.elapsed().as_secs_f64()}))
}
