//! Keeps history short: a store would otherwise grow with every write for ever.

use crate::{Error, Revision, Storage};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Compacts at each interval to where the store stood one interval before, so that every revision lives for one to two
/// of them: upstream's rule (apiserver `pkg/storage/etcd3/compact.go`), whose interval is 5 minutes
/// (`--etcd-compaction-interval`). Runs until the store is closed; other failures are logged and tried again.
pub async fn compact_regularly(store: Arc<dyn Storage>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Revision(0);
    loop {
        ticks.tick().await;
        match compact(&*store, before).await {
            Ok(current) => before = current,
            Err(Error::Closed) => return,
            Err(error) => tracing::warn!(%error, through = %before, "compaction failed"),
        }
    }
}

async fn compact(store: &dyn Storage, through: Revision) -> Result<Revision, Error> {
    let current = store.current().await?;
    store.compact(through).await?;
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{commit, outcome, put};
    use crate::{Memory, Range};

    #[tokio::test(start_paused = true)]
    async fn a_revision_lives_for_one_to_two_intervals() {
        let store = Arc::new(Memory::new());
        let every = Duration::from_mins(5);
        let compactor = tokio::spawn(compact_regularly(store.clone(), every));
        let first = Range { at: Some(Revision(1)), ..Range::all("pods") };
        // Just after a tick: the next one only takes note of it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        commit(&*store, vec![put("pods/default/a", "")]).await;
        commit(&*store, vec![put("pods/default/a", "")]).await;
        tokio::time::sleep(every).await;
        assert_eq!(outcome(&store.list(&first).await), "ok");
        tokio::time::sleep(every).await;
        assert_eq!(outcome(&store.list(&first).await), "compacted");
        assert_eq!(outcome(&store.list(&Range::all("pods")).await), "ok");
        compactor.abort();
    }
}
