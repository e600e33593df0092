//! What the spec of a job must be, in a Job or in a CronJob's template (k8s.io/kubernetes `pkg/apis/batch/validation`).

use super::indexes;
use crate::registry::kinds::internal;
use crate::registry::kinds::read::{list, not_negative, number, one_of, part, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::Object;
use apimachinery::cron::Schedule;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::time::is_zone;
use apimachinery::validation::{is_dns1123_label, is_qualified_name};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const RULES: &[Rule] = &[
    ("parallelism", Check::NotNegative),
    ("completions", Check::NotNegative),
    ("activeDeadlineSeconds", Check::NotNegative),
    ("backoffLimit", Check::NotNegative),
    ("ttlSecondsAfterFinished", Check::NotNegative),
    ("backoffLimitPerIndex", Check::NotNegative),
    ("maxFailedIndexes", Check::NotNegative),
    ("completionMode", Check::OneOf(&["NonIndexed", "Indexed"])),
    ("managedBy", Check::By(managed_by)),
];

fn managed_by(value: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 63;
    let Some(manager) = value.as_str() else { return };
    errors.extend(apimachinery::validation::is_domain_prefixed_path(path, manager));
    if manager.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
}

/// Everything but the pod template itself.
pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST_PARALLEL: i64 = 100_000;
    errors.extend(rules::check(spec, path, RULES));
    let set = |field: &str| !spec[field].is_null();
    if set("maxFailedIndexes") && !set("backoffLimitPerIndex") {
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    match text(spec, "completionMode") {
        "Indexed" => {
            if !set("completions") {
                let why = "when completion mode is Indexed";
                errors.push(FieldError::required(&path.child("completions"), why));
            }
            let parallel = number(spec, "parallelism");
            if parallel > MOST_PARALLEL {
                let why = format!("must be less than or equal to {MOST_PARALLEL} when completion mode is Indexed");
                errors.push(FieldError::invalid(&path.child("parallelism"), parallel, why));
            }
            let failed = number(spec, "maxFailedIndexes");
            if set("completions") && failed > number(spec, "completions") {
                let why = "must be less than or equal to completions";
                errors.push(FieldError::invalid(&path.child("maxFailedIndexes"), failed, why));
            }
            if failed > MOST_PARALLEL {
                let why = format!("must be less than or equal to {MOST_PARALLEL}");
                errors.push(FieldError::invalid(&path.child("maxFailedIndexes"), failed, why));
            }
        }
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if set(field) {
                    let why = "requires indexed completion mode";
                    errors.push(FieldError::invalid(&path.child(field), spec[field].clone(), why));
                }
            }
        }
        _ => {}
    }
    high_completions(spec, path, errors);
    let replacements: &[&str] = if spec["podFailurePolicy"].is_object() {
        failure_policy(spec, &path.child("podFailurePolicy"), errors);
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    one_of(&path.child("podReplacementPolicy"), &spec["podReplacementPolicy"], replacements, errors);
    if spec["successPolicy"].is_object() {
        success_policy(spec, &path.child("successPolicy"), errors);
    }
    restart_policy(spec, path, errors);
}

/// Bounds for jobs of very many indexes.
fn high_completions(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const MANY: i64 = 100_000;
    const MOST: i64 = 10_000;
    let indexed = text(spec, "completionMode") == "Indexed" && !spec["backoffLimitPerIndex"].is_null();
    if !indexed || number(spec, "completions") <= MANY {
        return;
    }
    if spec["maxFailedIndexes"].is_null() {
        let why = format!("must be specified when completions is above {MANY}");
        errors.push(FieldError::required(&path.child("maxFailedIndexes"), why));
    }
    for field in ["parallelism", "maxFailedIndexes"] {
        let value = number(spec, field);
        if value > MOST {
            let why = format!(
                "must be less than or equal to {MOST} when completions are above {MANY} and used with backoff limit per index"
            );
            errors.push(FieldError::invalid(&path.child(field), value, why));
        }
    }
}

