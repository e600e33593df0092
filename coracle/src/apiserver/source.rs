//! The server's own watch cache as the source of informers in the same process: nothing is kept twice, nothing encoded.

use apimachinery::GroupVersionResource;
use futures::stream::{self, BoxStream};
use informer::{Change, Raw, Source};
use std::sync::Arc;
use storage::{Cache, EventKind, Follow, Stored};

/// Serves resources in the version in which they are stored.
pub struct CacheSource(pub Arc<Cache>);

fn raw(object: &Stored) -> Raw {
    Raw {
        namespace: object.key.namespace.clone(),
        name: object.key.name.clone(),
        revision: object.revision.0,
        bytes: object.body.clone(),
    }
}

/// Where a source stands between two changes.
enum Position {
    /// Everything is to be told, for the first time or after falling behind.
    Start,
    /// Everything through this revision was told.
    Told(storage::Revision),
    Following(Follow),
}

impl Source for CacheSource {
    fn follow(&self, resource: &GroupVersionResource) -> BoxStream<'static, Change> {
        let cache = self.0.clone();
        let resource = resource.group_resource().to_string();
        Box::pin(stream::unfold(Position::Start, move |position| next(cache.clone(), resource.clone(), position)))
    }
}

async fn next(cache: Arc<Cache>, resource: String, mut position: Position) -> Option<(Change, Position)> {
    loop {
        match position {
            Position::Start => {
                let snapshot = cache.snapshot(&resource);
                let all = snapshot.entries.values().map(|entry| raw(&entry.object)).collect();
                return Some((Change::Replaced(all), Position::Told(snapshot.revision)));
            }
            Position::Told(revision) => {
                position = match cache.follow(Some(&resource), revision).await {
                    Ok(follow) => Position::Following(follow),
                    Err(storage::Error::Closed) => return None,
                    Err(_) => Position::Start,
                };
            }
            Position::Following(mut follow) => match follow.next().await {
                Ok(event) => {
                    let object = raw(&event.entry.object);
                    let deleted = event.kind == EventKind::Deleted;
                    let change = if deleted { Change::Deleted(object) } else { Change::Applied(object) };
                    return Some((change, Position::Following(follow)));
                }
                Err(storage::Error::Closed) => return None,
                Err(error) => {
                    tracing::debug!(%error, resource, "an informer starts over");
                    position = Position::Start;
                }
            },
        }
    }
}
