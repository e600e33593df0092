//! The entries of `metadata.managedFields` and the operations on all of them.

use super::{Conflict, Writer};
use crate::patch::apply::{Difference, Set};
use serde_json::{Map, Value, json};

/// How a manager came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

/// One manager's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339.
    pub time: Option<String>,
    pub fields: Set,
}

impl Entry {
    fn decode(entry: &Value, index: usize) -> Result<Self, String> {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
        }
        let fields = entry.get("fieldsV1").filter(|f| !f.is_null());
        let fields = fields.map_or_else(|| Ok(Set::default()), Set::decode);
        Ok(Self {
            manager: text("manager").to_owned(),
            operation,
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
            time: Some(text("time")).filter(|t| !t.is_empty()).map(str::to_owned),
            fields: fields.map_err(|e| format!("error decoding set: {e}"))?,
        })
    }

    fn encode(&self) -> Value {
        let operation = if self.operation == Operation::Apply { "Apply" } else { "Update" };
        let mut map = Map::new();
        map.insert("apiVersion".into(), Value::from(self.api_version.as_str()));
        map.insert("fieldsType".into(), Value::from("FieldsV1"));
        map.insert("fieldsV1".into(), self.fields.encode());
        map.insert("operation".into(), Value::from(operation));
        for (field, text) in [
            ("manager", Some(self.manager.as_str())),
            ("subresource", Some(self.subresource.as_str())),
            ("time", self.time.as_deref()),
        ] {
            if let Some(text) = text.filter(|t| !t.is_empty()) {
                map.insert(field.into(), Value::from(text));
            }
        }
        Value::Object(map)
    }

    /// Appliers are one manager at all versions, updaters one at each.
    fn is_of(&self, operation: Operation, writer: &Writer<'_>) -> bool {
        let version = operation == Operation::Apply || self.api_version == writer.api_version;
        self.operation == operation && version && self.manager == name(writer) && self.subresource == writer.subresource
    }

    fn seconds(&self) -> i64 {
        let time = self.time.as_deref().and_then(|t| apimachinery::time::parse_time(t).ok());
        time.map_or(0, jiff::Timestamp::as_second)
    }
}

fn name<'a>(writer: &Writer<'a>) -> &'a str {
    if writer.manager.is_empty() { "unknown" } else { writer.manager }
}

/// More managers from updates than this are folded into one, the oldest first.
const MAX_UPDATERS: usize = 10;

/// All entries of an object.
#[derive(Debug, Default)]
pub(super) struct Managers(Vec<Entry>);

impl Managers {
    pub fn decode(list: &Value) -> Result<Self, String> {
        let mut managers: Vec<Entry> = Vec::new();
        for (index, entry) in list.as_array().into_iter().flatten().enumerate() {
            let entry = Entry::decode(entry, index)?;
            let writer = entry.writer();
            // The last of several entries of one manager counts.
            match managers.iter_mut().find(|m| m.is_of(entry.operation, &writer)) {
                Some(known) => *known = entry,
                None => managers.push(entry),
            }
        }
        Ok(Self(managers))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON list in upstream's order: appliers first, then by time and name.
    pub fn encode(mut self) -> Option<Value> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by_cached_key(|e| {
            (e.operation, e.seconds(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
        });
        Some(self.0.iter().map(Entry::encode).collect())
    }

    /// The writer's entry, made when there is none.
    pub fn entry(&mut self, operation: Operation, writer: &Writer<'_>) -> &mut Entry {
        let at = self.0.iter().position(|e| e.is_of(operation, writer)).unwrap_or_else(|| {
            self.0.push(Entry {
                manager: name(writer).to_owned(),
                operation,
                api_version: writer.api_version.to_owned(),
                subresource: writer.subresource.to_owned(),
                time: None,
                fields: Set::default(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    pub fn all_fields(&self) -> Set {
        let mut all = Set::default();
        for entry in &self.0 {
            all.add(entry.fields.clone());
        }
        all
    }

    /// Takes from everyone but the applier what was changed or removed.
    pub fn lose(&mut self, difference: &Difference, applier: Option<&Writer<'_>>) {
        for entry in &mut self.0 {
            if applier.is_some_and(|w| entry.is_of(Operation::Apply, w)) {
                continue;
            }
            entry.fields.subtract(&difference.modified);
            entry.fields.subtract(&difference.added);
            entry.fields.subtract(&difference.removed);
        }
        self.drop_empty();
    }

    pub fn drop_empty(&mut self) {
        self.0.retain(|e| !e.fields.is_empty());
    }

    /// What the applier changes of the fields of others, by manager and path.
    pub fn conflicts(&self, difference: &Difference, applier: &Writer<'_>) -> Vec<Conflict> {
        let mut changed = difference.modified.clone();
        changed.add(difference.added.clone());
        let mut conflicts = Vec::new();
        for entry in self.0.iter().filter(|e| !e.is_of(Operation::Apply, applier)) {
            let paths = entry.fields.intersection(&changed).paths();
            conflicts.extend(paths.into_iter().map(|path| Conflict { manager: entry.shown(), path }));
        }
        // The paths of each stay in their order.
        conflicts.sort_by(|a, b| a.manager.cmp(&b.manager));
        conflicts
    }

    /// Merges the oldest updaters of each version into `ancient-changes` until few enough are left.
    pub fn fold_oldest(&mut self) {
        let updaters = self.0.iter().filter(|e| e.operation == Operation::Update).count();
        if updaters <= MAX_UPDATERS {
            return;
        }
        let (mut updates, mut rest): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.0).into_iter().partition(|e| e.operation == Operation::Update);
        updates.sort_by_cached_key(|e| (e.seconds(), json!([e.manager, e.api_version, e.subresource]).to_string()));
        let mut count = updates.len();
        let mut folded: Vec<Entry> = Vec::new();
        for entry in updates {
            let bucket = folded.iter_mut().find(|f| f.api_version == entry.api_version);
            match bucket {
                Some(bucket) if count > MAX_UPDATERS => {
                    bucket.manager = "ancient-changes".into();
                    bucket.subresource = String::new();
                    bucket.fields.add(entry.fields);
                    bucket.time = entry.time;
                    count -= 1;
                }
                _ => folded.push(entry),
            }
        }
        rest.append(&mut folded);
        self.0 = rest;
    }
}

impl Entry {
    fn writer(&self) -> Writer<'_> {
        Writer { manager: &self.manager, api_version: &self.api_version, subresource: &self.subresource, time: "" }
    }

    /// The manager as conflicts name it.
    fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            text = format!("{text} using {}", self.api_version);
        }
        text
    }
}
