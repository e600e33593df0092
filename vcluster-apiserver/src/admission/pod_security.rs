//! Pod Security: a namespace's labels say how hardened its pods must be
//! (k8s.io/pod-security-admission `admission`, KEP-2579).
//!
//! Pods are refused at the enforced level; workloads that would make such pods are warned about only.

pub mod baseline;
pub mod checks;
pub mod pod;
pub mod policy;
pub mod restricted;

use self::checks::violations;
use self::pod::{Pod, Violation};
use self::policy::{Level, LevelVersion, of_namespace};
use super::{Attributes, Plugin, list, lookup};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;

/// Pods of a namespace that are looked at when it gets stricter.
const LOOKED_AT: usize = 3000;

#[derive(Clone, Copy, Debug, Default)]
pub struct PodSecurity;

/// Where the pod template of a workload is.
fn template(a: &Attributes) -> Option<&'static [&'static str]> {
    match (a.resource.group.as_str(), a.resource.resource.as_str()) {
        ("", "podtemplates") => Some(&["template"]),
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some(&["spec", "template"]),
        ("batch", "cronjobs") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn view(value: &Value) -> Option<Pod<'_>> {
    let annotations = value.pointer("/metadata/annotations").and_then(Value::as_object);
    Some(Pod { annotations, spec: value.get("spec")? })
}

/// `host namespaces (hostPID=true), privileged`
fn detailed(violations: &[Violation]) -> String {
    let one = |v: &Violation| {
        if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) }
    };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// An update of a pod matters when it adds a container or changes an image.
fn is_significant(new: &Object, old: &Object) -> bool {
    ["containers", "initContainers", "ephemeralContainers"].iter().any(|list| {
        let images = |o: &Object| -> Vec<(Value, Value)> {
            let list = o.at(&["spec", list]).and_then(Value::as_array);
            let field = |c: &Value, f: &str| c.get(f).cloned().unwrap_or_default();
            list.into_iter().flatten().map(|c| (field(c, "name"), field(c, "image"))).collect()
        };
        images(new) != images(old)
    })
}

async fn judge(
    cx: &RequestCx,
    backend: &Backend,
    a: &Attributes,
    object: &Object,
    pod: &Value,
    enforce: bool,
) -> Result<(), Status> {
    let Some(namespace) = lookup(backend, "", "namespaces", "", &a.namespace).await? else { return Ok(()) };
    let (policy, _) = of_namespace(&namespace);
    let Some(pod) = view(pod) else { return Ok(()) };
    if enforce {
        let found = violations(policy.enforce, pod);
        if !found.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, detailed(&found));
            return Err(a.forbidden(object, why));
        }
    }
    let found = violations(policy.warn, pod);
    if !found.is_empty() {
        cx.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, detailed(&found)));
    }
    Ok(())
}

/// What a stricter level would have refused among the pods that are there.
async fn warn_about_pods(cx: &RequestCx, backend: &Backend, name: &str, level: LevelVersion) -> Result<(), Status> {
    let pods = list(backend, "", "pods", Some(name)).await?;
    let total = pods.len();
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods.into_iter().take(LOOKED_AT) {
        let (pod_name, pod) = (pod.name().to_owned(), pod.into_value());
        let found = view(&pod).map(|p| violations(level, p)).unwrap_or_default();
        if !found.is_empty() {
            let reasons: Vec<String> = found.into_iter().map(|v| v.reason).collect();
            by_reason.entry(reasons.join(", ")).or_default().push(pod_name);
        }
    }
    if total > LOOKED_AT {
        cx.warn(format!(
            "new PodSecurity enforce level only checked against the first {LOOKED_AT} of {total} existing pods"
        ));
    }
    if !by_reason.is_empty() {
        cx.warn(format!("existing pods in namespace {name:?} violate the new PodSecurity enforce level \"{level}\""));
    }
    let mut texts: Vec<String> = by_reason
        .into_iter()
        .map(|(reason, mut names)| {
            names.sort_unstable();
            let first = names.first().cloned().unwrap_or_default();
            match names.len() {
                1 => format!("{first}: {reason}"),
                2 => format!("{first} (and 1 other pod): {reason}"),
                n => format!("{first} (and {} other pods): {reason}", n - 1),
            }
        })
        .collect();
    texts.sort_unstable();
    for text in texts {
        cx.warn(text);
    }
    Ok(())
}

