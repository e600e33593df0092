//! The kinds that own pods: defaults, selectors that must match and must not change
//! (k8s.io/kubernetes `pkg/apis/{apps,batch,core}/v1/defaults.go`, `pkg/registry/{apps,batch,core}`).

pub mod daemon_set;
pub mod rollout;
pub mod selector;
pub mod warnings;

use super::fill::{absent, empty, items, made, object};
use super::internal;
use crate::registry::kinds::job::{rules as job_rules, status as job_status, update as job_update};
use crate::registry::kinds::pod::{dropped, spec as pod_spec, validation as pod_validation};
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Map, Value, json};

/// What tells one workload kind from another.
pub struct Workload {
    pub name: NameRule,
    /// `SetDefaults_KIND` beyond the template.
    pub defaults: fn(&mut Map<String, Value>),
    /// Where the pod template stands, under `spec`.
    pub template: &'static [&'static str],
    /// Whether `spec.selector` is a LabelSelector that must match the template and never changes.
    pub selector: Selector,
    pub fields: &'static [(&'static str, &'static str)],
    /// Which of the metadata a status update leaves as it is.
    pub status_keeps: &'static [&'static str],
    /// The metadata that counts as desired state too.
    pub counted: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Required, immutable, a LabelSelector.
    Fixed,
    /// A map of labels that is taken from the template when absent: replication controllers.
    Map,
    /// Made by the server: jobs.
    Generated,
    /// The kind has none: cron jobs.
    None,
}

impl Workload {
    /// The template of pods that always start again.
    fn template_errors(&self, object: &Object, spec: &Value, path: &Path, errors: &mut ErrorList) {
        let kind = kind_of(object);
        let at = path.child("template");
        if spec["template"].is_null() && self.selector == Selector::Map {
            return errors.push(FieldError::required(&at, ""));
        }
        let mut template = spec["template"].clone();
        if kind == "StatefulSet" {
            rollout::as_of_set(spec, &mut template);
        }
        errors.extend(pod_validation::template(&template, &at));
        let inner = at.child("spec");
        let policy = spec["template"]["spec"]["restartPolicy"].as_str().unwrap_or_default();
        if policy != "Always" {
            errors.push(FieldError::not_supported(&inner.child("restartPolicy"), policy, &["Always"]));
        }
        if !spec["template"]["spec"]["activeDeadlineSeconds"].is_null() {
            let shown = if kind == "Deployment" { "ReplicaSet" } else { kind };
            let why = format!("activeDeadlineSeconds in {shown} is not Supported");
            errors.push(FieldError::forbidden(&inner.child("activeDeadlineSeconds"), why));
        }
    }
}

impl Workload {
    /// What holds for creations and updates alike.
    fn validate(&self, object: &Object) -> ErrorList {
        let spec = object.as_map().get("spec").unwrap_or(&Value::Null);
        let path = Path::new("spec");
        let mut errors = ErrorList::new();
        match self.selector {
            Selector::Fixed => {
                errors.extend(selector::labels(kind_of(object), spec, &path));
                errors.extend(rollout::counts(spec, &path));
                // What a selector selects that cannot be read is not asked.
                if kind_of(object) == "DaemonSet" || selector::is_readable(&spec["selector"]) {
                    self.template_errors(object, spec, &path, &mut errors);
                }
                rollout::spec(kind_of(object), spec, &path, &mut errors);
            }
            Selector::Map => {
                errors.extend(selector::map(spec, &path));
                errors.extend(rollout::counts(spec, &path));
                self.template_errors(object, spec, &path, &mut errors);
            }
            Selector::Generated => {
                job_rules::check(spec, &path, &mut errors);
                errors.extend(pod_validation::template(&spec["template"], &path.child("template")));
                errors.extend(selector::of_job(spec, &path));
                job_rules::name(object, &mut errors);
            }
            Selector::None => {
                errors.extend(super::rules::check(spec, &path, job_rules::CRON_RULES));
                let (job, at) = (&spec["jobTemplate"]["spec"], path.child("jobTemplate").child("spec"));
                job_rules::check(job, &at, &mut errors);
                errors.extend(pod_validation::template(&job["template"], &at.child("template")));
                job_rules::within_cron(job, &at, &mut errors);
            }
        }
        errors
    }

