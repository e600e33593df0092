//! Performs steps. What a step asks for and finds done already (deleting what is gone, creating what is there) is no
//! failure. A conflict is one: what was planned for is not there any more, so the key comes again.

use super::remote::{Content, Error, Remote};
use super::stores::Stores;
use crate::kind::Kind;
use crate::marks;
use crate::pod::projection::{self, TokenRequest};
use crate::step::Step;
use apimachinery::clock::Clock;
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Both sides, for writing.
pub(crate) struct Performer {
    pub(crate) virt: Remote,
    pub(crate) host: Remote,
    pub(crate) stores: Arc<Stores>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Performer {
    /// Performs the steps in order and stops at the first that fails.
    pub(crate) async fn perform(&self, steps: Vec<Step>) -> Result<(), Error> {
        for step in steps {
            self.step(step).await?;
        }
        Ok(())
    }

    async fn step(&self, step: Step) -> Result<(), Error> {
        match step {
            Step::HostApply { kind, object } => self.apply(kind, &object).await,
            Step::HostApplyStatus { kind, object } => {
                let path = self.host_path(kind, object["metadata"]["name"].as_str().unwrap_or_default(), "status");
                expected(self.host.apply(&path, false, &object).await, &[404])
            }
            Step::HostPatch { kind, name, subresource, patch } => {
                let path = self.host_path(kind, &name, subresource);
                let written = self.host.patch(&path, Content::Strategic, &patch).await;
                self.shown_on_host(kind, written, &[404]).await
            }
            Step::HostDelete { kind, name, uid, grace } => {
                expected(self.host.delete(&self.host_path(kind, &name, ""), &uid, grace).await, &[404])
            }
            Step::VirtCreate { kind, namespace, object } => {
                let created = self.virt.create(&kind.path(&namespace, "", ""), &object).await;
                self.shown_in_tenant(kind, created, &[409]).await
            }
            Step::VirtPatch { kind, namespace, name, subresource, patch } => {
                let path = kind.path(&namespace, &name, subresource);
                let written = self.virt.patch(&path, Content::Merge, &patch).await;
                self.shown_in_tenant(kind, written, &[404]).await
            }
            Step::VirtDelete { kind, namespace, name, uid, grace } => {
                expected(self.virt.delete(&kind.path(&namespace, &name, ""), &uid, grace).await, &[404])
            }
            Step::Mint { namespace, service_account, pod, uid, tokens, secret } => {
                let secret = self.mint(&namespace, &service_account, &pod, &uid, &tokens, secret).await?;
                self.apply(Kind::Secret, &secret).await
            }
        }
    }

    async fn apply(&self, kind: Kind, object: &Value) -> Result<(), Error> {
        let path = self.host_path(kind, object["metadata"]["name"].as_str().unwrap_or_default(), "");
        let written = self.host.apply(&path, false, object).await;
        self.shown_on_host(kind, written, &[]).await
    }

    fn host_path(&self, kind: Kind, name: &str, subresource: &str) -> String {
        kind.path(self.stores.host_namespace(), name, subresource)
    }

    async fn shown_on_host(&self, kind: Kind, written: Result<Value, Error>, accepted: &[u16]) -> Result<(), Error> {
        if let Ok(written) = &written {
            self.stores.host.caught_up(kind, written).await;
        }
        expected(written, accepted)
    }

    async fn shown_in_tenant(&self, kind: Kind, written: Result<Value, Error>, accepted: &[u16]) -> Result<(), Error> {
        if let Ok(written) = &written {
            self.stores.virt.caught_up(kind, written).await;
        }
        expected(written, accepted)
    }

    /// Fills a Secret with fresh tokens of the tenant, bound to the pod.
    async fn mint(
        &self,
        namespace: &str,
        service_account: &str,
        pod: &str,
        uid: &str,
        tokens: &[TokenRequest],
        mut secret: Value,
    ) -> Result<Value, Error> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let (mut data, mut refresh) = (Map::new(), Map::new());
        for token in tokens {
            let request = json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "audiences": token.audience.iter().collect::<Vec<_>>(),
                    "expirationSeconds": token.expiration_seconds,
                    "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid},
                },
            });
            let issued = self.clock.now().as_second();
            let answer = self.virt.create(&path, &request).await?;
            let text = answer["status"]["token"].as_str().unwrap_or_default();
            let expires = answer["status"]["expirationTimestamp"].as_str().and_then(|time| time.parse().ok());
            let expires = expires.map_or(issued + token.expiration_seconds, jiff::Timestamp::as_second);
            data.insert(token.key.clone(), base64::engine::general_purpose::STANDARD.encode(text).into());
            refresh.insert(token.key.clone(), projection::refresh_at(issued, expires).into());
        }
        secret["data"] = Value::Object(data);
        secret["metadata"]["annotations"][marks::REFRESH] = Value::Object(refresh).to_string().into();
        Ok(secret)
    }
}

/// Takes the accepted status codes for success.
fn expected(answer: Result<Value, Error>, accepted: &[u16]) -> Result<(), Error> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if accepted.contains(&error.code()) => Ok(()),
        Err(error) => Err(error),
    }
}
