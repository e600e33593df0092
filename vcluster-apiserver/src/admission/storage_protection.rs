//! Volumes and claims in use are kept until their users are gone: finalizers from the first moment
//! (k8s.io/kubernetes `plugin/pkg/admission/storage/storageobjectinuseprotection`).

use super::{Attributes, Plugin};
use crate::backend::Backend;
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;

const FINALIZERS: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

#[derive(Clone, Copy, Debug, Default)]
pub struct StorageObjectInUseProtection;

fn finalizer(a: &Attributes) -> Option<&'static str> {
    FINALIZERS.iter().find(|(group, resource, _)| a.is(group, resource)).map(|(_, _, finalizer)| *finalizer)
}

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.creates() && finalizer(a).is_some()
    }

    async fn admit(&self, _: &RequestCx, _: &Backend, a: &Attributes, object: &mut Object) -> Result<(), Status> {
        let Some(finalizer) = finalizer(a) else { return Ok(()) };
        let mut finalizers: Vec<Value> = object.finalizers().into_iter().map(Value::from).collect();
        if !finalizers.iter().any(|f| f == finalizer) {
            finalizers.push(Value::from(finalizer));
            object.metadata_mut().insert("finalizers".into(), Value::Array(finalizers));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    #[tokio::test]
    async fn storage_objects_get_their_finalizer_once() {
        for (group, resource, finalizer) in FINALIZERS {
            for given in [json!(["x"]), json!(["x", finalizer])] {
                let object = json!({ "metadata": { "name": "n", "finalizers": given } });
                let asked = Asked::create(&format!("{group}/{resource}"), object);
                let (object, ..) = asked.run(&StorageObjectInUseProtection, &Fixture::default()).await.unwrap();
                assert_eq!(object["metadata"]["finalizers"], json!(["x", finalizer]));
            }
        }
    }
}