    fn drop_disabled(&self, object: &mut Object) {
        let mut at = object.as_map_mut().get_mut("spec");
        for field in self.template {
            if *field == "template"
                && let Some(job) = at.as_deref_mut().and_then(Value::as_object_mut)
            {
                // Of jobs: how their pods are scheduled together.
                job.remove("scheduling");
            }
            at = at.and_then(|value| value.get_mut(*field));
        }
        if let Some(spec) = at.and_then(|template| template.get_mut("spec")) {
            dropped::from_pod(spec);
        }
    }
}

impl Strategy for Workload {
    fn name_rule(&self) -> NameRule {
        self.name
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        let Some(spec) = made(object.as_map_mut(), "spec") else { return };
        let mut at = Some(&mut *spec);
        for field in self.template {
            at = at.and_then(|map| self::object(map, field));
        }
        if let Some(template) = at.and_then(|template| made(template, "spec")) {
            pod_spec::default(template);
        }
        (self.defaults)(spec);
        if self.selector == Selector::Map {
            labels_from_template(object);
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        object.as_map_mut().insert("status".into(), json!({}));
        self.drop_disabled(object);
        if self.selector == Selector::Generated {
            generate_selector(object);
            // Upstream's default shares the template's map, so that what is generated shows up here too.
            let labels = object.at(&["spec", "template", "metadata", "labels"]).cloned();
            if object.labels().is_empty()
                && let Some(labels) = labels
            {
                object.set_at(&["metadata", "labels"], labels);
            }
        }
    }

    fn prepare_update(&self, new: &mut Object, _: &Object) {
        self.drop_disabled(new);
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        self.status_keeps
    }

    /// A deployment hands its annotations on to its replica sets.
    fn counted_metadata(&self) -> &'static [&'static str] {
        self.counted
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = self.validate(object);
        match self.selector {
            Selector::Generated => errors.extend(selector::generated(object)),
            Selector::None => job_rules::short_name(object, &mut errors),
            Selector::Fixed if kind_of(object) == "StatefulSet" => rollout::claims(object, &mut errors),
            Selector::Fixed | Selector::Map => {}
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate(new);
        let path = Path::new("spec");
        let (after, before) = (new.at(&["spec", "selector"]), old.at(&["spec", "selector"]));
        if matches!(self.selector, Selector::Fixed | Selector::Generated) && after != before {
            let shown = internal::optional("meta.v1.LabelSelector", after);
            errors.push(internal::immutable(&path.child("selector"), shown));
        }
        if kind_of(new) == "StatefulSet" {
            rollout::stateful_set_update(new, old, &mut errors);
        }
        if self.selector == Selector::Generated {
            job_update::spec(new, old, &mut errors);
        }
        errors
    }

    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        if self.selector == Selector::Generated {
            job_status::check(new, old, &mut errors);
        }
        let part = |object: &Object| object.as_map().get("status").cloned().unwrap_or_default();
        rollout::status(kind_of(new), &part(new), &part(old), &mut errors);
        errors
    }

    fn warnings(&self, new: &Object, old: Option<&Object>) -> Vec<String> {
        warnings::of(new, old, self.template, |old| self.desired_changed(new, old))
    }

    fn orphans_dependents(&self) -> bool {
        matches!(self.selector, Selector::Map | Selector::Generated)
    }

    fn delete_warning(&self) -> Option<&'static str> {
        const TEXT: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";
        (self.selector == Selector::Generated).then_some(TEXT)
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        self.fields
    }
}

