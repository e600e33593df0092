//! What one side has answered so far in a scenario, and the names that stand for its volatile values.
//!
//! Upstream and Coracle choose other uids, resource versions and times. Each becomes a name that says what can be
//! compared: a uid or a resource version is that of the live object or another one. What depends on everything else that a server does (the version of a list) is only required to be there.

use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// One side's part of a scenario.
#[derive(Default)]
pub struct Memory {
    /// The last object that a request asked to keep.
    pub live: Value,
    continue_token: String,
}

/// Both sides' part.
#[derive(Default)]
pub struct Memories {
    pub upstream: Memory,
    pub coracle: Memory,
}

static UID: LazyLock<Regex> = LazyLock::new(|| pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?P<day>20\d\d-\d\d-\d\d)T\d\d:\d\d:\d\d(?P<fraction>\.\d+)?Z"));
/// Names of projected volumes, addresses of the service range that an allocator chose, where a server listens, and hashes of
/// documents that are compared themselves.
static CHOSEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"kube-api-access-[a-z0-9]{5}|\b10\.96\.\d+\.\d+\b|\bgen-[bcdfghjklmnpqrstvwxz2456789]{5}\b|\b192\.0\.2\.10:\d+|hash=[0-9A-F]{128}|healthCheckNodePort\\+":\d+"#,
    )
});
/// Resource versions within texts.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?P<before>\\?"resourceVersion\\?":\\?"|match the ResourceVersion in record \(|ResourceVersion in object meta: |, current: )(?P<version>\d+)"#,
    )
});
static AGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d+m?s$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern is valid")
}

/// The years of the fixtures; times of other years were taken from a clock.
pub const FIXTURE_YEARS: std::ops::Range<&str> = "2000".."2026";

