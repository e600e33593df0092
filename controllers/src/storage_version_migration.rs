//! Writes every object of a resource anew, so that all are stored as they would be stored now. Upstream's
//! `pkg/controller/storageversionmigrator`.
//!
//! Owns the status of StorageVersionMigrations. First it writes down a revision of the resource; then it touches, by an empty
//! patch, what is not younger than that. An object that changes meanwhile has been written anew by that change. Woken by
//! migrations; a resource that is not served is waited for, one minute long.

use crate::api::{Api, ApiError};
use crate::conditions::{self, Condition};
use crate::controller::{Descriptor, Reconcile, Watch};
use crate::discovery::ServedResource;
use crate::meta::Meta;
use crate::monitors::Monitors;
use crate::plan::{Plan, Target};
use crate::queue::Key;
use apimachinery::clock::Clock;
use async_trait::async_trait;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const VERBS: [&str; 5] = ["create", "list", "patch", "update", "watch"];
/// How long a resource may be on its way into discovery, and how often that is looked at.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);
const GLANCE: Duration = Duration::from_secs(5);
/// A namespace in which nothing is: its empty list tells the revision of the resource.
const NOWHERE: &str = "fakesvmnamespace";

pub(crate) struct Migrations {
    informers: Informers,
    own: Store<StorageVersionMigration>,
    monitors: Monitors,
    clock: Arc<dyn Clock>,
}

impl Migrations {
    pub(crate) fn new(informers: &Informers, monitors: &Monitors, clock: Arc<dyn Clock>) -> Self {
        Self { informers: informers.clone(), own: informers.store(), monitors: monitors.clone(), clock }
    }

    fn served(&self, migration: &StorageVersionMigration) -> Option<ServedResource> {
        let wanted = &migration.spec.as_ref()?.resource;
        let served = self.monitors.served();
        let is = |own: &&ServedResource| own.resource.group == wanted.group && own.resource.resource == wanted.resource;
        served.resources.iter().find(is).cloned()
    }

    async fn revision(served: &ServedResource, api: &Api) -> Result<String, ApiError> {
        let namespace = if served.namespaced { NOWHERE } else { "" };
        let target = target(served, namespace, "");
        let list = api.call("list", http::Method::GET, &target, "application/json", None).await?;
        Ok(list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned())
    }

    /// Touches all objects up to the revision. Returns how many there are; or how many were left at a failure, and it.
    async fn touch(&self, served: &ServedResource, upto: u64, api: &Api) -> Result<usize, (usize, usize, ApiError)> {
        let all = self.monitors.store(&served.resource).map(|store| store.list_raw(None)).unwrap_or_default();
        let total = all.len();
        let candidates: Vec<_> = all.into_iter().filter(|raw| raw.revision <= upto).collect();
        for (done, raw) in candidates.iter().enumerate() {
            let target = target(served, &raw.namespace, &raw.name);
            let body = json!({"metadata": {"resourceVersion": raw.revision.to_string()}});
            let patched =
                api.call("patch", http::Method::PATCH, &target, "application/merge-patch+json", Some(&body)).await;
            match patched {
                Err(error) if !matches!(error.code(), 404 | 409) => {
                    return Err((candidates.len() - done, total, error));
                }
                _ => {}
            }
        }
        Ok(total)
    }
}

fn target(served: &ServedResource, namespace: &str, name: &str) -> Target {
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    Target { resource: served.resource.clone(), namespace, name, subresource: "" }
}

/// What the next step is.
#[derive(Debug, PartialEq)]
enum Step {
    Nothing,
    Wait,
    Fail(String),
    FindRevision,
    Touch(u64),
}

fn step(migration: &StorageVersionMigration, served: Option<&ServedResource>, now: Timestamp) -> Step {
    let all = conditions::read(&json!(migration.status));
    let ended = ["Succeeded", "Failed"].iter().any(|kind| conditions::find(&all, kind).is_some_and(Condition::is_true));
    let revision = migration.status.as_ref().and_then(|status| status.resource_version.as_deref()).unwrap_or_default();
    let Some(served) = served else {
        let young = now.duration_since(migration.created()) < PATIENCE;
        return match (ended, young, revision.is_empty()) {
            (true, ..) => Step::Nothing,
            (_, true, _) => Step::Wait,
            (.., true) => Step::Fail("resource does not exist in discovery".to_owned()),
            (.., false) => failed("unable to obtain GVR from discovery"),
        };
    };
    if ended {
        Step::Nothing
    } else if !served.has(&VERBS) {
        let resource = &served.resource;
        let name = format!("{}/{}, Resource={}", resource.group, resource.version, resource.resource);
        Step::Fail(format!("resource \"{name}\" does not support discovery operations: [{}]", VERBS.join(" ")))
    } else if revision.is_empty() {
        Step::FindRevision
    } else {
        revision.parse().map_or_else(|_| failed("the resourceVersion in the status is no number"), Step::Touch)
    }
}

fn failed(why: &str) -> Step {
    Step::Fail(format!("migration encountered unhandled error: {why}"))
}

