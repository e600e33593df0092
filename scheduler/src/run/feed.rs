//! Everything that is heard, as one stream: first the whole state, then each change.

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll, select_all};
use informer::{Event, Informers, Store};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};
use serde::de::DeserializeOwned;

/// One change of one object.
pub(super) enum Heard {
    Node(Event<Node>),
    Pod(Event<Pod>),
    Namespace(Event<Namespace>),
    Claim(Event<PersistentVolumeClaim>),
    Volume(Event<PersistentVolume>),
    StorageClass(Event<StorageClass>),
    CsiNode(Event<CSINode>),
    CsiDriver(Event<CSIDriver>),
    CsiStorageCapacity(Event<CSIStorageCapacity>),
    VolumeAttachment(Event<VolumeAttachment>),
    ResourceClaim(Event<ResourceClaim>),
    ResourceSlice(Event<ResourceSlice>),
    DeviceClass(Event<DeviceClass>),
    Budget(Event<PodDisruptionBudget>),
    Service(Event<Service>),
    ReplicationController(Event<ReplicationController>),
    ReplicaSet(Event<ReplicaSet>),
    StatefulSet(Event<StatefulSet>),
}

pub(super) struct Feed(SelectAll<BoxStream<'static, Heard>>);

impl Feed {
    /// Resolves once all caches are complete.
    pub(super) async fn open(informers: &Informers) -> Self {
        let all = [
            follow(informers, Heard::Node).await,
            follow(informers, Heard::Namespace).await,
            follow(informers, Heard::Claim).await,
            follow(informers, Heard::Volume).await,
            follow(informers, Heard::StorageClass).await,
            follow(informers, Heard::CsiNode).await,
            follow(informers, Heard::CsiDriver).await,
            follow(informers, Heard::CsiStorageCapacity).await,
            follow(informers, Heard::VolumeAttachment).await,
            follow(informers, Heard::ResourceClaim).await,
            follow(informers, Heard::ResourceSlice).await,
            follow(informers, Heard::DeviceClass).await,
            follow(informers, Heard::Budget).await,
            follow(informers, Heard::Service).await,
            follow(informers, Heard::ReplicationController).await,
            follow(informers, Heard::ReplicaSet).await,
            follow(informers, Heard::StatefulSet).await,
            follow(informers, Heard::Pod).await,
        ];
        Self(select_all(all))
    }

    /// `None` only when a source is gone. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        self.0.next().await
    }
}

async fn follow<K>(informers: &Informers, heard: fn(Event<K>) -> Heard) -> BoxStream<'static, Heard>
where
    K: Resource + DeserializeOwned + Send + Sync + 'static,
{
    let store: Store<K> = informers.store();
    store.synced().await;
    store.subscribe().into_stream().map(heard).boxed()
}