fn success_policy(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST_RULES: usize = 20;
    const LONGEST: usize = 64 * 1024;
    let policy = &spec["successPolicy"];
    if text(spec, "completionMode") != "Indexed" {
        let shown = internal::text("batch.v1.SuccessPolicy", policy);
        errors.push(FieldError::invalid(path, "", "requires indexed completion mode").showing(shown));
        return;
    }
    let (rules, at) = (list(policy, "rules"), path.child("rules"));
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&at, why));
    }
    if rules.len() > MOST_RULES {
        errors.push(FieldError::too_many(&at, rules.len(), MOST_RULES));
    }
    let completions = number(spec, "completions");
    for (index, rule) in rules.iter().enumerate() {
        let at = at.index(index);
        let (indexes, count) = (rule["succeededIndexes"].as_str(), rule["succeededCount"].as_i64());
        if indexes.is_none() && count.is_none() {
            let why = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(FieldError::required(&at, why));
        }
        let mut named = 0;
        if let Some(indexes) = indexes {
            let at = at.child("succeededIndexes");
            if indexes.len() > LONGEST {
                errors.push(FieldError::too_long(&at, LONGEST));
            }
            match indexes::total(indexes, completions) {
                Ok(total) => named = total,
                Err(why) => {
                    let why = format!("error parsing succeededIndexes: {why}");
                    errors.push(FieldError::invalid(&at, indexes, why));
                }
            }
        }
        let Some(count) = count else { continue };
        let at = at.child("succeededCount");
        not_negative(&at, count, errors);
        if count > completions {
            let why = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.push(FieldError::invalid(&at, count, why));
        }
        if indexes.is_some() && count > named {
            let why = format!(
                "must be less than or equal to {named} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.push(FieldError::invalid(&at, count, why));
        }
    }
}

/// The pods of an indexed job are named after it and their index.
pub fn name(job: &Object, errors: &mut ErrorList) {
    let (spec, name) = (part(job.as_map(), "spec"), job.name());
    let completions = number(spec, "completions");
    if text(spec, "completionMode") != "Indexed" || completions <= 0 {
        return;
    }
    let longest = format!("{name}-{}", completions - 1);
    if !is_dns1123_label(&longest).is_empty() {
        let why = format!("will not able to create pod with invalid DNS label: {longest}");
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, why));
    }
}

/// The jobs of a cron job are named after it and the time.
pub fn short_name(cron: &Object, errors: &mut ErrorList) {
    const LONGEST: usize = 52;
    if cron.name().len() > LONGEST {
        let why = format!("must be no more than {LONGEST} characters");
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), cron.name(), why));
    }
}