impl Memory {
    /// Replaces the placeholders of a request.
    pub fn fill(&self, text: &str) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        let metadata = |name: &str| self.live["metadata"][name].as_str().unwrap_or_default();
        text.replace("{{rv}}", metadata("resourceVersion"))
            .replace("{{uid}}", metadata("uid"))
            .replace("{{continue}}", &self.continue_token)
    }

    /// Remembers what later requests need of an answer.
    pub fn learn(&mut self, body: &Value, keep: bool) {
        if keep && body["metadata"]["resourceVersion"].is_string() && body["kind"] != "Status" {
            self.live = body.clone();
        }
        if let Some(token) = body["metadata"]["continue"].as_str() {
            token.clone_into(&mut self.continue_token);
        }
    }

    /// Puts names in the place of volatile values. Comes before [`Memory::learn`].
    pub fn mask(&self, body: &mut Value) {
        // Upstream reads the rules out of a map, in whatever order that has at the moment.
        for list in ["resourceRules", "nonResourceRules"] {
            if body["kind"] == "SelfSubjectRulesReview"
                && let Some(rules) = body["status"][list].as_array_mut()
            {
                rules.sort_by_key(Value::to_string);
            }
        }
        self.mask_in(body, "", false);
    }

    fn mask_in(&self, value: &mut Value, key: &str, listed: bool) {
        match value {
            Value::Object(map) => {
                // Names of generated volumes are keys in what tells who owns which field.
                if map.keys().any(|name| CHOSEN.is_match(name)) {
                    let named = std::mem::take(map).into_iter();
                    *map =
                        named.map(|(name, inner)| (CHOSEN.replace_all(&name, "chosen").into_owned(), inner)).collect();
                }
                let is_list = map.contains_key("items")
                    || map.contains_key("rows")
                    || map.get("type") == Some(&"BOOKMARK".into());
                for (name, inner) in map.iter_mut() {
                    match (name.as_str(), &*inner) {
                        ("resourceVersion", Value::String(text)) if !text.is_empty() && key == "metadata" => {
                            let live = self.live["metadata"]["resourceVersion"] == **text;
                            *inner = if listed {
                                "any"
                            } else if live {
                                "as before"
                            } else {
                                "new"
                            }
                            .into();
                        }
                        ("continue", Value::String(text)) if !text.is_empty() && key == "metadata" => {
                            *inner = "token".into();
                        }
                        ("nodePort" | "healthCheckNodePort" | "targetPort", Value::Number(n))
                            if n.as_i64() >= Some(30000) =>
                        {
                            *inner = "chosen port".into();
                        }
                        _ => self.mask_in(inner, name, is_list || (listed && name == "metadata")),
                    }
                }
            }
            Value::Array(list) => {
                for element in list {
                    self.mask_in(element, key, false);
                }
            }
            Value::String(text) => *text = self.mask_text(text, key),
            _ => {}
        }
    }

    /// The same within a text.
    pub fn mask_text(&self, text: &str, key: &str) -> String {
        if key == "cells" && AGE.is_match(text) {
            return "age".to_owned();
        }
        let text = UID.replace_all(text, |found: &regex::Captures<'_>| {
            // Which one it is can be told only of the live object's.
            let live = self.live["metadata"]["uid"] == found[0];
            if live { "live uid" } else { "uid" }.to_owned()
        });
        let text = TIME.replace_all(&text, |found: &regex::Captures<'_>| {
            if FIXTURE_YEARS.contains(&&found["day"][..4]) {
                return found[0].to_owned();
            }
            format!("time.{}", found.name("fraction").map_or(0, |fraction| fraction.len() - 1))
        });
        let text = VERSION.replace_all(&text, |found: &regex::Captures<'_>| {
            let live = self.live["metadata"]["resourceVersion"] == found["version"];
            format!("{}{}", &found["before"], if live { "as before" } else { "new" })
        });
        CHOSEN.replace_all(&text, "chosen").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_named_by_their_first_appearance() {
        let live = json!({"metadata": {"resourceVersion": "16"}});
        let memory = Memory { live, ..Memory::default() };
        let mut first = json!({"metadata": {"uid": "8f0f8dd2-5d41-4c5c-a4a6-0f6a4e1f1f6b", "resourceVersion": "17",
            "creationTimestamp": "2031-01-02T03:04:05Z"}, "spec": {"renewTime": "2024-01-01T00:00:00.000000Z"}});
        memory.mask(&mut first);
        assert_eq!(
            first,
            json!({"metadata": {"uid": "uid", "resourceVersion": "new", "creationTimestamp": "time.0"},
                "spec": {"renewTime": "2024-01-01T00:00:00.000000Z"}})
        );
        let mut list =
            json!({"metadata": {"resourceVersion": "99"}, "items": [{"metadata": {"resourceVersion": "16"}}]});
        memory.mask(&mut list);
        assert_eq!(
            list,
            json!({"metadata": {"resourceVersion": "any"}, "items": [{"metadata": {"resourceVersion": "as before"}}]})
        );
    }

    #[test]
    fn versions_within_texts_are_named() {
        let memory = Memory { live: json!({"metadata": {"resourceVersion": "16"}}), ..Memory::default() };
        let quoted = r#"patch: "{\"resourceVersion\":\"16\"}""#;
        assert_eq!(memory.mask_text(quoted, ""), r#"patch: "{\"resourceVersion\":\"as before\"}""#);
        let told = "does not match the ResourceVersion in record (17).";
        assert_eq!(memory.mask_text(told, ""), "does not match the ResourceVersion in record (new).");
    }

    #[test]
    fn placeholders_come_from_the_kept_object() {
        let mut memory = Memory::default();
        memory.learn(&json!({"metadata": {"resourceVersion": "5", "uid": "u"}}), true);
        memory.learn(&json!({"metadata": {"resourceVersion": "6", "continue": "abc"}, "items": []}), false);
        assert_eq!(memory.fill("{{rv}} {{uid}} {{continue}}"), "5 u abc");
    }
}
