//! A body before and after the store has dated it.

use crate::{Key, Revision};
use bytes::Bytes;

/// A body whose `resourceVersion` is not known yet: the store writes the revision's digits at `revision_at`
/// when it assigns them, so that what is stored is the very JSON that clients get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsealed {
    pub bytes: Vec<u8>,
    /// The byte offset at which the digits are inserted, at most `bytes.len()`: between the quotes of
    /// `"resourceVersion":""`.
    pub revision_at: usize,
}

impl Unsealed {
    /// Whether the digits have a place in the body; a store refuses what is not.
    pub(crate) fn is_sound(&self) -> bool {
        self.revision_at <= self.bytes.len()
    }

    /// The body as it is stored. An offset beyond the end counts as the end.
    pub fn seal(&self, revision: Revision) -> Bytes {
        let digits = revision.to_string();
        let (head, tail) = self.bytes.split_at(self.revision_at.min(self.bytes.len()));
        let mut sealed = Vec::with_capacity(self.bytes.len() + digits.len());
        sealed.extend_from_slice(head);
        sealed.extend_from_slice(digits.as_bytes());
        sealed.extend_from_slice(tail);
        Bytes::from(sealed)
    }
}

/// An object as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub key: Key,
    pub revision: Revision,
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sealing_inserts_the_digits_and_nothing_else(bytes: Vec<u8>, at: usize, revision: u64) {
            let body = Unsealed { revision_at: at % (bytes.len() + 1), bytes };
            let sealed = body.seal(Revision(revision));
            let digits = revision.to_string();
            prop_assert_eq!(&sealed[body.revision_at..body.revision_at + digits.len()], digits.as_bytes());
            prop_assert_eq!(&sealed[..body.revision_at], &body.bytes[..body.revision_at]);
            prop_assert_eq!(&sealed[body.revision_at + digits.len()..], &body.bytes[body.revision_at..]);
        }
    }
}
