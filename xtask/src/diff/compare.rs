//! Two answers to the same request, field by field. Each difference is told as its cause: what a reader must know to
//! mend it, without names and indices that only belong to one request.

use super::exchange::Answer;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// Longest text of one value in a cause.
const SHOWN: usize = 200;

static INDEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\d+\]").expect("a constant pattern is valid"));

/// Every difference between upstream's answer and ours; empty when they are the same.
pub fn causes(upstream: &Answer, ours: &Answer) -> Vec<String> {
    if upstream.status != ours.status {
        return codes(upstream, ours);
    }
    let mut causes = Vec::new();
    headers(upstream, ours, &mut causes);
    if upstream.oddity != ours.oddity {
        causes.push(format!("protobuf: {} -> {}", upstream.oddity, ours.oddity));
    }
    if upstream.reason() == "Invalid" && ours.reason() == "Invalid" {
        refusals(&upstream.body, &ours.body, &mut causes);
        let rest = |body: &Value| {
            let mut rest = body.clone();
            // Both follow from the causes, whose comparison says more.
            for derived in ["message", "details"] {
                rest.as_object_mut().and_then(|map| map.remove(derived));
            }
            rest
        };
        values("", Some(&rest(&upstream.body)), Some(&rest(&ours.body)), &mut causes);
        if causes.is_empty() {
            let whole = |body: &Value| {
                let mut whole = body.clone();
                // Their order and repetition is no difference; they were compared above.
                whole["details"]["causes"] = Value::Null;
                whole["message"] = message_parts(body["message"].as_str().unwrap_or_default());
                whole
            };
            values("", Some(&whole(&upstream.body)), Some(&whole(&ours.body)), &mut causes);
        }
    } else {
        values("", Some(&upstream.body), Some(&ours.body), &mut causes);
    }
    causes.sort();
    causes.dedup();
    causes
}

/// Different codes: one cause for each field that only one side refuses, else one for the two texts.
fn codes(upstream: &Answer, ours: &Answer) -> Vec<String> {
    let said = |answer: &Answer| match answer.body["message"].as_str() {
        Some(message) if answer.status >= 400 => format!("{} {}: {}", answer.status, answer.reason(), short(message)),
        _ => format!(
            "{} {}",
            answer.status,
            if answer.status >= 400 { short(&answer.body.to_string()) } else { String::new() }
        ),
    };
    let (theirs, mine) = (problems(&upstream.body), problems(&ours.body));
    if ours.status < 300 && !theirs.is_empty() {
        return theirs.iter().map(|problem| format!("not refused: {}", short(problem))).collect();
    }
    if upstream.status < 300 && !mine.is_empty() {
        return mine.iter().map(|problem| format!("refused: {}", short(problem))).collect();
    }
    vec![format!("code: {} -> {}", said(upstream).trim(), said(ours).trim())]
}

/// The head of a message about invalid fields; the rest repeats the causes.
fn message_parts(message: &str) -> Value {
    message.split(" is invalid: ").next().unwrap_or_default().into()
}

