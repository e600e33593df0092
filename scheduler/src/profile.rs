//! Which plugins run at which extension point, in upstream's order and with upstream's weights
//! (`pkg/scheduler/apis/config/v1/default_plugins.go`).

use crate::framework::{ClusterEvent, PreBind, PreEnqueue, PreFilter, PreScore};
use crate::plugin::balanced_allocation::BalancedAllocation;
use crate::plugin::image_locality::ImageLocality;
use crate::plugin::inter_pod_affinity::InterPodAffinity;
use crate::plugin::node_affinity::NodeAffinity;
use crate::plugin::node_name::NodeName;
use crate::plugin::node_ports::NodePorts;
use crate::plugin::node_resources_fit::NodeResourcesFit;
use crate::plugin::node_unschedulable::NodeUnschedulable;
use crate::plugin::pod_topology_spread::PodTopologySpread;
use crate::plugin::scheduling_gates::SchedulingGates;
use crate::plugin::taint_toleration::TaintToleration;
use crate::plugin::volume_binding::VolumeBinding;

/// The plugins of one scheduler.
pub struct Profile {
    pub(crate) gates: Vec<Box<dyn PreEnqueue>>,
    pub(crate) filters: Vec<Box<dyn PreFilter>>,
    /// With their weights.
    pub(crate) scores: Vec<(Box<dyn PreScore>, i64)>,
    pub(crate) before_bind: Vec<Box<dyn PreBind>>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            gates: vec![Box::new(SchedulingGates)],
            filters: vec![
                Box::new(NodeName),
                Box::new(NodeUnschedulable),
                Box::new(TaintToleration),
                Box::new(NodeAffinity),
                Box::new(NodePorts),
                Box::new(NodeResourcesFit),
                Box::new(VolumeBinding),
                Box::new(PodTopologySpread),
                Box::new(InterPodAffinity),
            ],
            scores: vec![
                (Box::new(TaintToleration), 3),
                (Box::new(NodeAffinity), 2),
                (Box::new(NodeResourcesFit), 1),
                (Box::new(PodTopologySpread), 2),
                (Box::new(InterPodAffinity), 2),
                (Box::new(BalancedAllocation), 1),
                (Box::new(ImageLocality), 1),
            ],
            before_bind: vec![Box::new(VolumeBinding)],
        }
    }
}

impl Profile {
    /// Whether `event` may turn the rejection by the plugin of this name.
    pub(crate) fn wakes(&self, plugin: &str, event: ClusterEvent) -> bool {
        self.filters.iter().any(|filter| filter.name() == plugin && filter.woken_by(event))
    }
}
