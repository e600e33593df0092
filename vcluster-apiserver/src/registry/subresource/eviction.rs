//! `pods/eviction`: a deletion that pod disruption budgets may refuse
//! (k8s.io/kubernetes `pkg/registry/core/pod/storage/eviction.go`).

use super::condition;
use crate::admission::Operation;
use crate::api::verb::create::{answer_object, options};
use crate::api::{Api, Call, decode};
use crate::registry::builtin;
use crate::registry::resource::Target;
use crate::registry::store::{ATTEMPTS, Change, storage_status, timestamp, tree};
use crate::request::body::Body;
use crate::request::negotiate::{self, Offer};
use crate::request::options::{DeleteOptions, WriteKind};
use apimachinery::selector::LabelSelector;
use apimachinery::{GroupResource, GroupVersionKind, GroupVersionResource, Object, Status};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// More would make a budget's status too large.
const DISRUPTED: usize = 2000;

pub async fn serve(api: &Api, call: &Call, body: Bytes) -> Result<Response<Body>, Status> {
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    let accepted = negotiate::response(&call.headers, call.query.get("pretty"), Offer::TRANSIENT)?;
    let options = options(call, WriteKind::Create)?;
    let model = builtin::model(&kind);
    let expected = decode::Expected { kind: &kind, model: &*model, protobuf: true };
    let mut eviction = decode::object(&call.cx, &call.headers, &body, &expected, options.field_validation)?;
    if eviction.name() != call.target.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    api.store.admit_only(&call.cx, &call.target, Operation::Create, options.dry_run, &mut eviction).await?;
    let mut deletion = match eviction.as_map().get("deleteOptions") {
        Some(value) if !value.is_null() => DeleteOptions::from_value(value)?,
        _ => DeleteOptions::default(),
    };
    deletion.dry_run |= options.dry_run;

    let pods = Target { subresource: String::new(), ..call.target.clone() };
    evict(api, call, &pods, deletion).await?;
    let mut done = Status::success(apimachinery::status::Details::default());
    done.details = None;
    done.code = 201;
    let answer = Object::from_value(serde_json::to_value(&done).unwrap_or_default()).unwrap_or_default();
    answer_object(StatusCode::CREATED, &accepted, &GroupVersionKind::new("", "v1", "Status"), answer)
}

async fn evict(api: &Api, call: &Call, pods: &Target, deletion: DeleteOptions) -> Result<(), Status> {
    for _ in 0..ATTEMPTS {
        let stored = api.store.backend.storage.get(&pods.key()).await.map_err(|e| storage_status(&e, pods))?;
        let stored = stored.ok_or_else(|| Status::not_found(&pods.resource.group_resource(), &pods.name))?;
        let pod = tree(&stored)?;
        let revision = stored.revision.to_string();
        if !is_free(&pod) {
            let deletion = ask_budgets(api, call, pods, &pod, &revision, deletion).await?;
            return announce_and_delete(api, call, pods, deletion).await;
        }
        let mut free = deletion.clone();
        if phase(&pod) == "Pending" && !pod.is_terminating() {
            // It must not have begun to run, under a budget, in between.
            free.resource_version.get_or_insert(revision);
        }
        match announce_and_delete(api, call, pods, free).await {
            Err(status) if status.reason == "Conflict" && deletion.resource_version.is_none() => {}
            result => return result,
        }
    }
    Err(Status::modified(&pods.resource.group_resource(), &pods.name))
}

