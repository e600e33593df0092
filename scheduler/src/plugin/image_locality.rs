//! Nodes that have the pod's images already are better, the more so the larger the images.

use crate::change::Change;
use crate::framework::{MAX_NODE_SCORE, Plugin, PreScore, Score};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use std::sync::Arc;

pub(crate) struct ImageLocality;

const MEGABYTE: i64 = 1024 * 1024;
const MIN_THRESHOLD: i64 = 23 * MEGABYTE;
const MAX_CONTAINER_THRESHOLD: i64 = 1000 * MEGABYTE;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn woken_by(&self, _: &PodInfo, _: &Change) -> bool {
        false
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

struct Images {
    /// Each of the pod's images, with the share of nodes that have it.
    images: Vec<(String, f64)>,
}

impl PreScore for ImageLocality {
    fn scorer<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        _: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>> {
        let spec = pod.spec();
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
        let names = containers.map(|container| &container.image).chain(volumes.map(|image| &image.reference));
        let images: Vec<_> = names
            .map(|name| {
                let name = normalized(name.as_deref().unwrap_or_default());
                let having = snapshot.images.get(&name).copied().unwrap_or(0);
                let share = having as f64 / snapshot.nodes.len() as f64;
                (name, share)
            })
            .collect();
        (!images.is_empty()).then(|| Box::new(Images { images }) as Box<dyn Score>)
    }
}

impl Score for Images {
    fn score(&self, node: &NodeInfo) -> i64 {
        let scaled =
            |(name, spread): &(String, f64)| node.images.get(name).map_or(0, |size| (*size as f64 * spread) as i64);
        let most = MAX_CONTAINER_THRESHOLD * self.images.len() as i64;
        let sum = self.images.iter().map(scaled).sum::<i64>().clamp(MIN_THRESHOLD, most);
        MAX_NODE_SCORE * (sum - MIN_THRESHOLD) / (most - MIN_THRESHOLD)
    }
}

/// With the tag that the container runtime would add.
fn normalized(name: &str) -> String {
    if name.rfind(':') <= name.rfind('/') { format!("{name}:latest") } else { name.to_owned() }
}
