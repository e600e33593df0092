//! Pod failure policies and success policies: rules by which single pods decide about a Job (KEP-3329, KEP-3998).

use super::indexes::{Indexes, parse};
use crate::meta::Meta;
use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicy,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    FailJob(String),
    FailIndex,
    Ignore,
    Count,
}

/// What the failure of a pod means, by the first rule that matches.
pub(super) fn of_failure(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| policy.rules.iter().enumerate());
    for (index, rule) in rules {
        let Some(words) = matched(rule, pod) else { continue };
        return match rule.action.as_str() {
            "FailJob" => Verdict::FailJob(format!("{words} matching FailJob rule at index {index}")),
            "FailIndex" => Verdict::FailIndex,
            "Ignore" => Verdict::Ignore,
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

fn matched(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let who = format!("{}/{}", pod.namespace(), pod.name());
    if let Some(codes) = &rule.on_exit_codes {
        let (container, code) = exit_code(codes, pod)?;
        return Some(format!("Container {container} for pod {who} failed with exit code {code}"));
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let wanted = rule.on_pod_conditions.iter().flatten();
    let holds = |kind: &str, status: &str| conditions.iter().any(|own| own.type_ == kind && own.status == status);
    wanted
        .filter(|pattern| holds(&pattern.type_, pattern.status.as_deref().unwrap_or("True")))
        .map(|pattern| format!("Pod {who} has condition {}", pattern.type_))
        .next()
}

fn exit_code(codes: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<(String, i32)> {
    let status = pod.status.as_ref()?;
    let mut all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    let code = |status: &ContainerStatus| {
        let code = status.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = codes.container_name.as_ref().is_none_or(|name| *name == status.name);
        let listed = codes.values.contains(&code);
        let wanted = if codes.operator == "NotIn" { !listed } else { listed };
        (code != 0 && named && wanted).then(|| (status.name.clone(), code))
    };
    all.find_map(code)
}

/// The words for the first rule of a success policy that holds.
pub(super) fn of_success(policy: &SuccessPolicy, completions: i32, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let holds = |rule: &k8s_openapi::api::batch::v1::SuccessPolicyRule| {
        let count = rule.succeeded_count.map(|count| count.max(0) as usize);
        match &rule.succeeded_indexes {
            Some(text) => {
                let required = parse(text, completions);
                let reached = required.intersection(succeeded).count();
                !required.is_empty() && reached >= count.unwrap_or(required.len())
            }
            None => count.is_some_and(|count| succeeded.len() >= count),
        }
    };
    let index = policy.rules.iter().position(holds)?;
    Some(format!("Matched rules at index {index}"))
}