fn kind_of(object: &Object) -> &str {
    object.as_map().get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn labels_from_template(object: &mut Object) {
    let Some(labels) = object.at(&["spec", "template", "metadata", "labels"]).cloned() else { return };
    if labels.as_object().is_none_or(Map::is_empty) {
        return;
    }
    let none = |value: Option<&Value>| value.and_then(Value::as_object).is_none_or(Map::is_empty);
    if none(object.at(&["spec", "selector"])) {
        object.set_at(&["spec", "selector"], labels.clone());
    }
    if none(object.at(&["metadata", "labels"])) {
        object.set_at(&["metadata", "labels"], labels);
    }
}

/// Labels and a selector by the job's uid, unless the client brings its own (`manualSelector`).
fn generate_selector(object: &mut Object) {
    if object.at(&["spec", "manualSelector"]) == Some(&json!(true)) {
        return;
    }
    let (uid, name) = (object.uid().to_owned(), object.name().to_owned());
    let own = json!({
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    });
    let path = ["spec", "template", "metadata", "labels"];
    // What the client says otherwise is refused later.
    let mut labels = own.as_object().cloned().unwrap_or_default();
    labels.extend(object.at(&path).and_then(Value::as_object).cloned().unwrap_or_default());
    object.set_at(&path, labels.into());
    if object.at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"]).is_none() {
        object.set_at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"], uid.into());
    }
}

pub const DEPLOYMENT: Workload = Workload {
    name: NameRule::DnsSubdomain,
    defaults: |spec| {
        absent(spec, "replicas", 1);
        absent(spec, "revisionHistoryLimit", 10);
        absent(spec, "progressDeadlineSeconds", 600);
        let Some(strategy) = made(spec, "strategy") else { return };
        empty(strategy, "type", "RollingUpdate");
        if strategy.get("type") == Some(&json!("RollingUpdate"))
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            absent(rolling, "maxUnavailable", "25%");
            absent(rolling, "maxSurge", "25%");
        }
    },
    template: &["template"],
    selector: Selector::Fixed,
    fields: &[],
    status_keeps: &["labels"],
    counted: &["annotations"],
};

pub const REPLICA_SET: Workload = Workload {
    name: NameRule::DnsSubdomain,
    defaults: |spec| absent(spec, "replicas", 1),
    template: &["template"],
    selector: Selector::Fixed,
    fields: &[],
    status_keeps: &[],
    counted: &[],
};

pub const REPLICATION_CONTROLLER: Workload = Workload {
    name: NameRule::LongName,
    defaults: |spec| absent(spec, "replicas", 1),
    template: &["template"],
    selector: Selector::Map,
    fields: &[("status.replicas", "status.replicas")],
    status_keeps: &[],
    counted: &[],
};

pub const STATEFUL_SET: Workload = Workload {
    name: NameRule::DnsLabel,
    defaults: |spec| {
        absent(spec, "replicas", 1);
        absent(spec, "revisionHistoryLimit", 10);
        empty(spec, "podManagementPolicy", "OrderedReady");
        if let Some(strategy) = made(spec, "updateStrategy") {
            empty(strategy, "type", "RollingUpdate");
            if strategy.get("type") == Some(&json!("RollingUpdate"))
                && let Some(rolling) = made(strategy, "rollingUpdate")
            {
                absent(rolling, "partition", 0);
                absent(rolling, "maxUnavailable", 1);
            }
        }
        if let Some(retention) = made(spec, "persistentVolumeClaimRetentionPolicy") {
            empty(retention, "whenDeleted", "Retain");
            empty(retention, "whenScaled", "Retain");
        }
        for claim in items(spec, "volumeClaimTemplates") {
            claim.insert("apiVersion".into(), "v1".into());
            claim.insert("kind".into(), "PersistentVolumeClaim".into());
            if let Some(spec) = made(claim, "spec") {
                absent(spec, "volumeMode", "Filesystem");
            }
            if let Some(status) = made(claim, "status") {
                empty(status, "phase", "Pending");
            }
        }
    },
    template: &["template"],
    selector: Selector::Fixed,
    fields: &[],
    status_keeps: &[],
    counted: &[],
};

pub const DAEMON_SET: Workload = Workload {
    name: NameRule::DnsSubdomain,
    defaults: |spec| {
        absent(spec, "revisionHistoryLimit", 10);
        let Some(strategy) = made(spec, "updateStrategy") else { return };
        empty(strategy, "type", "RollingUpdate");
        if strategy.get("type") == Some(&json!("RollingUpdate"))
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            absent(rolling, "maxUnavailable", 1);
            absent(rolling, "maxSurge", 0);
        }
    },
    template: &["template"],
    selector: Selector::Fixed,
    fields: &[],
    status_keeps: &[],
    counted: &[],
};

