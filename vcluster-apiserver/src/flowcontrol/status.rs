//! Condition `Dangling` of FlowSchemas: whether the level they lead to exists
//! (k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go`, `presyncFlowSchemaStatus`).

use super::{GROUP, SCHEMAS};
use crate::backend::{Backend, unsealed};
use crate::registry::store::timestamp;
use apimachinery::{GroupResource, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use storage::{Check, Write};

/// The condition that a schema lacks; none when it has it.
fn wanted(schema: &Object, levels: &BTreeSet<&str>, now: Timestamp) -> Option<Value> {
    let level = schema.at(&["spec", "priorityLevelConfiguration", "name"]).and_then(Value::as_str).unwrap_or_default();
    let what = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if levels.contains(level) {
        ("False", "Found", format!("{what} and it exists"))
    } else {
        ("True", "NotFound", format!("{what} but there is no such object"))
    };
    let live = conditions(schema).into_iter().find(is_dangling).unwrap_or_default();
    let same = live["status"] == status && live["reason"] == reason && live["message"] == message;
    (!same).then(|| {
        json!({"type": "Dangling", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": timestamp(now)})
    })
}

fn conditions(schema: &Object) -> Vec<Value> {
    schema.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_dangling(condition: &Value) -> bool {
    condition["type"] == "Dangling"
}

/// Writes the conditions that are missing or wrong. Who writes at the same time wins; the change wakes us again.
pub async fn write(
    backend: &Backend,
    schemas: &[Object],
    levels: &BTreeSet<&str>,
    now: Timestamp,
) -> Result<(), storage::Error> {
    let resource = GroupResource::new(GROUP, SCHEMAS);
    for schema in schemas {
        let Some(condition) = wanted(schema, levels, now) else { continue };
        let Ok(revision) = schema.resource_version().parse() else { continue };
        let mut list: Vec<Value> = conditions(schema).into_iter().filter(|c| !is_dangling(c)).collect();
        list.push(condition);
        let mut schema = schema.clone();
        schema.set_at(&["status", "conditions"], Value::Array(list));
        let key = Backend::key(&resource, "", schema.name());
        let check = Check::At(key.clone(), storage::Revision(revision));
        match backend.storage.transact(vec![check], vec![Write::Put(key, unsealed(&schema))]).await {
            Ok(_) | Err(storage::Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn schemas_say_whether_their_level_exists() {
        let store = Fixture::default();
        for (name, level) in [("a", "there"), ("b", "gone")] {
            let spec = json!({"priorityLevelConfiguration": {"name": level}});
            store.put(SCHEMAS, GROUP, json!({"metadata": {"name": name}, "spec": spec})).await;
        }
        let resource = GroupResource::new(GROUP, SCHEMAS);
        let levels = BTreeSet::from(["there"]);
        for _ in 0..2 {
            let schemas = store.backend().objects(&resource, None).await.unwrap();
            write(&store.backend(), &schemas, &levels, Timestamp::UNIX_EPOCH).await.unwrap();
        }
        for (name, status, reason, revision) in [("a", "False", "Found", "3"), ("b", "True", "NotFound", "4")] {
            let schema = store.backend().object(&resource, "", name).await.unwrap().unwrap();
            let condition = &conditions(&schema)[0];
            assert_eq!((condition["status"].as_str(), condition["reason"].as_str()), (Some(status), Some(reason)));
            // The second round had nothing to write.
            assert_eq!(schema.resource_version(), revision, "{name}");
        }
    }
}
