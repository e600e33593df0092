//! The providers of a resource, in order: the first writes, all read (k8s.io/apiserver `pkg/storage/value/transformer.go`).

use super::cipher::{self, Cipher};

/// Every encrypted body begins so; no JSON object does.
const PREFIX: &[u8] = b"k8s:enc:";

/// One provider and its keys.
#[derive(Debug)]
pub enum Provider {
    /// Bodies as they are.
    Identity,
    Keys {
        /// `aesgcm`, `aescbc` or `secretbox`.
        name: &'static str,
        /// By name; the first one writes.
        keys: Vec<(String, Cipher)>,
    },
}

/// See the module. Never empty.
#[derive(Debug)]
pub struct Providers(Vec<Provider>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("it is encrypted, and no provider is configured for its resource")]
    Unconfigured,
    #[error("it is not encrypted, and no provider reads such bodies")]
    Plain,
    #[error("no provider is configured for what it begins with")]
    Unknown,
    #[error("it is damaged")]
    Broken,
    #[error("key {key} of {provider}: {source}")]
    Key { provider: &'static str, key: String, source: cipher::Error },
}

/// Whether a stored body went through a cipher.
pub fn is_encrypted(body: &[u8]) -> bool {
    body.starts_with(PREFIX)
}

impl Providers {
    /// None without any.
    pub fn new(providers: Vec<Provider>) -> Option<Self> {
        (!providers.is_empty()).then_some(Self(providers))
    }

    pub fn current_is_plain(&self) -> bool {
        matches!(self.0.first(), Some(Provider::Identity))
    }

    pub fn reads_plain(&self) -> bool {
        self.0.iter().any(|provider| matches!(provider, Provider::Identity))
    }

    /// None when the first provider leaves bodies as they are.
    pub fn seal(&self, plain: &[u8], place: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(Provider::Keys { name, keys }) = self.0.first() else { return Ok(None) };
        let Some((key, cipher)) = keys.first() else { return Ok(None) };
        let sealed =
            cipher.seal(plain, place).map_err(|source| Error::Key { provider: name, key: key.clone(), source })?;
        let mut out = format!("k8s:enc:{name}:v1:{key}:").into_bytes();
        out.extend_from_slice(&sealed);
        Ok(Some(out))
    }

    /// The body, and whether another than the first key of the first provider opened it. A key that fails does not keep
    /// the next one of the same name from being tried.
    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<(Vec<u8>, bool), Error> {
        let mut failure = Error::Unknown;
        for (index, provider) in self.0.iter().enumerate() {
            let Provider::Keys { name, keys } = provider else { continue };
            let prefix = format!("k8s:enc:{name}:v1:");
            let Some(rest) = sealed.strip_prefix(prefix.as_bytes()) else { continue };
            for (number, (key, cipher)) in keys.iter().enumerate() {
                let Some(rest) = rest.strip_prefix(key.as_bytes()).and_then(|r| r.strip_prefix(b":")) else { continue };
                match cipher.open(rest, place) {
                    Ok(plain) => return Ok((plain, index > 0 || number > 0)),
                    Err(source) => failure = Error::Key { provider: name, key: key.clone(), source },
                }
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(name: &'static str, list: &[(&str, u8)]) -> Provider {
        let cipher = |byte: u8| match name {
            "aesgcm" => Cipher::gcm(&[byte; 32]),
            "aescbc" => Cipher::cbc(&[byte; 32]),
            _ => Cipher::secretbox(&[byte; 32]),
        };
        let keys = list.iter().map(|(name, byte)| ((*name).to_owned(), cipher(*byte).unwrap())).collect();
        Provider::Keys { name, keys }
    }

    fn providers(list: Vec<Provider>) -> Providers {
        Providers::new(list).unwrap()
    }

    // Upstream's cases: transformer_test.go and aes_test.go, TestGCMKeyRotation, TestCBCKeyRotation.
    #[test]
    fn keys_rotate() {
        for name in ["aesgcm", "aescbc", "secretbox"] {
            let old = providers(vec![keys(name, &[("1", 1)])]);
            let sealed = old.seal(b"text", b"here").unwrap().unwrap();
            assert!(sealed.starts_with(format!("k8s:enc:{name}:v1:1:").as_bytes()));
            for (now, stale) in [
                (vec![keys(name, &[("1", 1)])], Some(false)),
                (vec![keys(name, &[("2", 2), ("1", 1)])], Some(true)),
                (vec![keys(name, &[("2", 2)]), keys(name, &[("1", 1)])], Some(true)),
                (vec![Provider::Identity, keys(name, &[("1", 1)])], Some(true)),
                (vec![keys(name, &[("2", 2)])], None),
                (vec![Provider::Identity], None),
            ] {
                let opened = providers(now).open(&sealed, b"here").ok();
                assert_eq!(opened, stale.map(|stale| (b"text".to_vec(), stale)), "{name}");
            }
        }
        // The same name with another secret: the next one is tried.
        let sealed = providers(vec![keys("aesgcm", &[("1", 1)])]).seal(b"text", b"").unwrap().unwrap();
        let both = providers(vec![keys("aesgcm", &[("1", 9)]), keys("aesgcm", &[("1", 1)])]);
        assert_eq!(both.open(&sealed, b"").unwrap().0, b"text");
    }

    proptest! {
        #[test]
        fn no_bytes_make_opening_panic(rest: Vec<u8>, prefix in "(k8s:enc:(aesgcm|aescbc|secretbox):v1:1?:?)?") {
            let all = providers(vec![keys("aesgcm", &[("1", 1)]), keys("aescbc", &[("1", 1)]), keys("secretbox", &[("1", 1)])]);
            let _ = all.open(&[prefix.as_bytes(), &rest].concat(), b"");
        }
    }
}