fn job(spec: &mut Map<String, Value>) {
    let none = |spec: &Map<String, Value>, field: &str| spec.get(field).is_none_or(Value::is_null);
    // One pod when neither is said; a work queue when only the parallelism is.
    if none(spec, "completions") && none(spec, "parallelism") {
        spec.insert("completions".into(), 1.into());
    }
    absent(spec, "parallelism", 1);
    let per_index = !none(spec, "backoffLimitPerIndex");
    absent(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    empty(spec, "completionMode", "NonIndexed");
    absent(spec, "suspend", false);
    absent(spec, "manualSelector", false);
    let replacement = if none(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    absent(spec, "podReplacementPolicy", replacement);
    failure_patterns(spec);
}

/// A condition that is named without its status is meant to be true.
fn failure_patterns(spec: &mut Map<String, Value>) {
    let Some(policy) = object(spec, "podFailurePolicy") else { return };
    for rule in items(policy, "rules") {
        for pattern in items(rule, "onPodConditions") {
            empty(pattern, "status", "True");
        }
    }
}

pub const JOB: Workload = Workload {
    name: NameRule::DnsSubdomain,
    defaults: job,
    template: &["template"],
    selector: Selector::Generated,
    fields: &[("status.successful", "status.succeeded")],
    status_keeps: &[],
    counted: &[],
};

pub const CRON_JOB: Workload = Workload {
    name: NameRule::DnsSubdomain,
    defaults: |spec| {
        empty(spec, "concurrencyPolicy", "Allow");
        absent(spec, "suspend", false);
        absent(spec, "successfulJobsHistoryLimit", 3);
        absent(spec, "failedJobsHistoryLimit", 1);
        if let Some(job) = object(spec, "jobTemplate").and_then(|template| object(template, "spec")) {
            failure_patterns(job);
        }
    },
    template: &["jobTemplate", "spec", "template"],
    selector: Selector::None,
    fields: &[],
    status_keeps: &[],
    counted: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Object {
        Object::from_value(json!({
            "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_deployment_is_completed_and_valid() {
        let mut object = deployment();
        DEPLOYMENT.default(&mut object);
        assert_eq!(object.at(&["spec", "strategy", "rollingUpdate", "maxSurge"]), Some(&json!("25%")));
        assert_eq!(object.at(&["spec", "replicas"]), Some(&json!(1)));
        assert_eq!(DEPLOYMENT.validate_create(&object), ErrorList::new());
    }

    #[test]
    fn a_selector_must_match_and_stay() {
        let mut object = deployment();
        DEPLOYMENT.default(&mut object);
        let old = object.clone();
        object.set_at(&["spec", "selector", "matchLabels", "a"], json!("x"));
        let errors: Vec<String> = DEPLOYMENT.validate_update(&object, &old).iter().map(ToString::to_string).collect();
        assert!(errors[0].contains("`selector` does not match template `labels`"), "{errors:?}");
        assert!(errors[1].contains("spec.selector: Invalid value") && errors[1].ends_with("field is immutable"));
    }

    #[test]
    fn a_job_gets_its_selector_and_a_controller_its_labels() {
        let mut object = deployment();
        object.set_meta_str("uid", "u");
        object.remove_at(&["spec", "selector"]);
        JOB.default(&mut object);
        JOB.prepare_create(&mut object);
        assert_eq!(
            object.at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"]),
            Some(&json!("u"))
        );
        assert_eq!(object.at(&["spec", "backoffLimit"]), Some(&json!(6)));
        let mut object = deployment();
        object.remove_at(&["spec", "selector"]);
        REPLICATION_CONTROLLER.default(&mut object);
        assert_eq!(object.at(&["spec", "selector"]), Some(&json!({"a": "b"})));
        assert_eq!(object.label("a"), Some("b"));
    }
}