/// The causes of a Status, each as one text.
fn problems(status: &Value) -> Vec<String> {
    let causes = status["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut problems: Vec<String> = causes
        .iter()
        .map(|cause| {
            let text = |name: &str| cause[name].as_str().unwrap_or_default();
            // Further lines are a diff of upstream's internal Go type.
            let message = text("message").lines().next().unwrap_or_default();
            format!("{} [{}] {}", general(text("field")), text("reason"), general(message))
        })
        .collect();
    problems.sort();
    // Upstream lists what several of its rules find several times.
    problems.dedup();
    problems
}

fn refusals(upstream: &Value, ours: &Value, causes: &mut Vec<String>) {
    let (theirs, mut mine) = (problems(upstream), problems(ours));
    for problem in theirs {
        match mine.iter().position(|other| *other == problem) {
            Some(at) => {
                mine.remove(at);
            }
            None => causes.push(format!("not refused: {}", short(&problem))),
        }
    }
    causes.extend(mine.into_iter().map(|problem| format!("refused: {}", short(&problem))));
}

fn headers(upstream: &Answer, ours: &Answer, causes: &mut Vec<String>) {
    let only = |a: &Answer, b: &Answer| -> Vec<String> {
        let missing = a.headers.iter().filter(|header| !b.headers.contains(header));
        missing.map(|(name, value)| format!("{name}: {}", short(value))).collect()
    };
    let (theirs, mine) = (only(upstream, ours), only(ours, upstream));
    if !theirs.is_empty() || !mine.is_empty() {
        causes.push(format!("header [{}] -> [{}]", theirs.join("; "), mine.join("; ")));
    }
}

fn values(path: &str, upstream: Option<&Value>, ours: Option<&Value>, causes: &mut Vec<String>) {
    match (upstream, ours) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                values(&format!("{path}.{name}"), a.get(name), b.get(name), causes);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                values(&format!("{path}[{index}]"), Some(a), Some(b), causes);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if !in_schema(path) => {
            let only = |these: &[Value], those: &[Value]| -> String {
                let missing: Vec<String> = these.iter().filter(|v| !those.contains(v)).map(Value::to_string).collect();
                short(&missing.join(", "))
            };
            causes.push(format!(
                "field {}: {} -> {} elements: [{}] -> [{}]",
                general(path),
                a.len(),
                b.len(),
                only(a, b),
                only(b, a)
            ));
        }
        (a, b) if a == b => {}
        (a, b) if in_schema(path) => {
            let what = match (a, b) {
                (Some(_), None) => "absent",
                (None, Some(_)) => "too much",
                _ => "other",
            };
            causes.push(format!("document {}: {what}", general(path)));
        }
        (a, b) => {
            let text = |value: Option<&Value>| value.map_or("absent".to_owned(), |value| short(&value.to_string()));
            causes.push(format!("field {}: {} -> {}", general(path), text(a), text(b)));
        }
    }
}

/// Whether a path leads into an OpenAPI document, whose parts are alike and too many to be told apart.
fn in_schema(path: &str) -> bool {
    [".components.schemas.", ".paths.", ".definitions."].iter().any(|start| path.starts_with(start))
}

/// A path without its indices.
fn general(path: &str) -> String {
    let path = INDEX.replace_all(path.trim_start_matches('.'), "[*]").into_owned();
    if !in_schema(&format!(".{path}")) {
        return path;
    }
    let last: Vec<&str> = path.rsplitn(3, '.').take(2).collect();
    format!("{}…{}", path.split('.').next().unwrap_or_default(), last.into_iter().rev().collect::<Vec<_>>().join("."))
}

fn short(text: &str) -> String {
    let text = INDEX.replace_all(text, "[*]");
    let text = text.replace('\n', "\\n");
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, body: Value) -> Answer {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Answer { status, headers, body, ..Answer::default() }
    }

    fn invalid(causes: Value) -> Answer {
        answer(422, json!({"kind": "Status", "reason": "Invalid", "message": "x", "details": {"causes": causes}}))
    }

    #[test]
    fn a_difference_is_told_as_its_cause() {
        let cause = |field: &str| json!({"field": field, "reason": "FieldValueRequired", "message": "Required value"});
        let created = || answer(201, json!({"spec": {"a": [1, 2]}}));
        let cases: Vec<(Answer, Answer, &[&str])> = vec![
            (created(), created(), &[]),
            (
                created(),
                answer(201, json!({"spec": {"a": [1, 3]}, "b": 1})),
                &["field b: absent -> 1", "field spec.a[*]: 2 -> 3"],
            ),
            (
                invalid(json!([cause("spec.x[3]")])),
                created(),
                &["not refused: spec.x[*] [FieldValueRequired] Required value"],
            ),
            (
                invalid(json!([cause("a"), cause("b")])),
                invalid(json!([cause("b"), cause("c")])),
                &[
                    "not refused: a [FieldValueRequired] Required value",
                    "refused: c [FieldValueRequired] Required value",
                ],
            ),
            (
                answer(409, json!({"reason": "AlreadyExists", "message": "there"})),
                created(),
                &["code: 409 AlreadyExists: there -> 201"],
            ),
        ];
        for (upstream, ours, expected) in cases {
            assert_eq!(causes(&upstream, &ours), expected);
        }
    }
}
