//! Claims and ingresses without a class get the default one: the newest, then the first by name
//! (k8s.io/kubernetes `plugin/pkg/admission/{storage/storageclass/setdefault,network/defaultingressclass}`).

use super::{Attributes, Plugin, list};
use crate::backend::Backend;
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultStorageClass;

#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultIngressClass;

async fn default_of(
    backend: &Backend,
    group: &str,
    resource: &str,
    annotations: &[&str],
) -> Result<Option<String>, Status> {
    let mut classes = list(backend, group, resource, None).await?;
    classes.retain(|c| annotations.iter().any(|a| c.annotation(a) == Some("true")));
    let newest_first = |a: &Object, b: &Object| {
        b.meta_str("creationTimestamp").cmp(a.meta_str("creationTimestamp")).then_with(|| a.name().cmp(b.name()))
    };
    Ok(classes.into_iter().min_by(newest_first).map(|c| c.name().to_owned()))
}

fn is_set(object: &Object, path: &[&str]) -> bool {
    object.at(path).is_some_and(|v| !v.is_null())
}

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.creates() && a.is("", "persistentvolumeclaims")
    }

    async fn admit(&self, _: &RequestCx, backend: &Backend, _: &Attributes, claim: &mut Object) -> Result<(), Status> {
        let asked = claim.annotation("volume.beta.kubernetes.io/storage-class").is_some();
        if asked || is_set(claim, &["spec", "storageClassName"]) {
            return Ok(());
        }
        let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        if let Some(class) = default_of(backend, "storage.k8s.io", "storageclasses", &marks).await? {
            claim.set_at(&["spec", "storageClassName"], Value::String(class));
        }
        Ok(())
    }
}

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.creates() && a.is("networking.k8s.io", "ingresses")
    }

    async fn admit(
        &self,
        _: &RequestCx,
        backend: &Backend,
        _: &Attributes,
        ingress: &mut Object,
    ) -> Result<(), Status> {
        let asked = ingress.annotation("kubernetes.io/ingress.class").is_some();
        if asked || is_set(ingress, &["spec", "ingressClassName"]) {
            return Ok(());
        }
        let marks = ["ingressclass.kubernetes.io/is-default-class"];
        if let Some(class) = default_of(backend, "networking.k8s.io", "ingressclasses", &marks).await? {
            ingress.set_at(&["spec", "ingressClassName"], Value::String(class));
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
    async fn the_newest_default_is_taken_where_none_was_asked_for() {
        let store = Fixture::default();
        for (name, created, default) in [
            ("old", "2026-01-01T00:00:00Z", "true"),
            ("b", "2026-02-01T00:00:00Z", "true"),
            ("a", "2026-02-01T00:00:00Z", "true"),
            ("none", "2026-03-01T00:00:00Z", "false"),
        ] {
            let annotations = json!({ "storageclass.kubernetes.io/is-default-class": default });
            let metadata = json!({ "name": name, "creationTimestamp": created, "annotations": annotations });
            store.put("storageclasses", "storage.k8s.io", json!({ "metadata": metadata })).await;
        }
        for (spec, wanted) in [
            (json!({}), json!("a")),
            (json!({ "storageClassName": "" }), json!("")),
            (json!({ "storageClassName": "x" }), json!("x")),
        ] {
            let asked = Asked::create("/persistentvolumeclaims", json!({ "metadata": { "name": "c" }, "spec": spec }));
            let (claim, ..) = asked.run(&DefaultStorageClass, &store).await.unwrap();
            assert_eq!(claim["spec"]["storageClassName"], wanted);
        }
    }
}
