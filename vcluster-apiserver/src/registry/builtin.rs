//! The built-in resources: names and verbs from `schema`'s table of resources, fields from its table of types.

mod table_model;

use super::convert::{AUTOSCALING_V1, Conversion, EVENTS};
use super::model::{Model, Schemaless};
use super::resource::{Resource, StoredAs, Subresource};
use super::strategy::Strategy;
use super::{Served, Snapshot, fields, kinds};
use apimachinery::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
use std::sync::Arc;
use table_model::TableModel;

/// Served versions that live in another one's place: (group, version, plural), then where they are stored and as what.
type Shared = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static Conversion);

const SHARED: &[Shared] = &[
    ("events.k8s.io", "v1", "events", "", "v1", "Event", &EVENTS),
    ("autoscaling", "v1", "horizontalpodautoscalers", "autoscaling", "v2", "HorizontalPodAutoscaler", &AUTOSCALING_V1),
];

/// Everything that a cluster of this release serves by default.
pub fn snapshot() -> Snapshot {
    snapshot_with(kinds::strategy_for)
}

/// The same with other strategies.
pub fn snapshot_with(strategy_for: fn(&str, &str) -> Arc<dyn Strategy>) -> Snapshot {
    let versions = schema::served().iter().map(|served| Served {
        group_version: GroupVersion::new(served.group, served.version),
        group_priority: served.group_priority,
        version_priority: served.version_priority,
    });
    Snapshot::new(versions.collect(), schema::resources().iter().map(|info| resource(info, strategy_for)).collect())
}

fn resource(info: &'static schema::ResourceInfo, strategy_for: fn(&str, &str) -> Arc<dyn Strategy>) -> Resource {
    let kind = GroupVersionKind::new(info.kind_group, info.kind_version, info.kind);
    let shared = SHARED.iter().find(|s| (s.0, s.1, s.2) == (info.group, info.version, info.plural));
    let (group, stored_kind, conversion) = match shared {
        Some((_, _, _, group, version, stored_kind, conversion)) => {
            (*group, GroupVersionKind::new(*group, *version, *stored_kind), Some(*conversion))
        }
        None => (info.group, kind.clone(), None),
    };
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    // Versions that share a place have strategies of their own, which work on the stored form.
    let strategy = strategy_for(&kind.group, &kind.kind);
    let mut selectable = fields::of(info.group, info.plural);
    for (label, path) in strategy.selectable_fields() {
        if conversion.is_none() && !selectable.iter().any(|(known, _)| known == label) {
            selectable.push(((*label).to_owned(), (*path).to_owned()));
        }
    }
    let mut paths: Vec<Arc<str>> = fields::of(group, info.plural).into_iter().map(|(_, path)| path.into()).collect();
    for (_, path) in strategy.selectable_fields() {
        if !paths.iter().any(|known| **known == **path) {
            paths.push((*path).into());
        }
    }
    let stored = StoredAs {
        resource: GroupResource::new(group, info.plural).to_string().into(),
        kind: stored_kind,
        paths: paths.into(),
        conversion,
    };
    Resource {
        gvr: GroupVersionResource::new(info.group, info.version, info.plural),
        list_kind: format!("{}List", info.kind),
        singular: info.singular.to_owned(),
        namespaced: info.namespaced,
        short_names: owned(info.short_names),
        categories: owned(info.categories),
        verbs: owned(info.verbs),
        subresources: info
            .subresources
            .iter()
            .map(|sub| Subresource {
                name: sub.name.to_owned(),
                kind: GroupVersionKind::new(sub.kind_group, sub.kind_version, sub.kind),
                verbs: owned(sub.verbs),
            })
            .collect(),
        storage_version_hash: info.storage_version_hash.to_owned(),
        deletes_to_object: info.deletes_to_object,
        stored,
        fields: selectable,
        model: model(&kind),
        strategy,
        kind,
    }
}

/// What is known about the fields of a built-in kind.
pub fn model(kind: &GroupVersionKind) -> Arc<dyn Model> {
    match schema::kind(kind) {
        Some(row) => Arc::new(TableModel::new(row, kind)),
        None => Arc::new(Schemaless),
    }
}
