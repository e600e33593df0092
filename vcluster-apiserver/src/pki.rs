//! Keys, certificates and documents about them: the cluster's authority, serving and client certificates, kubeconfigs,
//! service account signing keys, JWKS.
//!
//! Everything is made in memory and held as PEM text by the caller; nothing here reads or writes files. Keys that are
//! made here are P-256; RSA keys are read, signed with and verified against, because existing clusters bring them.

pub mod authority;
pub mod certificate;
mod der;
pub mod jwks;
pub mod key;
pub mod kubeconfig;
pub mod pem;
pub mod tls;

pub use authority::{Authority, Issued};
pub use certificate::{Profile, Subject, Usage};
pub use key::{PrivateKey, PublicKey};
pub use kubeconfig::{Credentials, Kubeconfig};

/// What can be wrong with key material.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The PEM text holds no block of the wanted kind, or one that is not base64.
    #[error("no usable {wanted} in the PEM text")]
    Pem { wanted: &'static str },
    /// The DER inside is not what its label says, or of an algorithm that is not supported.
    #[error("the {subject} cannot be read: {why}")]
    Unreadable { subject: &'static str, why: String },
    /// A certificate and a key that were given together do not belong together.
    #[error("the certificate of the authority does not belong to its private key")]
    Mismatch,
    /// The crypto provider refused an operation that only fails without randomness or memory.
    #[error("the crypto provider failed to {operation}")]
    Crypto { operation: &'static str },
    #[error("TLS cannot be configured")]
    Tls(#[from] rustls::Error),
}
