//! The filters of one pod, prepared on one snapshot, and copies of them in which pods come and go.

use crate::framework::{Filter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::snapshot::{NodeInfo, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why no node needs to be judged.
pub(crate) enum Stop {
    /// These plugins reject the pod everywhere, for this reason.
    Rejected(BTreeSet<&'static str>, String),
    Failed(String),
}

enum Held<'a> {
    Own(Box<dyn Filter + 'a>),
    Shared(&'a dyn Filter),
}

impl Held<'_> {
    fn get(&self) -> &dyn Filter {
        match self {
            Self::Own(filter) => &**filter,
            Self::Shared(filter) => *filter,
        }
    }
}

pub(crate) struct Filters<'a> {
    prepared: Vec<(&'static str, Held<'a>)>,
    /// Only these need to be looked at.
    nodes: Option<BTreeSet<String>>,
    narrowed_by: BTreeSet<&'static str>,
}

impl<'a> Filters<'a> {
    pub(crate) fn prepare(profile: &'a Profile, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Result<Self, Stop> {
        let mut this = Self { prepared: Vec::new(), nodes: None, narrowed_by: BTreeSet::new() };
        for (plugin, looks, judges) in profile.filters() {
            let name = plugin.name();
            match plugin.prepare(pod, snapshot) {
                Prepared::Skip => {}
                Prepared::Filter(filter) => this.add_filter(name, filter, judges),
                Prepared::Narrowed(filter, nodes) => {
                    this.add_filter(name, filter, judges);
                    if looks {
                        this.narrow(name, nodes)?;
                    }
                }
                Prepared::Rejected(reason) => return Err(Stop::Rejected([name].into(), reason)),
                Prepared::Failed(reason) => {
                    return Err(Stop::Failed(format!("running PreFilter plugin {name:?}: {reason}")));
                }
            }
        }
        Ok(this)
    }

    fn add_filter(&mut self, name: &'static str, filter: Box<dyn Filter + 'a>, judges: bool) {
        if judges {
            self.prepared.push((name, Held::Own(filter)));
        }
    }

    fn narrow(&mut self, plugin: &'static str, nodes: BTreeSet<String>) -> Result<(), Stop> {
        self.narrowed_by.insert(plugin);
        let nodes = match &self.nodes {
            Some(known) => known.intersection(&nodes).cloned().collect(),
            None => nodes,
        };
        if nodes.is_empty() {
            let names: Vec<_> = self.narrowed_by.iter().copied().collect();
            let reason = match &names[..] {
                [only] => format!("node(s) didn't satisfy plugin {only}"),
                _ => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", names.join(" ")),
            };
            return Err(Stop::Rejected(self.narrowed_by.clone(), reason));
        }
        self.nodes = Some(nodes);
        Ok(())
    }

    pub(super) fn nodes(&self) -> Option<&BTreeSet<String>> {
        self.nodes.as_ref()
    }

    pub(super) fn narrowed_by(&self) -> &BTreeSet<&'static str> {
        &self.narrowed_by
    }

    /// The node is not left out.
    pub(super) fn names(&self, node: &NodeInfo) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node.name()))
    }

    /// A copy in which pods come and go, for nodes that change; filters that count no pods elsewhere are shared.
    pub(crate) fn fork(&self) -> Filters<'_> {
        let copies = self.prepared.iter().map(|(name, held)| {
            let filter = held.get();
            (*name, filter.fork().map_or(Held::Shared(filter), Held::Own))
        });
        let prepared = copies.collect();
        Filters { prepared, nodes: None, narrowed_by: BTreeSet::new() }
    }

    /// Only of a fork: from now on `pod` is on `node`.
    pub(crate) fn add(&mut self, pod: &PodInfo, node: &NodeInfo) {
        for (_, held) in &mut self.prepared {
            if let Held::Own(filter) = held {
                filter.add(pod, node);
            }
        }
    }

    /// Only of a fork: from now on `pod` is no more on `node`.
    pub(crate) fn remove(&mut self, pod: &PodInfo, node: &NodeInfo) {
        for (_, held) in &mut self.prepared {
            if let Held::Own(filter) = held {
                filter.remove(pod, node);
            }
        }
    }

    fn judge(&self, node: &NodeInfo) -> (&'static str, Verdict) {
        for (name, held) in &self.prepared {
            let verdict = held.get().filter(node);
            if !verdict.fits() {
                return (name, verdict);
            }
        }
        ("", Verdict::Fits)
    }

    /// The pod must fit with and without the pods for which room is being made on the node: they may need it, and they
    /// may end up elsewhere.
    pub(crate) fn judge_with_nominated(
        &self,
        pod: &PodInfo,
        snapshot: &Snapshot,
        node: &NodeInfo,
    ) -> (&'static str, Verdict) {
        let nominated = snapshot.nominated.get(node.name()).into_iter().flatten();
        let first: Vec<&Arc<PodInfo>> =
            nominated.filter(|other| other.uid() != pod.uid() && other.priority() >= pod.priority()).collect();
        if !first.is_empty() {
            let mut taken = node.clone();
            let mut filters = self.fork();
            for other in first {
                taken.add(other.clone());
                filters.add(other, &taken);
            }
            let judged = filters.judge(&taken);
            if !judged.1.fits() {
                return judged;
            }
        }
        self.judge(node)
    }
}
