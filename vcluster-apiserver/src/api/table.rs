//! Tables: the columns of a kind and one row per object (k8s.io/apiserver `pkg/registry/rest/table.go`,
//! `pkg/endpoints/handlers/response.go`).

use super::encode::{self, WithMetadata};
use crate::registry::model::{Column, Model};
use crate::registry::resource::Resource;
use apimachinery::field::{FieldError, Path};
use apimachinery::{GroupVersionKind, Object, Status};
use bytes::Bytes;
use serde_json::{Value, json};

/// What a row carries of its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    /// 422 for other words.
    pub fn parse(parameter: Option<&str>) -> Result<Self, Status> {
        match parameter.unwrap_or_default() {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let error = FieldError::invalid(&Path::new("includeObject"), other, why);
                Err(Status::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", "TableOptions"), "", &[error]))
            }
        }
    }
}

/// A table that is being written.
pub struct Table<'a> {
    model: &'a dyn Model,
    /// Whose objects the rows are, when they are stored.
    resource: Option<&'a Resource>,
    /// The annotation that rows do not show.
    hidden: Option<&'static str>,
    version: String,
    include: Include,
    now: jiff::Timestamp,
    columns: Option<Vec<Column>>,
    with_header: bool,
    rows: Vec<u8>,
}

impl<'a> Table<'a> {
    pub fn new(resource: &'a Resource, version: &str, include: Include, now: jiff::Timestamp) -> Self {
        let hidden = resource.strategy.field_annotation();
        Self { resource: Some(resource), hidden, ..Self::of(&*resource.model, version, include, now) }
    }

    /// The table of objects that are no resource of their own.
    pub fn of(model: &'a dyn Model, version: &str, include: Include, now: jiff::Timestamp) -> Self {
        let columns = model.columns();
        let version = version.to_owned();
        Self {
            model,
            resource: None,
            hidden: None,
            version,
            include,
            now,
            columns,
            with_header: true,
            rows: Vec::new(),
        }
    }

    /// Leaves the column definitions out: every event of a watch but the first.
    pub fn without_header(mut self) -> Self {
        self.with_header = false;
        self
    }

    /// Adds the row of one stored body. Metadata alone is shown as it is stored, without what stands for fields of the
    /// served version.
    pub fn add(&mut self, stored: &Bytes) -> Result<(), Status> {
        let body = self.resource.map_or_else(|| Ok(stored.clone()), |resource| encode::served(resource, stored))?;
        let tree: Value = serde_json::from_slice(&body).map_err(|e| Status::internal(e.to_string()))?;
        let object = Object::from_value(tree).ok_or_else(|| Status::internal("a stored object is no object"))?;
        let cells = if self.columns.is_some() {
            self.model.cells(&object, self.now)
        } else {
            vec![object.name().into(), object.meta_str("creationTimestamp").into()]
        };
        if !self.rows.is_empty() {
            self.rows.push(b',');
        }
        self.rows.extend_from_slice(b"{\"cells\":");
        self.rows.extend_from_slice(Value::Array(cells).to_string().as_bytes());
        self.rows.extend_from_slice(b",\"object\":");
        match self.include {
            Include::None => self.rows.extend_from_slice(b"null"),
            Include::Metadata => encode::partial(&mut self.rows, self.hidden, &self.version, stored)?,
            Include::Object => self.rows.extend_from_slice(&body),
        }
        self.rows.push(b'}');
        Ok(())
    }

    /// The whole `Table`.
    pub fn finish(self, revision: &str, continue_: &str, remaining: Option<usize>) -> Vec<u8> {
        let mut metadata = json!({ "resourceVersion": revision });
        if !continue_.is_empty() {
            metadata["continue"] = continue_.into();
        }
        if let Some(remaining) = remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        let columns: Vec<Value> = match (&self.columns, self.with_header) {
            (_, false) => Vec::new(),
            (Some(columns), true) => columns.iter().map(definition).collect(),
            (None, true) => default_columns().iter().map(definition).collect(),
        };
        let columns = if self.with_header { Value::Array(columns) } else { Value::Null };
        let mut out = format!(
            "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{}\",\"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":[",
            self.version
        )
        .into_bytes();
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(b"]}");
        out
    }
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": column.description, "priority": column.priority,
    })
}

/// Kinds without columns of their own.
fn default_columns() -> [Column; 2] {
    let column = |name: &str, kind: &str, format: &str, description: &str| Column {
        name: name.into(),
        kind: kind.into(),
        format: format.into(),
        description: description.into(),
        priority: 0,
    };
    [
        column("Name", "string", "name", "Name of the object, unique within its namespace"),
        column("Created At", "date", "", "Time at which the object was created"),
    ]
}

/// The resourceVersion of a body.
pub fn revision(body: &[u8]) -> String {
    let metadata = serde_json::from_slice::<WithMetadata<'_>>(body).ok();
    let metadata = metadata.and_then(|m| serde_json::from_str::<Value>(m.metadata.get()).ok());
    metadata.and_then(|m| m.get("resourceVersion")?.as_str().map(str::to_owned)).unwrap_or_default()
}