fn running(left: usize, total: usize, error: Option<&str>) -> String {
    let progress = match (left, total) {
        (0, 0) => String::new(),
        (0, _) => format!(", {total} objects verified migrated"),
        _ => format!(", {left}/{total} objects not yet migrated"),
    };
    let error = error.map(|error| format!("; transient error: {error}")).unwrap_or_default();
    format!("The migration is running{progress}{error}")
}

fn told(migration: &StorageVersionMigration, told: &[Condition], revision: Option<String>) -> Plan {
    let mut status = json!(migration.status.clone().unwrap_or_default());
    let mut all = conditions::read(&status);
    for condition in told {
        conditions::replace(&mut all, condition.clone());
    }
    status["conditions"] = json!(all);
    if let Some(revision) = revision {
        status["resourceVersion"] = json!(revision);
    }
    let mut plan = Plan::default();
    plan.set_status(migration, status);
    plan
}

#[async_trait]
impl Reconcile for Migrations {
    fn descriptor(&self) -> Descriptor {
        let name = "storage-version-migrator-controller";
        Descriptor { name, account: name, component: name, workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        let monitors = self.monitors.clone();
        vec![
            Watch::own(&self.informers, &self.own),
            Watch::of(async move { monitors.ready().await }, Box::pin(futures::stream::empty())),
        ]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(migration) = self.own.get("", &key.name) else { return Ok(None) };
        let now = self.clock.now();
        let condition = |kind: &str, reason: &str, message: String| Condition::new(kind, true, reason, message, now);
        let served = self.served(&migration);
        let plan = match (step(&migration, served.as_ref(), now), &served) {
            (Step::Nothing, _) | (Step::FindRevision | Step::Touch(_), None) => return Ok(None),
            (Step::Wait, _) => return Ok(Some(GLANCE)),
            (Step::Fail(message), _) => {
                told(&migration, &[condition("Failed", "StorageVersionMigrationFailed", message)], None)
            }
            (Step::FindRevision, Some(served)) => told(&migration, &[], Some(Self::revision(served, api).await?)),
            (Step::Touch(upto), Some(served)) => {
                let is_running = |left, total, error| {
                    condition("Running", "StorageVersionMigrationInProgress", running(left, total, error))
                };
                match self.touch(served, upto, api).await {
                    Ok(total) => {
                        let done = condition(
                            "Succeeded",
                            "StorageVersionMigrationSucceeded",
                            "Migration completed".to_owned(),
                        );
                        told(&migration, &[is_running(0, total, None), done], None)
                    }
                    // These pass: it begins again, and what is done stays done.
                    Err((left, total, error)) if matches!(error.code(), 0 | 429 | 500 | 503 | 504) => {
                        api.apply(&told(&migration, &[is_running(left, total, Some(&error.message()))], None)).await?;
                        return Err(error);
                    }
                    Err((left, total, error)) => {
                        let message = format!(
                            "{left}/{total} not yet migrated. migration encountered unhandled error: {}",
                            error.message()
                        );
                        let failed = condition("Failed", "StorageVersionMigrationFailed", message);
                        told(&migration, &[is_running(left, total, None), failed], None)
                    }
                }
            }
        };
        api.apply(&plan).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::GroupVersionResource;
    use serde_json::Value;

    fn run(status: Value, verbs: Option<&[&str]>, now: &str) -> Step {
        let migration = json!({"metadata": {"name": "m", "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {"resource": {"group": "", "resource": "secrets"}}, "status": status});
        let served = verbs.map(|verbs| ServedResource {
            resource: GroupVersionResource::new("", "v1", "secrets"),
            kind: "Secret".into(),
            namespaced: true,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        });
        step(&serde_json::from_value(migration).unwrap(), served.as_ref(), now.parse().unwrap())
    }

    /// Cases of upstream's `TestSync` in both halves.
    #[test]
    fn a_migration_goes_step_by_step() {
        let soon = "2024-01-01T00:00:30Z";
        let late = "2024-01-01T00:02:00Z";
        assert_eq!(run(json!({}), None, soon), Step::Wait);
        assert_eq!(run(json!({}), None, late), Step::Fail("resource does not exist in discovery".into()));
        assert_eq!(run(json!({"resourceVersion": "7"}), None, late), failed("unable to obtain GVR from discovery"));
        let lacking = "resource \"/v1, Resource=secrets\" does not support discovery operations: [create list patch update watch]";
        assert_eq!(run(json!({}), Some(&["list"]), soon), Step::Fail(lacking.into()));
        assert_eq!(run(json!({}), Some(&VERBS), soon), Step::FindRevision);
        assert_eq!(run(json!({"resourceVersion": "7"}), Some(&VERBS), soon), Step::Touch(7));
        let ended = json!({"resourceVersion": "7", "conditions": [{"type": "Succeeded", "status": "True", "reason": "", "message": "", "lastTransitionTime": soon}]});
        assert_eq!(run(ended, Some(&VERBS), soon), Step::Nothing);
    }

    #[test]
    fn progress_is_told() {
        assert_eq!(running(0, 0, None), "The migration is running");
        assert_eq!(
            running(3, 9, Some("x")),
            "The migration is running, 3/9 objects not yet migrated; transient error: x"
        );
        assert_eq!(running(0, 9, None), "The migration is running, 9 objects verified migrated");
    }
}
