//! Identity that a trusted proxy asserts in headers (k8s.io/apiserver `pkg/authentication/request/headerrequest`).
//!
//! Headers count only on a connection whose client certificate the front proxy's own authority signed.

use super::{Authenticator, Outcome, Peer, x509::Verifier};
use crate::request::UserInfo;
use async_trait::async_trait;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA_PREFIX: &str = "x-remote-extra-";

/// The scheme of the aggregation layer's headers, under upstream's usual names.
pub struct FrontProxy {
    verifier: Verifier,
    /// Common names that the proxy's certificate may have; empty allows any that the authority signed.
    allowed_names: Vec<String>,
}

impl FrontProxy {
    pub fn new(verifier: Verifier, allowed_names: Vec<String>) -> Self {
        Self { verifier, allowed_names }
    }
}

#[async_trait]
impl Authenticator for FrontProxy {
    async fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Outcome {
        if peer.certificates.is_empty() {
            return Outcome::NotRequested;
        }
        let Some(name) = headers.get(USER).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty()) else {
            return Outcome::NotRequested;
        };
        let proxy = match self.verifier.verify(&peer.certificates) {
            Ok(leaf) => leaf.user.name,
            Err(why) => return Outcome::Failed(why),
        };
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&proxy) {
            return Outcome::Failed(format!("x509: subject with cn={proxy} is not in the allowed list"));
        }
        let text = |v: &http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
        let user = UserInfo {
            name: name.to_owned(),
            uid: headers.get(UID).map(text).unwrap_or_default(),
            groups: headers.get_all(GROUP).iter().map(text).filter(|g| !g.is_empty()).collect(),
            extra: extra(headers, EXTRA_PREFIX),
        };
        Outcome::Authenticated { user, audiences: Vec::new() }
    }
}

/// Every header that begins with `prefix`, the rest of its name percent-decoded as the key.
pub(super) fn extra(headers: &HeaderMap, prefix: &str) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(encoded) = name.as_str().strip_prefix(prefix) else { continue };
        let key = percent_decode_str(encoded).decode_utf8().map_or_else(|_| encoded.to_owned(), Into::into);
        extra.entry(key).or_default().push(value.to_str().unwrap_or_default().to_owned());
    }
    extra
}

/// Takes the asserted identity away, so that no backend believes it a second time.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|n| n.as_str().starts_with("x-remote-")).cloned().collect();
    for name in names {
        let known = [USER, UID, GROUP].contains(&name.as_str()) || name.as_str().starts_with(EXTRA_PREFIX);
        if known {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;
    use apimachinery::clock::{Clock, FixedClock};
    use std::sync::Arc;

    fn headers() -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(USER, "jane".parse().unwrap());
        map.append(GROUP, "a".parse().unwrap());
        map.append(GROUP, "b".parse().unwrap());
        map.insert("x-remote-extra-acme.com%2fproject", "p".parse().unwrap());
        map
    }

    #[tokio::test]
    async fn headers_count_only_with_the_proxys_certificate() {
        let clock = Arc::new(FixedClock::new(1_800_000_000));
        let (proxy_ca, client_ca) =
            (Authority::generate("front", clock.now()).unwrap(), Authority::generate("client", clock.now()).unwrap());
        let verifier = Verifier::new(vec![proxy_ca.certificate().clone()], clock.clone());
        let scheme = FrontProxy::new(verifier, vec!["aggregator".into()]);
        let hour = jiff::SignedDuration::from_hours(1);
        let with = |ca: &Authority, name: &str| Peer {
            certificates: Arc::new(vec![ca.issue_client(name, &[], hour, clock.now()).unwrap().certificate.to_vec()]),
            ..Peer::default()
        };
        let Outcome::Authenticated { user, .. } = scheme.authenticate(&with(&proxy_ca, "aggregator"), &headers()).await
        else {
            panic!("refused");
        };
        assert_eq!((user.name.as_str(), user.groups.len()), ("jane", 2));
        assert_eq!(user.extra["acme.com/project"], ["p"]);
        for peer in [with(&client_ca, "aggregator"), with(&proxy_ca, "other")] {
            assert!(matches!(scheme.authenticate(&peer, &headers()).await, Outcome::Failed(_)));
        }
        assert_eq!(scheme.authenticate(&Peer::default(), &headers()).await, Outcome::NotRequested);
    }

    #[test]
    fn asserted_identity_is_stripped() {
        let mut map = headers();
        map.insert("x-other", "stays".parse().unwrap());
        strip(&mut map);
        assert_eq!(map.len(), 1);
    }
}
