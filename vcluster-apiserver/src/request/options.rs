//! List, create, update, patch and delete options, with upstream's 422 texts
//! (k8s.io/apimachinery `pkg/apis/meta/v1/validation`, `pkg/apis/meta/internalversion/validation`).

use super::query::Query;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{GroupVersionKind, Status};
use serde_json::Value;

/// Options of list, watch and deletecollection, parsed and checked for contradictions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    pub resource_version: String,
    pub resource_version_match: String,
    pub limit: usize,
    pub continue_: String,
    pub watch: bool,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
    /// Seconds; none when not asked for.
    pub timeout: Option<u64>,
}

impl ListOptions {
    /// 400 for values that cannot be read, 422 for combinations that make no sense.
    pub fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let number = |name: &str| -> Result<Option<i64>, Status> {
            let Some(text) = query.filled(name) else { return Ok(None) };
            text.parse::<i64>()
                .map(Some)
                .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))
        };
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        let options = Self {
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            resource_version: text("resourceVersion"),
            resource_version_match: text("resourceVersionMatch"),
            limit: number("limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            continue_: text("continue"),
            watch,
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events: query.contains("sendInitialEvents").then(|| query.flag("sendInitialEvents")),
            timeout: number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
        };
        let errors = if watch { options.watch_errors() } else { options.list_errors() };
        if errors.is_empty() { Ok(options) } else { Err(invalid("ListOptions", &errors)) }
    }

    fn list_errors(&self) -> ErrorList {
        let path = Path::new("resourceVersionMatch");
        let mut errors = ErrorList::new();
        let given = self.resource_version_match.as_str();
        if !given.is_empty() {
            if self.resource_version.is_empty() {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_.is_empty() {
                errors
                    .push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if !matches!(given, "Exact" | "NotOlderThan") {
                errors.push(FieldError::not_supported(&path, given, &["Exact", "NotOlderThan", ""]));
            }
            if given == "Exact" && self.resource_version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(&path, why));
            }
        }
        if self.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self) -> ErrorList {
        let path = Path::new("resourceVersionMatch");
        let mut errors = ErrorList::new();
        let given = self.resource_version_match.as_str();
        if self.send_initial_events.is_some() && given != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(&path, why));
        }
        if !given.is_empty() {
            if self.send_initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(FieldError::forbidden(&path, why));
            }
            if given != "NotOlderThan" {
                errors.push(FieldError::not_supported(&path, given, &["NotOlderThan"]));
            }
            if !self.continue_.is_empty() {
                errors
                    .push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
        }
        errors
    }
}

/// What happens to unknown and duplicate fields of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// Empty when the client did not name one; [`WriteOptions::manager`] then falls back to the user agent.
    pub field_manager: String,
    pub field_validation: FieldValidation,
    /// Apply only: take fields over from other managers.
    pub force: bool,
}

/// Which of the three the options belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Create,
    Update,
    Patch,
    Apply,
}

impl WriteOptions {
    pub fn parse(query: &Query, kind: WriteKind) -> Result<Self, Status> {
        let mut errors = ErrorList::new();
        let manager = query.get("fieldManager").unwrap_or_default();
        if kind == WriteKind::Apply && manager.is_empty() {
            errors.push(FieldError::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
        if kind == WriteKind::Patch && query.contains("force") {
            errors.push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        errors.extend(manager_errors(manager));
        let dry_run: Vec<&str> = query.all("dryRun").filter(|v| !v.is_empty()).collect();
        errors.extend(dry_run_errors(&dry_run));
        let validation = query.get("fieldValidation").unwrap_or_default();
        let field_validation = match validation {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(FieldError::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            let name = match kind {
                WriteKind::Create => "CreateOptions",
                WriteKind::Update => "UpdateOptions",
                WriteKind::Patch | WriteKind::Apply => "PatchOptions",
            };
            return Err(invalid(name, &errors));
        }
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            field_manager: manager.to_owned(),
            field_validation,
            force: query.flag("force"),
        })
    }

    /// The manager's name in `managedFields`: the option, or the user agent up to its first slash.
    pub fn manager<'a>(&'a self, user_agent: &'a str) -> &'a str {
        if !self.field_manager.is_empty() {
            return &self.field_manager;
        }
        let prefix = user_agent.split('/').next().unwrap_or_default();
        let end = prefix.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= 128).last();
        &prefix[..end.unwrap_or(0)]
    }
}

fn manager_errors(manager: &str) -> ErrorList {
    let path = Path::new("fieldManager");
    let mut errors = ErrorList::new();
    if manager.len() > 128 {
        errors.push(FieldError::too_long(&path, 128));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid(&path, manager, detail));
    }
    errors
}

fn dry_run_errors(values: &[&str]) -> ErrorList {
    if values.iter().all(|v| *v == "All") {
        return ErrorList::new();
    }
    let given: Vec<Value> = values.iter().map(|v| Value::from(*v)).collect();
    vec![FieldError::not_supported(&Path::new("dryRun"), given, &["All"])]
}

