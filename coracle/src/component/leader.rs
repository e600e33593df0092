//! Leader election over a Lease, by the rules of client-go's `tools/leaderelection` and with upstream's times, so that
//! upstream's components and ours can hold the same lease in turn.
//!
//! Clocks of others are not trusted: a lease is free when it has not changed for its duration on our own clock. Whoever loses
//! the lease must stop at once, so [`Election::lead`] fails then and the process ends.

use apimachinery::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const LEASE_SECONDS: i32 = 15;
/// A leader that could not renew for this long gives up, before anyone else can take the lease.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// What one candidate knows of the lease.
pub struct Record {
    identity: String,
    clock: Arc<dyn Clock>,
    /// The lease as last seen to change, and when that was.
    seen: Option<(LeaseSpec, Timestamp)>,
}

impl Record {
    pub fn new(identity: &str, clock: Arc<dyn Clock>) -> Self {
        Self { identity: identity.to_owned(), clock, seen: None }
    }

    /// What to write in order to hold the lease from now on; `None` while it is somebody else's.
    fn claim(&mut self, current: Option<&LeaseSpec>) -> Option<LeaseSpec> {
        let now = self.clock.now();
        let mine = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        };
        let Some(current) = current else { return Some(mine) };
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != current) {
            self.seen = Some((current.clone(), now));
        }
        let changed = self.seen.as_ref().map_or(now, |(_, at)| *at);
        let holder = current.holder_identity.as_deref().unwrap_or_default();
        let transitions = current.lease_transitions.unwrap_or(0);
        if holder == self.identity {
            let acquire_time = current.acquire_time.clone();
            return Some(LeaseSpec { acquire_time, lease_transitions: Some(transitions), ..mine });
        }
        let lasts = SignedDuration::from_secs(i64::from(current.lease_duration_seconds.unwrap_or(LEASE_SECONDS)));
        let held = !holder.is_empty() && now.duration_since(changed) < lasts;
        (!held).then(|| LeaseSpec { lease_transitions: Some(transitions.saturating_add(1)), ..mine })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the lease {0} was lost")]
pub struct Lost(String);

/// One candidate for one lease.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    record: Record,
}

impl Election {
    pub fn new(client: Client, namespace: &str, name: &str, record: Record) -> Self {
        Self { leases: Api::namespaced(client, namespace), name: name.to_owned(), record }
    }

    /// Waits for the lease, does `work` while holding it, and gives it back. `work` is not begun when `stop` comes first,
    /// and is dropped where it stands when the lease is lost.
    pub async fn lead(mut self, stop: &CancellationToken, work: impl Future<Output = ()>) -> Result<(), Lost> {
        while !self.attempt().await {
            if stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
                return Ok(());
            }
        }
        tracing::info!(lease = self.name, identity = self.record.identity, "leading");
        let mut work = pin!(work);
        loop {
            tokio::select! {
                () = &mut work => break,
                renewed = self.renew() => if !renewed { return Err(Lost(self.name)) },
            }
        }
        self.release().await;
        Ok(())
    }

    /// After the retry period, tries until it succeeds or the deadline is over.
    async fn renew(&mut self) -> bool {
        sleep(RETRY).await;
        let try_on = async {
            while !self.attempt().await {
                sleep(RETRY).await;
            }
        };
        timeout(RENEW_DEADLINE, try_on).await.is_ok()
    }

    /// Whether the lease is ours now.
    async fn attempt(&mut self) -> bool {
        match self.try_once().await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(lease = self.name, %error, "the lease cannot be taken or renewed");
                false
            }
        }
    }

    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let found = self.leases.get_opt(&self.name).await?;
        let Some(claim) = self.record.claim(found.as_ref().and_then(|lease| lease.spec.as_ref())) else {
            return Ok(false);
        };
        let known = found.is_some();
        let mut lease = found.unwrap_or_default();
        lease.metadata.name = Some(self.name.clone());
        lease.spec = Some(claim);
        let parameters = PostParams::default();
        let written = if known {
            self.leases.replace(&self.name, &parameters, &lease).await
        } else {
            self.leases.create(&parameters, &lease).await
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets the next one in at once.
    async fn release(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(&self.name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.record.identity) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::debug!(%error, "the lease was not given back; it will run out");
        }
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;
