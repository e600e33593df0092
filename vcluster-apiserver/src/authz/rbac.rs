//! The RBAC authorizer: a [`Policy`] kept current from the watch cache.

use super::policy::{GROUP, Policy, RESOURCES, RoleRef};
use super::rule::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::backend::Backend;
use crate::request::UserInfo;
use apimachinery::{GroupResource, Object};
use async_trait::async_trait;
use futures::StreamExt;
use std::sync::{Arc, PoisonError, RwLock};
use storage::{Event, EventKind, Revision};

/// Decides from roles and bindings. Cheap to share; [`Rbac::run`] must be running for changes to be seen.
pub struct Rbac {
    backend: Backend,
    policy: RwLock<Policy>,
}

impl Rbac {
    /// Reads the present policy; the second part is the position from which [`Self::run`] goes on.
    pub async fn load(backend: Backend) -> Result<(Arc<Self>, Revision), storage::Error> {
        let (policy, revision) = read(&backend).await?;
        Ok((Arc::new(Self { backend, policy: RwLock::new(policy) }), revision))
    }

    /// Follows changes until the store closes. A watcher that fell behind reads everything again.
    pub async fn run(self: Arc<Self>, mut after: Revision) {
        loop {
            if let Err(storage::Error::Closed) = self.follow(after).await {
                return;
            }
            match read(&self.backend).await {
                Ok((policy, revision)) => {
                    *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
                    after = revision;
                }
                Err(storage::Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "roles and bindings could not be read again");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn follow(&self, after: Revision) -> Result<(), storage::Error> {
        let mut watches = Vec::with_capacity(RESOURCES.len());
        for resource in RESOURCES {
            watches.push(self.backend.storage.watch(Some(name_of(resource).into()), after).await?);
        }
        let mut changes = futures::stream::select_all(watches);
        while let Some(change) = changes.next().await {
            self.apply(&*change?);
        }
        Err(storage::Error::Closed)
    }

    fn apply(&self, event: &Event) {
        let key = &event.object.key;
        let resource = key.resource.split('.').next().unwrap_or_default();
        let object = match event.kind {
            EventKind::Deleted => None,
            EventKind::Created | EventKind::Updated => parse(&event.object.body),
        };
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        match object {
            Some(object) => policy.put(resource, &object),
            None => policy.remove(resource, &key.namespace, &key.name),
        }
    }

    fn with<T>(&self, read: impl FnOnce(&Policy) -> T) -> T {
        read(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every rule that applies to a user in a namespace.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> Vec<Rule> {
        self.with(|policy| policy.rules_for(user, namespace))
    }

    /// The rules of a referenced role; none when it does not exist.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<Arc<[Rule]>> {
        self.with(|policy| policy.rules_of(role, namespace))
    }
}

fn name_of(resource: &str) -> String {
    GroupResource::new(GROUP, resource).to_string()
}

fn parse(body: &[u8]) -> Option<Object> {
    serde_json::from_slice(body).ok().and_then(Object::from_value)
}

/// The oldest of the four snapshots' revisions comes with it: what a later one already holds is applied twice, which
/// changes nothing.
async fn read(backend: &Backend) -> Result<(Policy, Revision), storage::Error> {
    let mut policy = Policy::default();
    let mut oldest = None;
    for resource in RESOURCES {
        let range = storage::Range { resource: name_of(resource).into(), ..storage::Range::default() };
        let page = backend.storage.list(&range).await?;
        for object in page.items.iter().filter_map(|s| parse(&s.body)) {
            policy.put(resource, &object);
        }
        oldest = Some(oldest.map_or(page.revision, |o: Revision| o.min(page.revision)));
    }
    Ok((policy, oldest.unwrap_or_default()))
}

#[async_trait]
impl Authorizer for Rbac {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if self.with(|policy| policy.allows(attributes)) { Decision::Allow } else { Decision::NoOpinion(String::new()) }
    }

    async fn explain(&self, attributes: &Attributes) -> (Decision, String) {
        match self.with(|policy| policy.explain(attributes)) {
            Some(why) => (Decision::Allow, why),
            None => (Decision::NoOpinion(String::new()), String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use serde_json::json;

    fn ask(user: &str) -> Attributes {
        Attributes {
            user: Arc::new(UserInfo { name: user.into(), ..UserInfo::default() }),
            verb: "get".into(),
            resource: "pods".into(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    fn role() -> serde_json::Value {
        json!({ "metadata": { "name": "r" }, "rules": [{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }] })
    }

    fn binding(name: &str, user: &str) -> serde_json::Value {
        json!({
            "metadata": { "name": name },
            "roleRef": { "kind": "ClusterRole", "name": "r" },
            "subjects": [{ "kind": "User", "name": user }],
        })
    }

    #[tokio::test]
    async fn changes_reach_the_policy() {
        let store = Fixture::default();
        store.put("clusterroles", GROUP, role()).await;
        store.put("clusterrolebindings", GROUP, binding("b", "jane")).await;
        let (rbac, revision) = Rbac::load(store.backend()).await.unwrap();
        assert_eq!(rbac.authorize(&ask("jane")).await, Decision::Allow);
        tokio::spawn(rbac.clone().run(revision));
        tokio::task::yield_now().await;
        store.put("clusterrolebindings", GROUP, binding("c", "joe")).await;
        store.remove("clusterrolebindings", GROUP, "", "b").await;
        while rbac.authorize(&ask("jane")).await == Decision::Allow
            || rbac.authorize(&ask("joe")).await != Decision::Allow
        {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_decision_does_not_look_at_other_peoples_bindings() {
        let mut policy = Policy::default();
        policy.put("clusterroles", &Object::from_value(role()).unwrap());
        for n in 0..10_000 {
            let binding = binding(&format!("b{n}"), &format!("user-{n}"));
            policy.put("clusterrolebindings", &Object::from_value(binding).unwrap());
        }
        let (asked, rounds) = (ask("user-5000"), 2_000_u32);
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            assert!(policy.allows(&asked));
        }
        // 5 us in an optimized build; the bound leaves room for an unoptimized one on a busy machine, and a scan of
        // 10,000 bindings would still be far beyond it.
        let each = start.elapsed() / rounds;
        assert!(each < std::time::Duration::from_micros(100), "{each:?}");
    }
}
