//! What each node lacks, and how it is told (`framework.FitError`).

use crate::framework::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the nodes that do not fit.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    verdicts: BTreeMap<String, Verdict>,
    /// What holds for nodes that were not looked at: removing pods cannot help there.
    absent: String,
    /// What `PreFilter` said; then no node was looked at.
    pre_filter: String,
    plugins: BTreeSet<&'static str>,
}

impl Diagnosis {
    pub(crate) fn set(&mut self, node: &str, plugin: &'static str, verdict: Verdict) {
        self.plugins.insert(plugin);
        self.verdicts.insert(node.to_owned(), verdict);
    }

    /// The pod fits nowhere, whatever nodes there are.
    pub(super) fn reject_all(&mut self, plugins: BTreeSet<&'static str>, reason: String) {
        self.plugins.extend(plugins);
        self.pre_filter = reason;
    }

    /// These plugins left nodes out.
    pub(super) fn narrowed(&mut self, plugins: &BTreeSet<&'static str>) {
        if !plugins.is_empty() {
            let names: Vec<_> = plugins.iter().copied().collect();
            self.absent = format!("node(s) didn't satisfy plugin(s) [{}]", names.join(" "));
            self.plugins.extend(plugins);
        }
    }

    /// Who rejected, when it is nobody's plugin that did.
    pub(crate) fn blame(&mut self, name: &'static str) {
        self.plugins.insert(name);
    }

    /// Removing pods may make this node fit.
    pub(crate) fn is_resolvable(&self, node: &str) -> bool {
        matches!(self.verdicts.get(node), Some(Verdict::Unschedulable(_)))
    }

    pub(crate) fn message(&self, all: usize) -> String {
        if self.pre_filter.is_empty() {
            available(all, &self.verdicts, &self.absent)
        } else {
            format!("0/{all} nodes are available: {}.", self.pre_filter)
        }
    }

    pub(super) fn into_plugins(self) -> BTreeSet<&'static str> {
        self.plugins
    }
}

/// Each reason with the number of nodes that gave it, in the order of the texts.
pub(crate) fn available(all: usize, verdicts: &BTreeMap<String, Verdict>, absent: &str) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in verdicts.values().flat_map(Verdict::reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    if !absent.is_empty() && verdicts.len() < all {
        *reasons.entry(absent).or_default() += all - verdicts.len();
    }
    let mut texts: Vec<_> = reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    let start = format!("0/{all} nodes are available:");
    if texts.is_empty() { start } else { format!("{start} {}.", texts.join(", ")) }
}
