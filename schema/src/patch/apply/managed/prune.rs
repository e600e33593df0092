//! Taking out of a merged object what its applier declared last time, declares no longer, and nobody else owns.

use crate::patch::PatchSchema;
use crate::patch::apply::remove::{Emptied, remove};
use crate::patch::apply::{Set, field_set};
use serde_json::Value;

/// `last` is what the applier owned before, `owned` what all managers own now, the applier with its new fields.
pub(super) fn prune<S: PatchSchema>(schema: S, merged: Value, last: &Set, owned: &Set) -> Value {
    let complete = |set: &Set| set.with_named_fields(Some(schema));
    let last = complete(last);
    let all = complete(&field_set(schema, &merged));
    // Everything of last time goes, ...
    let pruned = remove(schema, &merged, &last, Emptied::Null);
    // ... what is owned now comes back, ...
    let mut unowned = all.clone();
    unowned.subtract(&complete(&field_set(schema, &pruned)));
    unowned.subtract(&complete(owned));
    let pruned = remove(schema, &merged, &unowned, Emptied::Null);
    // ... and so does what merely lay within something that went, without being the applier's.
    let mut gone = all;
    gone.subtract(&complete(&field_set(schema, &pruned)));
    let gone = gone.intersection(&last);
    if gone.is_empty() { merged } else { remove(schema, &merged, &gone, Emptied::Gone) }
}
