//! What a translator answers.

/// Whether a tenant's object has a copy on the host, and which.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<T> {
    /// The host must show this.
    Sync(T),
    /// The object does not concern the host, now or ever; a copy that is there stays as it is.
    Skip(&'static str),
    /// The host must not have a copy.
    Delete(&'static str),
}
