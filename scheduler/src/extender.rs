//! HTTP services that have a say (`pkg/scheduler/extender.go`, `k8s.io/kube-scheduler/extender/v1`). JSON over POST.

use crate::config::ExtenderConfig;
use crate::plugin::default_preemption::Candidate;
use crate::pod::spec_of;
use crate::snapshot::{NodeInfo, Snapshot};
use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// One service, and how it is reached.
pub(crate) struct Extender {
    config: ExtenderConfig,
    client: Client,
    timeout: Duration,
    managed: HashSet<String>,
}

/// Why an extender has no say this time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExtenderError {
    #[error("extender {url:?} cannot be reached as configured: {message}")]
    Setup { url: String, message: String },
    #[error("failed {verb} with extender at URL {url}: {message}")]
    Call { verb: String, url: String, message: String },
    #[error("failed {verb} with extender at URL {url}, code {code}")]
    Code { verb: String, url: String, code: u16 },
    /// What the extender says itself.
    #[error("{0}")]
    Said(String),
    #[error("extender {url:?} claims a filtered node {node:?} which is not found in the input node list")]
    UnknownNode { url: String, node: String },
    #[error(
        "extender: {url} claims to preempt pod (UID: {uid}) on node: {node}, but the pod is not found on that node"
    )]
    UnknownVictim { url: String, uid: String, node: String },
    #[error("expected at least one victim pod on node {0:?}")]
    NoVictims(String),
}

