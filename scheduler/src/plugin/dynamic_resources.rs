//! A pod's resource claims: they must exist, and those that are allocated must be usable from the node.

use crate::change::{Change, Changed};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub(crate) struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn woken_by(&self, _: &PodInfo, change: &Change) -> bool {
        matches!(change.object, Changed::ResourceClaim(_) | Changed::ResourceSlice(_) | Changed::DeviceClass(_))
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for DynamicResources {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if pod.spec().resource_claims.as_ref().is_none_or(Vec::is_empty) {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(|_: &NodeInfo| Verdict::unresolvable("cannot allocate all claims")))
    }
}