/// Spends the budget that covers a pod, or refuses; answers the options that the deletion goes on with.
async fn ask_budgets(
    api: &Api,
    call: &Call,
    pods: &Target,
    pod: &Object,
    revision: &str,
    mut deletion: DeleteOptions,
) -> Result<DeleteOptions, Status> {
    let budgets = GroupResource::new("policy", "poddisruptionbudgets");
    let all = api.store.backend.objects(&budgets, Some(&pods.namespace)).await;
    let all = all.map_err(|e| storage_status(&e, pods))?;
    let matching: Vec<&Object> = all.iter().filter(|budget| covers(budget, pod)).collect();
    match matching.as_slice() {
        [] => {}
        [budget] if is_healthy(pod) || !may_go_unhealthy(budget) => {
            spend(api, call, budget, pod, deletion.dry_run).await?;
        }
        [_] => {
            // An unready pod whose budget tolerates its loss: it must still be unready when it goes.
            deletion.resource_version.get_or_insert_with(|| revision.to_owned());
        }
        _ => {
            return Err(Status::failure(
                500,
                "",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    }
    Ok(deletion)
}

/// The condition on the pod tells controllers (a Job's pod failure policy) that it did not fail by itself.
async fn announce_and_delete(api: &Api, call: &Call, pods: &Target, mut deletion: DeleteOptions) -> Result<(), Status> {
    let change = Announce {
        uid: deletion.uid.clone(),
        resource_version: deletion.resource_version.clone(),
        target: pods.clone(),
        now: timestamp(api.store.clock.now()),
    };
    if let Some(revision) = api.store.update_quietly(pods, &change, deletion.dry_run).await?
        && let Some(version) = &mut deletion.resource_version
    {
        *version = revision.to_string();
    }
    api.store.delete(&call.cx, pods, &deletion).await?;
    Ok(())
}

/// Gives the pod that fits the preconditions its `DisruptionTarget` condition.
struct Announce {
    uid: Option<String>,
    resource_version: Option<String>,
    target: Target,
    now: String,
}

impl Change for Announce {
    fn apply(&self, live: Option<&Object>) -> Result<Object, Status> {
        let mut pod = live.cloned().unwrap_or_default();
        let conflict = |what: &str, asked: &str, found: &str, why: &str| {
            let text = format!(
                "the {what} in the precondition ({asked}) does not match the {what} in record ({found}). \
                 The object might have been {why}"
            );
            Err(Status::conflict(&GroupResource::new("", "Pod"), &self.target.name, text))
        };
        if let Some(uid) = self.uid.as_deref().filter(|uid| *uid != pod.uid()) {
            return conflict("UID", uid, pod.uid(), "deleted and then recreated");
        }
        if let Some(version) = self.resource_version.as_deref().filter(|version| *version != pod.resource_version()) {
            return conflict("ResourceVersion", version, pod.resource_version(), "modified");
        }
        let reason = ("EvictionByEvictionAPI", "Eviction API: evicting");
        condition::hold(&mut pod, "DisruptionTarget", Some(reason), &self.now);
        Ok(pod)
    }
}

fn phase(pod: &Object) -> &str {
    pod.text_at(&["status", "phase"])
}

/// Pods that no budget protects: finished, pending, or already going.
fn is_free(pod: &Object) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed" | "Pending") || pod.is_terminating()
}

fn is_healthy(pod: &Object) -> bool {
    let conditions = pod.at(&["status", "conditions"]).and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|c| {
        c.get("type").and_then(Value::as_str) == Some("Ready")
            && c.get("status").and_then(Value::as_str) == Some("True")
    })
}

fn covers(budget: &Object, pod: &Object) -> bool {
    let selector = LabelSelector::from_object(budget.at(&["spec", "selector"]));
    selector.is_ok_and(|s| s.matches(|key| pod.label(key)))
}

fn number(budget: &Object, field: &str) -> i64 {
    budget.at(&["status", field]).and_then(Value::as_i64).unwrap_or(0)
}

/// Whether an unready pod may go whatever the count says.
fn may_go_unhealthy(budget: &Object) -> bool {
    let policy = budget.at(&["spec", "unhealthyPodEvictionPolicy"]).and_then(Value::as_str);
    policy == Some("AlwaysAllow")
        || (number(budget, "currentHealthy") >= number(budget, "desiredHealthy")
            && number(budget, "desiredHealthy") > 0)
}

async fn spend(api: &Api, call: &Call, budget: &Object, pod: &Object, dry_run: bool) -> Result<(), Status> {
    let snapshot = api.registry.snapshot();
    let resource = snapshot.get(&GroupVersionResource::new("policy", "v1", "poddisruptionbudgets"));
    let target = Target {
        resource: resource.ok_or_else(Status::no_such_path)?.clone(),
        namespace: call.target.namespace.clone(),
        name: budget.name().to_owned(),
        subresource: "status".to_owned(),
    };
    let change = Spend { pod: pod.name().to_owned(), now: timestamp(api.store.clock.now()) };
    api.store.update_quietly(&target, &change, dry_run).await?;
    Ok(())
}

/// Takes one disruption from a budget.
struct Spend {
    pod: String,
    now: String,
}

impl Change for Spend {
    fn apply(&self, live: Option<&Object>) -> Result<Object, Status> {
        let mut budget = live.cloned().unwrap_or_default();
        let refused = |seconds: u32, text: String| {
            let status =
                Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", seconds);
            let mut status = status.with_cause("DisruptionBudget", text, "");
            if seconds == 0
                && let Some(details) = status.details.as_mut()
            {
                details.retry_after_seconds = 0;
            }
            status
        };
        let name = budget.name().to_owned();
        if number(&budget, "observedGeneration") < budget.generation() {
            let why = format!("The disruption budget {name} is still being processed by the server.");
            return Err(refused(10, why));
        }
        let allowed = number(&budget, "disruptionsAllowed");
        let disrupted =
            budget.at(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
        if allowed < 0 || disrupted > DISRUPTED {
            return Err(Status::forbidden(
                &GroupResource::new("policy", "poddisruptionbudgets"),
                &name,
                if allowed < 0 {
                    "pdb disruptions allowed is negative"
                } else {
                    "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
                },
            ));
        }
        if allowed == 0 {
            let why = format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number(&budget, "desiredHealthy"),
                number(&budget, "currentHealthy")
            );
            return Err(refused(0, why));
        }
        budget.set_at(&["status", "disruptionsAllowed"], json!(allowed - 1));
        budget.set_at(&["status", "disruptedPods", &self.pod], self.now.as_str().into());
        if allowed == 1 {
            exhaust(&mut budget, &self.now);
        }
        Ok(budget)
    }
}

/// `DisruptionAllowed` turns false with the last disruption.
fn exhaust(budget: &mut Object, now: &str) {
    let mut conditions = budget.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    conditions.retain(|c| c.get("type").and_then(Value::as_str) != Some("DisruptionAllowed"));
    conditions.push(json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "lastTransitionTime": now, "observedGeneration": number(budget, "observedGeneration"),
    }));
    budget.set_at(&["status", "conditions"], conditions.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(status: Value) -> Result<Object, u16> {
        let budget = json!({"metadata": {"name": "b", "generation": 1}, "status": status});
        let spend = Spend { pod: "p".into(), now: "2026-01-01T00:00:00Z".into() };
        spend.apply(Object::from_value(budget).as_ref()).map_err(|s| s.code)
    }

    #[test]
    fn a_budget_is_spent_until_it_is_empty() {
        let left = spend(json!({"observedGeneration": 1, "disruptionsAllowed": 1})).unwrap();
        assert_eq!(number(&left, "disruptionsAllowed"), 0);
        assert!(left.at(&["status", "disruptedPods", "p"]).is_some());
        assert_eq!(spend(json!({"observedGeneration": 1, "disruptionsAllowed": 0})), Err(429));
        assert_eq!(spend(json!({"observedGeneration": 0, "disruptionsAllowed": 1})), Err(429));
        assert_eq!(spend(json!({"observedGeneration": 1, "disruptionsAllowed": -1})), Err(403));
    }
}
