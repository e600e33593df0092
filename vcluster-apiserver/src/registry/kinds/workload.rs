//! The kinds that own pods: defaults, selectors that must match and must not change
//! (k8s.io/kubernetes `pkg/apis/{apps,batch,core}/v1/defaults.go`, `pkg/registry/{apps,batch,core}`).

use super::fill::{absent, empty, made, object};
use super::{job_rules, pod_spec, pod_validation, rules, workload_rules};
use crate::registry::strategy::Strategy;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::selector::label::LabelSelector;
use serde_json::{Map, Value, json};

/// What tells one workload kind from another.
pub struct Workload {
    /// `SetDefaults_KIND` beyond the template.
    pub defaults: fn(&mut Map<String, Value>),
    /// Where the pod template stands, under `spec`.
    pub template: &'static [&'static str],
    /// Restart policies that the template may have.
    pub restart: &'static [&'static str],
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
    fn template<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        let mut value = object.as_map().get("spec")?;
        for field in self.template {
            value = value.get(*field)?;
        }
        Some(value)
    }
}

impl Strategy for Workload {
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

    fn status_keeps(&self) -> &'static [&'static str] {
        self.status_keeps
    }

    /// A deployment hands its annotations on to its replica sets.
    fn counted_metadata(&self) -> &'static [&'static str] {
        self.counted
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let spec = object.as_map().get("spec").unwrap_or(&Value::Null);
        let path = Path::new("spec");
        let mut errors = ErrorList::new();
        for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
            if spec[field].as_i64().is_some_and(|n| n < 0) {
                let value = spec[field].clone();
                errors.push(FieldError::invalid(&path.child(field), value, "must be greater than or equal to 0"));
            }
        }
        let template_path = self.template.iter().fold(path.clone(), |path, field| path.child(field));
        if self.selector == Selector::Fixed || self.selector == Selector::Map {
            errors.extend(matching(spec, self.template(object), &path, self.selector, kind_of(object)));
            workload_rules::spec(kind_of(object), spec, &path, &mut errors);
        }
        if let Some(template) = self.template(object) {
            let template_spec = template_path.child("spec");
            // The claims of a stateful set become volumes of its pods.
            let mut pod = template["spec"].clone();
            for claim in spec["volumeClaimTemplates"].as_array().into_iter().flatten() {
                let name = &claim["metadata"]["name"];
                let known = pod["volumes"].as_array().is_some_and(|all| all.iter().any(|v| v["name"] == *name));
                if !known && pod.is_object() {
                    let mut volumes = pod["volumes"].as_array().cloned().unwrap_or_default();
                    volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
                    pod["volumes"] = volumes.into();
                }
            }
            errors.extend(pod_validation::spec(&pod, &template_spec));
            match self.selector {
                Selector::Generated => job_rules::check(spec, &path, &mut errors),
                Selector::None => {
                    errors.extend(rules::check(spec, &path, job_rules::CRON_RULES));
                    job_rules::check(
                        &spec["jobTemplate"]["spec"],
                        &path.child("jobTemplate").child("spec"),
                        &mut errors,
                    );
                }
                Selector::Fixed | Selector::Map => {}
            }
            let policy = template["spec"]["restartPolicy"].as_str().unwrap_or_default();
            if !self.restart.is_empty() && !self.restart.contains(&policy) {
                errors.push(FieldError::not_supported(&template_spec.child("restartPolicy"), policy, self.restart));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_create(new);
        let path = Path::new("spec");
        let (after, before) = (new.at(&["spec", "selector"]), old.at(&["spec", "selector"]));
        if matches!(self.selector, Selector::Fixed | Selector::Generated) && after != before {
            let value = after.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&path.child("selector"), value, "field is immutable"));
        }
        if self.selector == Selector::Generated {
            errors.extend(job_update(new, old));
        }
        errors
    }

    fn validate_status_update(&self, new: &Object, _: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        workload_rules::status(kind_of(new), new.as_map().get("status").unwrap_or(&Value::Null), &mut errors);
        errors
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        self.fields
    }
}

