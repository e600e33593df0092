//! The cache as a store: consistent reads out of memory, everything else through to the store underneath.

use super::{Cache, Follow};
use crate::{Changes, Check, Error, Key, Page, Range, Revision, Storage, Stored, Watch, Write};
use async_trait::async_trait;
use std::sync::Arc;

#[async_trait]
impl Storage for Cache {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Error> {
        self.consistent().await?;
        Ok(self.entry(key).map(|entry| entry.object.clone()))
    }

    async fn list(&self, range: &Range) -> Result<Page, Error> {
        self.consistent().await?;
        let page = self.list_entries(range, |_| true).await?;
        let items = page.items.iter().map(|entry| entry.object.clone()).collect();
        Ok(Page { items, revision: page.revision, remaining: page.remaining })
    }

    async fn everything(&self) -> Result<Page, Error> {
        self.consistent().await?;
        Ok(self.shared.lock().everything())
    }

    async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error> {
        let revisions = self.shared.inner.transact(checks, writes).await?;
        if let Some(last) = revisions.last() {
            self.shared.wait(*last).await?;
        }
        Ok(revisions)
    }

    async fn changes(&self, resource: Option<&str>, after: Revision, limit: usize) -> Result<Changes, Error> {
        let changes = self.shared.inner.changes(resource, after, limit).await?;
        self.shared.wait(changes.through).await?;
        Ok(changes)
    }

    async fn watch(&self, resource: Option<Arc<str>>, after: Revision) -> Result<Watch, Error> {
        self.consistent().await?;
        let follow = Follow::start(&self.shared, resource, after).await?;
        Ok(Box::pin(futures::stream::try_unfold(follow, |mut follow| async move {
            let event = follow.next().await?;
            Ok(Some((Arc::new(event.to_stored()), follow)))
        })))
    }

    async fn current(&self) -> Result<Revision, Error> {
        self.consistent().await
    }

    async fn compact(&self, through: Revision) -> Result<(), Error> {
        self.shared.inner.compact(through).await?;
        self.shared.ring.forget(through);
        Ok(())
    }
}
