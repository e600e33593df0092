//! What upstream warns about in what has templates of pods (`WarningsOnCreate` and `WarningsOnUpdate` of
//! k8s.io/kubernetes `pkg/registry/{apps,batch}/*/strategy.go`, `pkg/api/job/warnings.go`).

use crate::registry::kinds::pod::warnings as pod_warnings;
use crate::registry::kinds::read::{list, number, part, text};
use apimachinery::Object;
use apimachinery::field::Path;
use apimachinery::validation::is_dns1123_label;
use serde_json::Value;

/// Warnings about a workload whose template of pods stands at `template` of its spec; `changed` says whether it differs
/// from the old one in what counts.
pub fn of(new: &Object, old: Option<&Object>, template: &[&str], changed: impl Fn(&Object) -> bool) -> Vec<String> {
    let kind = text_of(new, "kind");
    let mut found = Vec::new();
    if old.is_none() && !matches!(kind, "DaemonSet" | "StatefulSet") {
        let wrong = is_dns1123_label(new.name());
        if !wrong.is_empty() {
            found.push(format!(
                "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
                wrong.join(" ")
            ));
        }
    }
    // Upstream takes the old template of a replication controller for the new one.
    let shown = old.filter(|_| kind == "ReplicationController").unwrap_or(new);
    let of_pods = |object: &'_ Object| -> Value {
        template.iter().fold(part(object.as_map(), "spec").clone(), |value, field| value[*field].clone())
    };
    let warned = old.is_none_or(|old| match kind {
        "DaemonSet" => of_pods(new) != of_pods(old),
        _ => changed(old),
    });
    if warned {
        let spec = Path::new("spec");
        if let Some((_, outer)) = template.split_last() {
            let at = outer.iter().fold(spec.clone(), |path, field| path.child(field));
            let job = outer.iter().fold(part(new.as_map(), "spec").clone(), |value, field| value[*field].clone());
            indexed(&job, &at, &mut found);
        }
        let at = template.iter().fold(spec, |path, field| path.child(field));
        found.extend(pod_warnings::of(&of_pods(shown), &at));
    }
    if kind == "StatefulSet" {
        claims(new, old.is_some(), &mut found);
    }
    let schedule = text(part(new.as_map(), "spec"), "schedule");
    if old.is_some() && schedule.contains("TZ") {
        found.push("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_owned());
    }
    found
}

fn text_of<'a>(object: &'a Object, field: &str) -> &'a str {
    object.as_map().get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Jobs with more indexes than a status can name.
fn indexed(job: &Value, path: &Path, found: &mut Vec<String>) {
    const COMPLETIONS: i64 = 100_000;
    const PARALLELISM: i64 = 10_000;
    let large = number(job, "completions") > COMPLETIONS && number(job, "parallelism") > PARALLELISM;
    if text(job, "completionMode") == "Indexed" && large {
        found.push(format!("{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"));
    }
}

fn claims(set: &Object, updated: bool, found: &mut Vec<String>) {
    let spec = part(set.as_map(), "spec");
    for (index, claim) in list(spec, "volumeClaimTemplates").iter().enumerate() {
        let at = Path::new("spec").child("volumeClaimTemplates").index(index);
        // Upstream names the place differently the second time.
        let at = if updated { at.child("Spec") } else { at };
        pod_warnings::claim_of(&claim["spec"], &at, found);
    }
    if number(spec, "revisionHistoryLimit") < 0 {
        let text =
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
        found.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_warn_when_they_change() {
        let of_seconds = |seconds: i64| {
            let spec = json!({"template": {"spec": {"terminationGracePeriodSeconds": seconds}}});
            Object::from_value(json!({"kind": "Deployment", "metadata": {"name": "a"}, "spec": spec})).unwrap()
        };
        let found = |old: Option<&Object>, changed: bool| of(&of_seconds(-1), old, &["template"], |_| changed);
        assert_eq!(found(None, true).len(), 1);
        assert_eq!(found(Some(&of_seconds(1)), true).len(), 1);
        assert!(found(Some(&of_seconds(1)), false).is_empty());
    }
}