async fn judge_namespace(cx: &RequestCx, backend: &Backend, a: &Attributes, object: &Object) -> Result<(), Status> {
    let (new, errors) = of_namespace(object);
    let old = a.old.as_ref().map(of_namespace);
    if !errors.is_empty() && old.as_ref().is_none_or(|(_, before)| *before != errors) {
        return Err(Status::invalid(&a.kind, object.name(), &errors));
    }
    let Some((old, _)) = old else { return Ok(()) };
    let (new, old) = (new.enforce, old.enforce);
    let unchanged = new == old || new.level == Level::Privileged;
    if unchanged || (new.minor == old.minor && new.level <= old.level) {
        return Ok(());
    }
    warn_about_pods(cx, backend, object.name(), new).await
}

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, a: &Attributes) -> bool {
        let main = a.subresource.is_empty();
        let pod = a.resource.group.is_empty()
            && a.resource.resource == "pods"
            && matches!(a.subresource.as_str(), "" | "ephemeralcontainers" | "resize");
        let other = main && (template(a).is_some() || a.is("", "namespaces"));
        (a.creates() || a.updates()) && (pod || other)
    }

    async fn validate(
        &self,
        cx: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        if a.is("", "namespaces") {
            return judge_namespace(cx, backend, a, object).await;
        }
        if let Some(path) = template(a) {
            let Some(pod) = object.at(path).cloned() else { return Ok(()) };
            return judge(cx, backend, a, object, &pod, false).await;
        }
        if a.old.as_ref().is_some_and(|old| a.updates() && !is_significant(object, old)) {
            return Ok(());
        }
        judge(cx, backend, a, object, &object.clone().into_value(), true).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    fn namespace(level: &str) -> Value {
        json!({ "metadata": { "name": "ns", "labels": { "pod-security.kubernetes.io/enforce": level } } })
    }

    fn pod() -> Value {
        json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": { "hostPID": true, "containers": [{ "name": "a" }] } })
    }

    #[tokio::test]
    async fn pods_are_refused_and_workloads_warned_about() {
        let store = Fixture::default();
        store.put("namespaces", "", namespace("baseline")).await;
        let refused = Asked::create("/pods", pod()).run(&PodSecurity, &store).await.unwrap_err();
        let text = "violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
        assert_eq!(refused.message, format!("pods \"p\" is forbidden: {text}"));
        let deployment = json!({ "metadata": { "name": "d", "namespace": "ns" }, "spec": { "template": pod() } });
        let (_, _, warnings) = Asked::create("apps/deployments", deployment).run(&PodSecurity, &store).await.unwrap();
        assert_eq!(warnings, [format!("would {}", text.replacen("violates", "violate", 1))]);
        store.put("namespaces", "", namespace("privileged")).await;
        Asked::create("/pods", pod()).run(&PodSecurity, &store).await.unwrap();
    }

    #[tokio::test]
    async fn a_namespace_that_gets_stricter_names_the_pods_it_would_refuse() {
        let store = Fixture::default();
        store.put("pods", "", pod()).await;
        let asked = Asked::update("/namespaces", namespace("privileged"), namespace("baseline"));
        let (_, _, warnings) = asked.run(&PodSecurity, &store).await.unwrap();
        let wanted = [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "p: host namespaces",
        ];
        assert_eq!(warnings, wanted);
        let refused = Asked::create("/namespaces", namespace("x")).run(&PodSecurity, &store).await.unwrap_err();
        assert_eq!(refused.code, 422);
    }
}