fn kind_of(object: &Object) -> &str {
    object.as_map().get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// The selector is there, says something, and selects the template.
fn matching(spec: &Value, template: Option<&Value>, path: &Path, kind: Selector, name: &str) -> ErrorList {
    let at = path.child("selector");
    let selector = &spec["selector"];
    let labels = template.map_or(&Value::Null, |t| &t["metadata"]["labels"]);
    let wanted = if kind == Selector::Map { selector.as_object() } else { selector["matchLabels"].as_object() };
    let expressions = selector["matchExpressions"].as_array().is_some_and(|e| !e.is_empty());
    let empty = wanted.is_none_or(Map::is_empty) && !expressions;
    if kind == Selector::Map && empty {
        return vec![FieldError::required(&at, "")];
    }
    if selector.is_null() {
        // No selector selects nothing, not even the template; of daemon sets upstream says only that.
        let labels_at = path.child("template").child("metadata").child("labels");
        let unmatched = FieldError::invalid(&labels_at, labels.clone(), "`selector` does not match template `labels`");
        let required = (name != "DaemonSet").then(|| FieldError::required(&at, ""));
        return required.into_iter().chain([unmatched]).collect();
    }
    if empty {
        let whose = match name {
            "StatefulSet" => "statefulset",
            "DaemonSet" => "daemonset",
            _ => "deployment",
        };
        let why = format!("empty selector is invalid for {whose}");
        return vec![FieldError::invalid(&at, selector.clone(), why)];
    }
    if template.is_none() {
        return vec![FieldError::required(&path.child("template"), "")];
    }
    let selects = match kind {
        Selector::Map => wanted.is_some_and(|wanted| wanted.iter().all(|(k, v)| labels[k] == *v)),
        _ => LabelSelector::from_object(Some(selector)).is_ok_and(|parsed| parsed.matches_labels(Some(labels))),
    };
    if selects {
        return ErrorList::new();
    }
    let at = path.child("template").child("metadata").child("labels");
    vec![FieldError::invalid(&at, labels.clone(), "`selector` does not match template `labels`")]
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
    let mut labels = object.at(&path).and_then(Value::as_object).cloned().unwrap_or_default();
    labels.extend(own.as_object().cloned().unwrap_or_default());
    object.set_at(&path, labels.into());
    object.set_at(&["spec", "selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
}

/// A job's completions and template are what it counts against; they hold once it may have run.
fn job_update(new: &Object, old: &Object) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let suspended = old.at(&["spec", "suspend"]) == Some(&json!(true)) && old.at(&["status", "startTime"]).is_none();
    let indexed = new.at(&["spec", "completionMode"]) == Some(&json!("Indexed"));
    let elastic = indexed && new.at(&["spec", "completions"]) == new.at(&["spec", "parallelism"]);
    for field in
        ["completions", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        let changed = new.at(&["spec", field]) != old.at(&["spec", field]);
        if changed && !(field == "completions" && elastic) {
            let value = new.at(&["spec", field]).cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&path.child(field), value, "field is immutable"));
        }
    }
    if !suspended && new.at(&["spec", "template"]) != old.at(&["spec", "template"]) {
        let value = new.at(&["spec", "template"]).cloned().unwrap_or_default();
        errors.push(FieldError::invalid(&path.child("template"), value, "field is immutable"));
    }
    errors
}

const ALWAYS: &[&str] = &["Always"];

pub const DEPLOYMENT: Workload = Workload {
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
    restart: ALWAYS,
    selector: Selector::Fixed,
    fields: &[],
    status_keeps: &["labels"],
    counted: &["annotations"],
};

pub const REPLICA_SET: Workload = Workload {
    defaults: |spec| absent(spec, "replicas", 1),
    template: &["template"],
    restart: ALWAYS,
    selector: Selector::Fixed,
    fields: &[("status.replicas", "status.replicas")],
    status_keeps: &[],
    counted: &[],
};

pub const REPLICATION_CONTROLLER: Workload = Workload {
    defaults: |spec| absent(spec, "replicas", 1),
    template: &["template"],
    restart: ALWAYS,
    selector: Selector::Map,
    fields: &[("status.replicas", "status.replicas")],
    status_keeps: &[],
    counted: &[],
};

pub const STATEFUL_SET: Workload = Workload {
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
        for claim in super::fill::items(spec, "volumeClaimTemplates") {
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
    restart: ALWAYS,
    selector: Selector::Fixed,
    fields: &[],
    status_keeps: &[],
    counted: &[],
};

pub const DAEMON_SET: Workload = Workload {
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
    restart: ALWAYS,
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
    empty(spec, "podReplacementPolicy", replacement);
}

pub const JOB: Workload = Workload {
    defaults: job,
    template: &["template"],
    // The rules of jobs say it.
    restart: &[],
    selector: Selector::Generated,
    fields: &[("status.successful", "status.succeeded")],
    status_keeps: &[],
    counted: &[],
};

pub const CRON_JOB: Workload = Workload {
    defaults: |spec| {
        empty(spec, "concurrencyPolicy", "Allow");
        absent(spec, "suspend", false);
        absent(spec, "successfulJobsHistoryLimit", 3);
        absent(spec, "failedJobsHistoryLimit", 1);
    },
    template: &["jobTemplate", "spec", "template"],
    // The rules of jobs say it.
    restart: &[],
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
