//! Encryption at rest: a store that writes and reads through ciphers (k8s.io/apiserver `pkg/storage/value`,
//! `pkg/server/options/encryptionconfig`).
//!
//! It wraps any [`Storage`], under the watch cache: memory and wire hold the plain JSON. What is stored begins as upstream's
//! values do, `k8s:enc:PROVIDER:v1:KEY:`. Bodies are encrypted before they are dated, so the store's digits stand behind
//! the ciphertext and are taken off again when it is read.
//!
//! It refuses to answer with a body that no key opens.

pub mod cipher;
pub mod config;
pub mod provider;
pub mod rewrite;

use async_trait::async_trait;
use config::Encryption;
use futures::StreamExt as _;
use std::sync::Arc;
use storage::{Changes, Check, Error, Event, Key, Page, Range, Revision, Storage, Stored, Unsealed, Watch, Write};

/// See the module.
pub struct Encrypted {
    inner: Arc<dyn Storage>,
    encryption: Arc<Encryption>,
}

impl Encrypted {
    pub fn new(inner: Arc<dyn Storage>, encryption: Encryption) -> Self {
        Self { inner, encryption: Arc::new(encryption) }
    }
}

fn unreadable(key: &Key, source: provider::Error) -> Error {
    tracing::error!(%key, error = %source, "a stored body cannot be used");
    Error::Backend { operation: "decrypt a stored body", source: Box::new(source) }
}

/// What is authenticated with a body: where it belongs. A body that was moved elsewhere is refused.
fn place(key: &Key) -> Vec<u8> {
    format!("/registry/{key}").into_bytes()
}

/// The body before it was dated: where the digits belong, then the bytes.
fn pack(body: &Unsealed) -> Vec<u8> {
    let mut packed = Vec::with_capacity(body.bytes.len() + 4);
    packed.extend_from_slice(&u32::try_from(body.revision_at).unwrap_or(u32::MAX).to_be_bytes());
    packed.extend_from_slice(&body.bytes);
    packed
}

fn unpack(packed: &[u8]) -> Option<Unsealed> {
    let (at, bytes) = packed.split_first_chunk::<4>()?;
    let revision_at = u32::from_be_bytes(*at) as usize;
    (revision_at <= bytes.len()).then(|| Unsealed { bytes: bytes.to_vec(), revision_at })
}

impl Encryption {
    /// The body as the store below gets it.
    fn encrypt(&self, key: &Key, body: Unsealed) -> Result<Unsealed, Error> {
        let Some(providers) = self.providers(&key.resource) else { return Ok(body) };
        match providers.seal(&pack(&body), &place(key)).map_err(|e| unreadable(key, e))? {
            Some(bytes) => Ok(Unsealed { revision_at: bytes.len(), bytes }),
            // The first provider is none: the body stays as it is.
            None => Ok(body),
        }
    }

    /// The body as clients get it, and whether another key than the first opened it.
    fn decrypt(&self, stored: Stored) -> Result<(Stored, bool), Error> {
        let plain = !provider::is_encrypted(&stored.body);
        let Some(providers) = self.providers(&stored.key.resource) else {
            return if plain {
                Ok((stored, false))
            } else {
                Err(unreadable(&stored.key, provider::Error::Unconfigured))
            };
        };
        if plain {
            let current = providers.current_is_plain();
            return if providers.reads_plain() {
                Ok((stored, !current))
            } else {
                Err(unreadable(&stored.key, provider::Error::Plain))
            };
        }
        let digits = stored.revision.to_string();
        let sealed = stored.body.strip_suffix(digits.as_bytes());
        let sealed = sealed.ok_or_else(|| unreadable(&stored.key, provider::Error::Broken))?;
        let (packed, stale) = providers.open(sealed, &place(&stored.key)).map_err(|e| unreadable(&stored.key, e))?;
        let body = unpack(&packed).ok_or_else(|| unreadable(&stored.key, provider::Error::Broken))?;
        let body = body.seal(stored.revision);
        Ok((Stored { body, ..stored }, stale))
    }

    fn event(&self, event: Arc<Event>) -> Result<Arc<Event>, Error> {
        if self.providers(&event.object.key.resource).is_none() && !provider::is_encrypted(&event.object.body) {
            return Ok(event);
        }
        let event = Arc::unwrap_or_clone(event);
        let previous = event.previous.map(|previous| self.decrypt(previous)).transpose()?;
        Ok(Arc::new(Event {
            kind: event.kind,
            object: self.decrypt(event.object)?.0,
            previous: previous.map(|(previous, _)| previous),
        }))
    }

    fn page(&self, page: Page) -> Result<Page, Error> {
        let items = page.items.into_iter().map(|stored| Ok(self.decrypt(stored)?.0));
        Ok(Page { items: items.collect::<Result<_, Error>>()?, ..page })
    }

    /// What a conflict found is shown to clients too.
    fn failure(&self, error: Error) -> Error {
        match error {
            Error::Conflict { key, found: Some(found) } => match self.decrypt(*found) {
                Ok((found, _)) => Error::Conflict { key, found: Some(Box::new(found)) },
                Err(error) => error,
            },
            other => other,
        }
    }
}

#[async_trait]
impl Storage for Encrypted {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Error> {
        let stored = self.inner.get(key).await?;
        stored.map(|stored| Ok(self.encryption.decrypt(stored)?.0)).transpose()
    }

    async fn list(&self, range: &Range) -> Result<Page, Error> {
        self.encryption.page(self.inner.list(range).await?)
    }

    async fn everything(&self) -> Result<Page, Error> {
        self.encryption.page(self.inner.everything().await?)
    }

    async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error> {
        let writes = writes.into_iter().map(|write| {
            Ok(match write {
                Write::Put(key, body) => {
                    let body = self.encryption.encrypt(&key, body)?;
                    Write::Put(key, body)
                }
                Write::Delete(key, body) => {
                    let body = self.encryption.encrypt(&key, body)?;
                    Write::Delete(key, body)
                }
            })
        });
        let writes = writes.collect::<Result<_, Error>>()?;
        self.inner.transact(checks, writes).await.map_err(|error| self.encryption.failure(error))
    }

    async fn changes(&self, resource: Option<&str>, after: Revision, limit: usize) -> Result<Changes, Error> {
        let changes = self.inner.changes(resource, after, limit).await?;
        let events = changes.events.into_iter().map(|event| self.encryption.event(event));
        Ok(Changes { events: events.collect::<Result<_, Error>>()?, ..changes })
    }

    async fn watch(&self, resource: Option<Arc<str>>, after: Revision) -> Result<Watch, Error> {
        let encryption = self.encryption.clone();
        let changes = self.inner.watch(resource, after).await?;
        Ok(changes.map(move |event| encryption.event(event?)).boxed())
    }

    async fn current(&self) -> Result<Revision, Error> {
        self.inner.current().await
    }

    async fn compact(&self, through: Revision) -> Result<(), Error> {
        self.inner.compact(through).await
    }
}

#[cfg(test)]
#[path = "encryption/tests.rs"]
mod tests;
