//! Controller revisions: the templates that a StatefulSet or DaemonSet has had. Upstream's `pkg/controller/history`.
//!
//! A revision's data is a patch that puts the template back; `kubectl rollout undo` reads it, so its form is upstream's.

use crate::meta::{Meta, controller_reference};
use crate::plan::Plan;
use crate::semantic;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The revisions of one owner, with the one of its present template.
pub(crate) struct History {
    pub(crate) update: ControllerRevision,
    /// All revisions of the owner, the oldest first; `update` too.
    pub(crate) all: Vec<ControllerRevision>,
    pub(crate) collisions: i32,
}

/// What tells the revisions of one kind from another's.
pub(crate) struct Form<'a> {
    pub(crate) hash_label: &'a str,
    pub(crate) labels: BTreeMap<String, String>,
}

/// The patch that brings a template back.
fn data(template: &PodTemplateSpec) -> RawExtension {
    let mut tree = json!(template);
    tree["$patch"] = json!("replace");
    RawExtension(json!({"spec": {"template": tree}}))
}

/// The template that a revision stands for.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut tree = revision.data.0["spec"]["template"].clone();
    tree.as_object_mut()?.remove("$patch");
    // From bytes, as everything else that holds pods: the decoder from trees would be for this alone.
    serde_json::from_slice(&serde_json::to_vec(&tree).ok()?).ok()
}

pub(crate) fn number(revision: &ControllerRevision) -> i64 {
    revision.revision.unwrap_or(0)
}

/// Finds, renumbers or makes the revision of the present template. `owned` are the owner's revisions, `others` what else is in
/// the namespace, for its names.
pub(crate) fn sync<O: Resource + Meta>(
    owner: &O,
    present: &PodTemplateSpec,
    owned: &[Arc<ControllerRevision>],
    others: &[Arc<ControllerRevision>],
    form: Form<'_>,
    collisions: i32,
    plan: &mut Plan,
) -> History {
    let mut all: Vec<ControllerRevision> = owned.iter().map(|revision| (**revision).clone()).collect();
    all.sort_by_key(|revision| (number(revision), revision.created(), revision.name().to_owned()));
    let next = all.last().map_or(1, |last| number(last) + 1);
    let wanted = data(present);
    let mut collisions = collisions;
    if let Some(index) = all.iter().rposition(|revision| semantic::equal(&revision.data, &wanted)) {
        if index + 1 != all.len() {
            // An old template is wanted again: its revision becomes the newest.
            let mut back = all.remove(index);
            back.revision = Some(next);
            plan.update(&back);
            all.push(back);
        }
        let update = all.last().cloned().unwrap_or_default();
        return History { update, all, collisions };
    }
    let taken = |name: &str| all.iter().any(|own| own.name() == name) || others.iter().any(|own| own.name() == name);
    let named = |collisions: i32| {
        let hash = semantic::hash(&wanted, (collisions > 0).then_some(collisions));
        (format!("{}-{hash}", owner.name().chars().take(223).collect::<String>()), hash)
    };
    let (mut name, mut hash) = named(collisions);
    while taken(&name) {
        collisions += 1;
        (name, hash) = named(collisions);
    }
    let mut labels = form.labels;
    labels.insert(form.hash_label.to_owned(), hash);
    let update = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(owner.namespace().to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![controller_reference(owner)]),
            annotations: owner.meta().annotations.clone(),
            ..ObjectMeta::default()
        },
        data: wanted,
        revision: Some(next),
    };
    plan.create(&update);
    all.push(update.clone());
    History { update, all, collisions }
}

impl History {
    /// Deletes the oldest revisions beyond `limit` that are not among `live` names.
    pub(crate) fn truncate(&self, limit: i32, live: &[&str], plan: &mut Plan) {
        let dead: Vec<&ControllerRevision> =
            self.all.iter().filter(|revision| !live.contains(&revision.name())).collect();
        let surplus = dead.len().saturating_sub(limit.max(0) as usize);
        for revision in dead.into_iter().take(surplus) {
            plan.delete(revision);
        }
    }
}
