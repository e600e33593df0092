//! A bench for plugins: one store, one request, the outcome.

use super::{Attributes, Operation, Plugin};
use crate::backend::Transaction;
use crate::fixture::Fixture;
use crate::request::{RequestCx, UserInfo};
use apimachinery::{GroupVersionKind, GroupVersionResource, Object, Status};
use serde_json::Value;

/// What is asked of a plugin.
pub struct Asked {
    pub attributes: Attributes,
    pub user: UserInfo,
    pub object: Value,
}

impl Asked {
    /// `group/resource[/subresource]`, the core group empty: `/pods`.
    pub fn new(operation: Operation, path: &str, object: Value) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let kinds = [("pods", "Pod"), ("namespaces", "Namespace"), ("nodes", "Node")];
        let kind = kinds.iter().find(|(r, _)| *r == parts[1]).map_or("Other", |(_, k)| k);
        Self {
            attributes: Attributes {
                operation,
                kind: GroupVersionKind::new(parts[0], "v1", kind),
                resource: GroupVersionResource::new(parts[0], "v1", parts[1]),
                subresource: parts.get(2).copied().unwrap_or_default().to_owned(),
                namespace: text("namespace"),
                name: text("name"),
                dry_run: false,
                old: None,
                options: None,
            },
            user: UserInfo::default(),
            object,
        }
    }

    pub fn create(path: &str, object: Value) -> Self {
        Self::new(Operation::Create, path, object)
    }

    pub fn update(path: &str, old: Value, object: Value) -> Self {
        let mut asked = Self::new(Operation::Update, path, object);
        asked.attributes.old = Object::from_value(old);
        asked
    }

    pub fn by(mut self, name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        self.user = UserInfo { name: name.to_owned(), groups, ..UserInfo::default() };
        self
    }

    /// Both passes; the object after them, the transaction and the warnings.
    pub async fn run(self, plugin: &dyn Plugin, store: &Fixture) -> Result<(Value, Transaction, Vec<String>), Status> {
        let cx = RequestCx::new(self.user, "");
        let mut object = Object::from_value(self.object).unwrap();
        let mut transaction = Transaction::default();
        if plugin.handles(&self.attributes) {
            let backend = store.backend();
            plugin.admit(&cx, &backend, &self.attributes, &mut object).await?;
            plugin.validate(&cx, &backend, &self.attributes, &object, &mut transaction).await?;
        }
        Ok((object.into_value(), transaction, cx.take_warnings()))
    }
}
