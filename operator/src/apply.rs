//! The write side: server-side apply under one manager name, and nothing when nothing would change.

use crate::desired::{Desired, MANAGER};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {operation} {kind} {name}")]
    Host { operation: &'static str, kind: String, name: String, source: Box<kube::Error> },
}

impl Error {
    pub(crate) fn host(operation: &'static str, kind: &str, name: &str) -> impl FnOnce(kube::Error) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        move |source| Self::Host { operation, kind, name, source: Box::new(source) }
    }

    /// The host's own sentence, where it gave one.
    pub fn reason(&self) -> String {
        let Self::Host { source, .. } = self;
        match source.as_ref() {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        }
    }
}

pub(crate) fn api(client: &Client, desired: &Desired) -> Api<DynamicObject> {
    if desired.namespace.is_empty() {
        Api::all_with(client.clone(), &desired.resource)
    } else {
        Api::namespaced_with(client.clone(), &desired.namespace, &desired.resource)
    }
}

/// Whether an object of this name exists and was made by somebody else.
pub async fn is_foreign(client: &Client, desired: &Desired, owner_uid: &str) -> Result<bool, Error> {
    let found = api(client, desired).get_metadata_opt(&desired.name).await.map_err(Error::host(
        "look for",
        &desired.resource.kind,
        &desired.name,
    ))?;
    Ok(found.is_some_and(|object| !object.owner_references().iter().any(|owner| owner.uid == owner_uid)))
}

/// Applies one object; the host leaves its revision alone when the object already is as desired.
pub async fn apply(client: &Client, desired: &Desired) -> Result<DynamicObject, Error> {
    let params = PatchParams::apply(MANAGER).force();
    api(client, desired).patch(&desired.name, &params, &Patch::Apply(&desired.object)).await.map_err(Error::host(
        "apply",
        &desired.resource.kind,
        &desired.name,
    ))
}
