//! Conflicts between managers and the sentences about them.

use crate::patch::apply::Element;

/// A field that the applied object changes and another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner as messages name it: `"kube-controller-manager" with subresource "scale" using apps/v1`.
    pub manager: String,
    pub path: Vec<Element>,
}

impl Conflict {
    /// The field as the cause of a `Status` names it: `.spec.replicas`.
    pub fn field(&self) -> String {
        self.path.iter().map(ToString::to_string).collect()
    }

    /// The message of a `Status` cause.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// The message of the whole `Status`; the conflicts are sorted by manager.
pub(super) fn text(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field());
    }
    let mut lines = Vec::new();
    let mut manager = None;
    for conflict in conflicts {
        if manager != Some(&conflict.manager) {
            lines.push(format!("conflicts with {}:", conflict.manager));
            manager = Some(&conflict.manager);
        }
        lines.push(format!("- {}", conflict.field()));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