/// What an extender left of the nodes, and why not the others.
pub(crate) struct Left {
    pub(crate) nodes: Vec<Arc<NodeInfo>>,
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) unresolvable: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterResult {
    nodes: Option<Value>,
    node_names: Option<Vec<String>>,
    failed_nodes: Option<BTreeMap<String, String>>,
    failed_and_unresolvable_nodes: Option<BTreeMap<String, String>>,
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostPriority {
    host: String,
    score: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PreemptionResult {
    node_name_to_meta_victims: Option<BTreeMap<String, Option<MetaVictims>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetaVictims {
    #[serde(rename = "Pods")]
    pods: Option<Vec<MetaPod>>,
    #[serde(rename = "NumPDBViolations")]
    violations: i64,
}

#[derive(Deserialize)]
struct MetaPod {
    #[serde(rename = "UID")]
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BindingResult {
    error: String,
}

/// What kube makes a client of; an address with a scheme of its own, and no CA means no check, as upstream has it.
fn kubeconfig(config: &ExtenderConfig) -> Value {
    let tls = config.tls_config.clone().unwrap_or_default();
    let set = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let unchecked = tls.insecure || (config.enable_https && tls.ca_file.is_empty() && tls.ca_data.is_empty());
    json!({
        "clusters": [{"name": "extender", "cluster": {
            "server": config.url_prefix.trim_end_matches('/'),
            "insecure-skip-tls-verify": unchecked,
            "tls-server-name": set(&tls.server_name),
            "certificate-authority": set(&tls.ca_file),
            "certificate-authority-data": set(&tls.ca_data),
        }}],
        "users": [{"name": "scheduler", "user": {
            "client-certificate": set(&tls.cert_file),
            "client-certificate-data": set(&tls.cert_data),
            "client-key": set(&tls.key_file),
            "client-key-data": set(&tls.key_data),
        }}],
        "contexts": [{"name": "extender", "context": {"cluster": "extender", "user": "scheduler"}}],
        "current-context": "extender",
    })
}

/// Go's durations of hours, minutes, seconds and milliseconds; nothing for what is none.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().ok()?;
        let (unit, tail) = ["ms", "h", "m", "s"].into_iter().find_map(|unit| Some((unit, tail.strip_prefix(unit)?)))?;
        let seconds = match unit {
            "ms" => number / 1000.0,
            "h" => number * 3600.0,
            "m" => number * 60.0,
            _ => number,
        };
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    Some(total)
}

impl Extender {
    pub(crate) async fn new(config: &ExtenderConfig) -> Result<Self, ExtenderError> {
        let failed = |message: String| ExtenderError::Setup { url: config.url_prefix.clone(), message };
        let kubeconfig: Kubeconfig =
            serde_json::from_value(kubeconfig(config)).map_err(|error| failed(error.to_string()))?;
        let client_config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let client = Client::try_from(client_config.map_err(|error| failed(error.to_string()))?);
        Ok(Self::with_client(config, client.map_err(|error| failed(error.to_string()))?))
    }

    /// The client's requests go to the configured address.
    pub(crate) fn with_client(config: &ExtenderConfig, client: Client) -> Self {
        let timeout = duration(&config.http_timeout).filter(|timeout| !timeout.is_zero());
        let managed = config.managed_resources.iter().map(|resource| resource.name.clone()).collect();
        Self { config: config.clone(), client, timeout: timeout.unwrap_or(DEFAULT_TIMEOUT), managed }
    }

    /// Whether the pod is its business.
    pub(crate) fn is_interested(&self, pod: &Pod) -> bool {
        let asks = |container: &Container| {
            let resources = container.resources.iter();
            let lists = resources.flat_map(|resources| resources.requests.iter().chain(&resources.limits));
            lists.flat_map(|list| list.keys()).any(|name| self.managed.contains(name))
        };
        let spec = spec_of(pod);
        self.managed.is_empty() || spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(asks)
    }

    pub(crate) fn is_ignorable(&self) -> bool {
        self.config.ignorable
    }

    pub(crate) fn filters(&self) -> bool {
        !self.config.filter_verb.is_empty()
    }

    pub(crate) fn scores(&self) -> bool {
        !self.config.prioritize_verb.is_empty()
    }

    pub(crate) fn judges_or_scores(&self) -> bool {
        self.filters() || self.scores()
    }

    pub(crate) fn preempts(&self) -> bool {
        !self.config.preempt_verb.is_empty()
    }

    pub(crate) fn binds(&self) -> bool {
        !self.config.bind_verb.is_empty()
    }

    pub(crate) fn weight(&self) -> i64 {
        self.config.weight
    }

    fn arguments(&self, pod: &Pod, nodes: &[Arc<NodeInfo>]) -> Value {
        if self.config.node_cache_capable {
            let names: Vec<_> = nodes.iter().map(|node| node.name()).collect();
            return json!({"Pod": pod, "Nodes": null, "NodeNames": names});
        }
        let items: Vec<_> = nodes.iter().map(|node| &*node.node).collect();
        json!({"Pod": pod, "Nodes": {"metadata": {}, "items": items}, "NodeNames": null})
    }

    pub(crate) async fn filter(&self, pod: &Pod, nodes: &[Arc<NodeInfo>]) -> Result<Left, ExtenderError> {
        let result: FilterResult = self.send(&self.config.filter_verb, &self.arguments(pod, nodes)).await?;
        if !result.error.is_empty() {
            return Err(ExtenderError::Said(result.error));
        }
        let listed = result.nodes.as_ref().and_then(|list| list["items"].as_array());
        let listed = listed.map(|items| {
            let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            items.iter().map(name).collect::<Vec<_>>()
        });
        let names = result.node_names.filter(|_| self.config.node_cache_capable).or(listed).unwrap_or_default();
        let known: HashMap<&str, &Arc<NodeInfo>> = nodes.iter().map(|node| (node.name(), node)).collect();
        let find = |name: &String| {
            let node = known.get(name.as_str()).map(|node| Arc::clone(node));
            node.ok_or_else(|| ExtenderError::UnknownNode { url: self.config.url_prefix.clone(), node: name.clone() })
        };
        let nodes = names.iter().map(find).collect::<Result<_, _>>()?;
        let unresolvable = result.failed_and_unresolvable_nodes.unwrap_or_default();
        let mut failed = result.failed_nodes.unwrap_or_default();
        failed.retain(|node, _| !unresolvable.contains_key(node));
        Ok(Left { nodes, failed, unresolvable })
    }

    /// Node and score, of 0..=10.
    pub(crate) async fn prioritize(
        &self,
        pod: &Pod,
        nodes: &[Arc<NodeInfo>],
    ) -> Result<Vec<(String, i64)>, ExtenderError> {
        let result: Option<Vec<HostPriority>> =
            self.send(&self.config.prioritize_verb, &self.arguments(pod, nodes)).await?;
        Ok(result.unwrap_or_default().into_iter().map(|priority| (priority.host, priority.score)).collect())
    }

    /// The candidates that it agrees with, with the victims that it names.
    pub(crate) async fn preempt(
        &self,
        pod: &Pod,
        candidates: &[Candidate],
        snapshot: &Snapshot,
    ) -> Result<Vec<Candidate>, ExtenderError> {
        let cached = self.config.node_cache_capable;
        let victims = |candidate: &Candidate| {
            let pods: Vec<_> = candidate
                .victims
                .iter()
                .map(|victim| if cached { json!({"UID": victim.uid()}) } else { json!(&*victim.pod) })
                .collect();
            (candidate.node.clone(), json!({"Pods": pods, "NumPDBViolations": candidate.violations}))
        };
        let map: Value = candidates.iter().map(victims).collect::<serde_json::Map<_, _>>().into();
        let field = if cached { "NodeNameToMetaVictims" } else { "NodeNameToVictims" };
        let arguments = json!({"Pod": pod, field: map});
        let result: PreemptionResult = self.send(&self.config.preempt_verb, &arguments).await?;
        let mut chosen = Vec::new();
        for (node, victims) in result.node_name_to_meta_victims.unwrap_or_default() {
            let victims = victims.unwrap_or_default();
            let pods = victims.pods.unwrap_or_default();
            if pods.is_empty() {
                if self.is_ignorable() {
                    continue;
                }
                return Err(ExtenderError::NoVictims(node));
            }
            let find = |pod: &MetaPod| {
                let here = snapshot.node(&node).and_then(|node| node.pods.iter().find(|there| there.uid() == pod.uid));
                here.cloned().ok_or_else(|| ExtenderError::UnknownVictim {
                    url: self.config.url_prefix.clone(),
                    uid: pod.uid.clone(),
                    node: node.clone(),
                })
            };
            let victims_found = pods.iter().map(find).collect::<Result<_, _>>()?;
            let violations = usize::try_from(victims.violations).unwrap_or(0);
            chosen.push(Candidate { node, victims: victims_found, violations });
        }
        Ok(chosen)
    }

    pub(crate) async fn bind(&self, pod: &Pod, node: &str) -> Result<(), ExtenderError> {
        let (meta, verb) = (&pod.metadata, &self.config.bind_verb);
        let arguments = json!({"PodName": meta.name, "PodNamespace": meta.namespace, "PodUID": meta.uid, "Node": node});
        let result: BindingResult = self.send(verb, &arguments).await?;
        if result.error.is_empty() { Ok(()) } else { Err(ExtenderError::Said(result.error)) }
    }

    async fn send<R: DeserializeOwned>(&self, verb: &str, arguments: &Value) -> Result<R, ExtenderError> {
        let url = format!("{}/{verb}", self.config.url_prefix.trim_end_matches('/'));
        let failed = |message: String| ExtenderError::Call { verb: verb.to_owned(), url: url.clone(), message };
        let request = Request::post(format!("/{verb}")).header("content-type", "application/json");
        let request = request.body(Body::from(arguments.to_string().into_bytes()));
        let request = request.map_err(|error| failed(error.to_string()))?;
        let call = async {
            let answer = self.client.send(request).await.map_err(|error| failed(error.to_string()))?;
            if answer.status() != StatusCode::OK {
                let code = answer.status().as_u16();
                return Err(ExtenderError::Code { verb: verb.to_owned(), url: url.clone(), code });
            }
            let bytes = answer.into_body().collect_bytes().await.map_err(|error| failed(error.to_string()))?;
            serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
        };
        match tokio::time::timeout(self.timeout, call).await {
            Ok(result) => result,
            Err(_) => Err(failed("context deadline exceeded".to_owned())),
        }
    }
}

#[cfg(test)]
#[path = "extender_tests.rs"]
mod tests;
