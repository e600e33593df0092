//! Writing again what another key than the present one, or none, protects: the end of a key's rotation.
//!
//! Upstream leaves this to whoever runs `kubectl replace` over everything. Here it is done when the server starts; an object
//! that needs it gets a new revision, and one that somebody writes at the same time needs it no more.

use super::{Encrypted, provider};
use storage::{Check, Error, Storage as _, Stored, Unsealed, Write};

/// How many objects are written in one transaction.
const BATCH: usize = 64;

impl Encrypted {
    /// Answers how many objects were written again.
    pub async fn rewrite(&self) -> Result<usize, Error> {
        let mut count = 0;
        let mut stale: Vec<Stored> = Vec::new();
        for stored in self.inner.everything().await?.items {
            let configured = self.encryption.providers(&stored.key.resource).is_some();
            if !configured && !provider::is_encrypted(&stored.body) {
                continue;
            }
            if let (stored, true) = self.encryption.decrypt(stored)? {
                stale.push(stored);
            }
        }
        for batch in stale.chunks(BATCH) {
            if self.put(batch).await? {
                count += batch.len();
                continue;
            }
            // Somebody else wrote one of them: the others one by one.
            for one in batch {
                count += usize::from(self.put(std::slice::from_ref(one)).await?);
            }
        }
        Ok(count)
    }

    async fn put(&self, batch: &[Stored]) -> Result<bool, Error> {
        let checks = batch.iter().map(|stored| Check::At(stored.key.clone(), stored.revision)).collect();
        let writes = batch.iter().filter_map(|stored| Some(Write::Put(stored.key.clone(), undated(stored)?))).collect();
        match self.transact(checks, writes).await {
            Ok(_) => Ok(true),
            Err(Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The body without its date: the digits stand where the server's canonical form has them. None for what is not in that
/// form, which nobody writes.
fn undated(stored: &Stored) -> Option<Unsealed> {
    let field = format!("\"resourceVersion\":\"{}\"", stored.revision);
    let found = stored.body.windows(field.len()).position(|window| window == field.as_bytes())?;
    let revision_at = found + "\"resourceVersion\":\"".len();
    let mut bytes = stored.body.to_vec();
    bytes.drain(revision_at..revision_at + stored.revision.to_string().len());
    Some(Unsealed { bytes, revision_at })
}