/// What the job of a cron job leaves to the server.
pub fn within_cron(spec: &Value, path: &Path, errors: &mut ErrorList) {
    if spec["selector"].is_object() {
        let shown = internal::text("meta.v1.LabelSelector", &spec["selector"]);
        let error = FieldError::invalid(&path.child("selector"), "", "`selector` will be auto-generated");
        errors.push(error.showing(shown));
    }
    if spec["manualSelector"] == true {
        errors.push(FieldError::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
}

fn restart_policy(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let at = path.child("template").child("spec").child("restartPolicy");
    match text(&spec["template"]["spec"], "restartPolicy") {
        "" | "Always" => errors.push(FieldError::required(&at, "valid values: \"OnFailure\", \"Never\"")),
        "Never" => {}
        "OnFailure" => {
            if spec["podFailurePolicy"].is_object() {
                let why = "only \"Never\" is supported when podFailurePolicy is specified";
                errors.push(FieldError::invalid(&at, "OnFailure", why));
            }
        }
        other => errors.push(FieldError::not_supported(&at, other, &["OnFailure", "Never"])),
    }
}

/// Values as Go's `%q` prints a list.
fn quoted(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn failure_policy(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let pod = &spec["template"]["spec"];
    let names: BTreeSet<&str> =
        list(pod, "containers").iter().chain(list(pod, "initContainers")).map(|c| text(c, "name")).collect();
    for (index, rule) in list(&spec["podFailurePolicy"], "rules").iter().enumerate() {
        let at = path.child("rules").index(index);
        match text(rule, "action") {
            "" => errors.push(FieldError::required(&at.child("action"), quoted(&ACTIONS))),
            "FailIndex" if spec["backoffLimitPerIndex"].is_null() => {
                let why = "requires the backoffLimitPerIndex to be set";
                errors.push(FieldError::invalid(&at.child("action"), "FailIndex", why));
            }
            action if !ACTIONS.contains(&action) => {
                errors.push(FieldError::not_supported(&at.child("action"), action, &ACTIONS));
            }
            _ => {}
        }
        if rule["onExitCodes"].is_object() {
            exit_codes(&rule["onExitCodes"], &names, &at.child("onExitCodes"), errors);
        }
        for (index, pattern) in list(rule, "onPodConditions").iter().enumerate() {
            let at = at.child("onPodConditions").index(index);
            let kind = text(pattern, "type");
            wrong(&at.child("type"), kind, is_qualified_name(kind), errors);
            match text(pattern, "status") {
                "" => errors.push(FieldError::required(&at.child("status"), quoted(&["False", "True", "Unknown"]))),
                "False" | "True" | "Unknown" => {}
                other => {
                    errors.push(FieldError::not_supported(&at.child("status"), other, &["False", "True", "Unknown"]));
                }
            }
        }
        let why = match (rule["onExitCodes"].is_object(), list(rule, "onPodConditions").is_empty()) {
            (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(omitted(&at, why));
    }
}

/// An invalid value that upstream does not print.
fn omitted(path: &Path, why: &str) -> FieldError {
    FieldError { value: None, ..FieldError::invalid(path, "", why) }
}

fn exit_codes(codes: &Value, names: &BTreeSet<&str>, path: &Path, errors: &mut ErrorList) {
    let at = path.child("operator");
    match text(codes, "operator") {
        "" => errors.push(FieldError::required(&at, quoted(&["In", "NotIn"]))),
        "In" | "NotIn" => {}
        other => errors.push(FieldError::not_supported(&at, other, &["In", "NotIn"])),
    }
    if let Some(name) = codes["containerName"].as_str().filter(|name| !names.contains(name)) {
        let why = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(&path.child("containerName"), name, why));
    }
    let at = path.child("values");
    let values: Vec<i64> = list(codes, "values").iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        let shown = if codes["values"].is_null() { Value::Null } else { json!([]) };
        errors.push(FieldError::invalid(&at, shown, "at least one value is required"));
    }
    let mut seen = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        if text(codes, "operator") == "In" && *value == 0 {
            errors.push(FieldError::invalid(&at.index(index), 0, "must not be 0 for the In operator"));
        }
        if !seen.insert(*value) {
            errors.push(FieldError::duplicate(&at.index(index), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(&at, json!(values), "must be ordered"));
    }
}

/// A CronJob's own fields.
pub const CRON_RULES: &[Rule] = &[
    ("schedule", Check::Needed("")),
    ("schedule", Check::By(schedule)),
    ("startingDeadlineSeconds", Check::NotNegative),
    ("concurrencyPolicy", Check::NeededOneOf(&["Allow", "Forbid", "Replace"])),
    ("successfulJobsHistoryLimit", Check::NotNegative),
    ("failedJobsHistoryLimit", Check::NotNegative),
    ("timeZone", Check::By(time_zone)),
];

fn schedule(value: &Value, path: &Path, errors: &mut ErrorList) {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() {
        return;
    }
    if let Err(why) = Schedule::parse(text) {
        errors.push(FieldError::invalid(path, text, why));
    }
    if text.contains("TZ") {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(path, text, why));
    }
}

fn time_zone(value: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(zone) = value.as_str() else { return };
    if zone.is_empty() {
        errors.push(FieldError::invalid(path, "", "timeZone must be nil or non-empty string"));
        return;
    }
    let fits = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
        matches!(part.len(), 1..=14)
            && part.bytes().all(allowed)
            && part != "."
            && part != ".."
            && !part.starts_with('-')
    };
    let sound = zone.split('/').all(fits);
    if sound && zone.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(FieldError::invalid(path, zone, why));
    }
    if !sound || !is_zone(zone) {
        errors.push(FieldError::invalid(path, zone, format!("unknown time zone {zone}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;

    fn texts(spec: Value) -> Vec<String> {
        told(|errors| check(&spec, &Path::new("spec"), errors))
    }

    fn job(mut more: Value) -> Value {
        more["template"] = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a"}]}});
        more
    }

    #[test]
    fn what_a_job_must_be() {
        let policy = json!({"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 0], "containerName": "x"}}, {"action": "Ignore"}]});
        let cases: [(Value, &[&str]); 4] = [
            (json!({"parallelism": 1}), &[]),
            (
                json!({"completionMode": "Indexed"}),
                &["spec.completions: Required value: when completion mode is Indexed"],
            ),
            (
                json!({"backoffLimitPerIndex": 1}),
                &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
            ),
            (
                json!({"podFailurePolicy": policy}),
                &[
                    "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0]: must be ordered",
                    "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
                ],
            ),
        ];
        for (more, expected) in cases {
            assert_eq!(texts(job(more)), expected);
        }
        assert_eq!(
            texts(json!({"template": {"spec": {"restartPolicy": "Always"}}})),
            ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
        );
    }
}