fn invalid(kind: &str, errors: &[FieldError]) -> Status {
    Status::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", kind), "", errors)
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// Options of delete and deletecollection, from the body or the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub grace_period: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation: Option<Propagation>,
    pub dry_run: bool,
}

impl DeleteOptions {
    /// From the query of a request without a body.
    pub fn from_query(query: &Query) -> Result<Self, Status> {
        let grace =
            match query.filled("gracePeriodSeconds") {
                None => Value::Null,
                Some(text) => Value::from(text.parse::<i64>().map_err(|_| {
                    Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))
                })?),
            };
        let dry_run: Vec<Value> = query.all("dryRun").filter(|v| !v.is_empty()).map(Value::from).collect();
        let mut body = serde_json::Map::new();
        body.insert("gracePeriodSeconds".into(), grace);
        body.insert("dryRun".into(), dry_run.into());
        if query.contains("orphanDependents") {
            body.insert("orphanDependents".into(), query.flag("orphanDependents").into());
        }
        if let Some(policy) = query.filled("propagationPolicy") {
            body.insert("propagationPolicy".into(), policy.into());
        }
        Self::from_value(&Value::Object(body))
    }

    /// From a `DeleteOptions` body.
    pub fn from_value(body: &Value) -> Result<Self, Status> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let mut errors = ErrorList::new();
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        let policy = body.get("propagationPolicy").and_then(Value::as_str);
        if let (Some(_), Some(policy)) = (orphan, policy) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid(&Path::new("propagationPolicy"), policy, why));
        }
        let propagation = match policy {
            None => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let path = Path::new("propagationPolicy");
                errors.push(FieldError::not_supported(&path, other, &["Foreground", "Background", "Orphan", "nil"]));
                None
            }
        };
        let dry_run: Vec<&str> =
            body.get("dryRun").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        errors.extend(dry_run_errors(&dry_run));
        if !errors.is_empty() {
            return Err(invalid("DeleteOptions", &errors));
        }
        let preconditions = body.get("preconditions");
        Ok(Self {
            grace_period: body.get("gracePeriodSeconds").and_then(Value::as_i64),
            uid: text(preconditions.and_then(|p| p.get("uid"))),
            resource_version: text(preconditions.and_then(|p| p.get("resourceVersion"))),
            orphan_dependents: orphan,
            propagation,
            dry_run: !dry_run.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // Upstream's cases: pkg/apis/meta/internalversion/validation/validation_test.go.
    #[test]
    fn contradicting_list_options_are_refused() {
        for (query, watch, code) in [
            ("", false, None),
            ("resourceVersion=0&resourceVersionMatch=NotOlderThan", false, None),
            ("resourceVersionMatch=Exact", false, Some(422)),
            ("resourceVersion=0&resourceVersionMatch=Exact", false, Some(422)),
            ("resourceVersion=5&resourceVersionMatch=foo", false, Some(422)),
            ("resourceVersion=5&resourceVersionMatch=Exact&continue=x", false, Some(422)),
            ("sendInitialEvents=true", false, Some(422)),
            ("sendInitialEvents=true", true, Some(422)),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true, None),
            ("resourceVersionMatch=NotOlderThan", true, Some(422)),
            ("limit=x", false, Some(400)),
        ] {
            let got = ListOptions::parse(&Query::parse(query), watch).err().map(|s| s.code);
            assert_eq!(got, code, "{query}");
        }
    }

    #[test]
    fn write_options_are_checked_per_verb() {
        for (query, kind, code) in [
            ("", WriteKind::Create, None),
            ("", WriteKind::Apply, Some(422)),
            ("fieldManager=a&force=true", WriteKind::Apply, None),
            ("force=true", WriteKind::Patch, Some(422)),
            ("dryRun=Some", WriteKind::Update, Some(422)),
            ("dryRun=All", WriteKind::Update, None),
            ("fieldValidation=loose", WriteKind::Create, Some(422)),
        ] {
            let got = WriteOptions::parse(&Query::parse(query), kind).err().map(|s| s.code);
            assert_eq!(got, code, "{query}");
        }
        let long = format!("fieldManager={}", "x".repeat(129));
        assert!(WriteOptions::parse(&Query::parse(&long), WriteKind::Create).is_err());
        assert_eq!(WriteOptions::default().manager("kubectl/v1.37 (linux)"), "kubectl");
    }

    #[test]
    fn delete_options_come_from_body_or_query() {
        let body = json!({"gracePeriodSeconds": 5, "preconditions": {"uid": "u"}, "propagationPolicy": "Orphan"});
        let options = DeleteOptions::from_value(&body).unwrap();
        assert_eq!((options.grace_period, options.uid.as_deref()), (Some(5), Some("u")));
        assert_eq!(options.propagation, Some(Propagation::Orphan));
        let both = json!({"orphanDependents": true, "propagationPolicy": "Orphan"});
        assert_eq!(DeleteOptions::from_value(&both).unwrap_err().code, 422);
        let query = Query::parse("gracePeriodSeconds=0&propagationPolicy=Foreground&dryRun=All");
        let options = DeleteOptions::from_query(&query).unwrap();
        assert_eq!((options.grace_period, options.dry_run), (Some(0), true));
    }
}
