//! Client certificates (k8s.io/apiserver `pkg/authentication/request/x509`).
//!
//! The handshake proved possession of the key; here the chain is verified against the client authorities, for client
//! use, now. The common name is the user, the organizations its groups.

use super::{Authenticator, Outcome, Peer, user};
use crate::pki::certificate::USER_UID;
use crate::request::UserInfo;
use apimachinery::clock::Clock;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// How long a verified chain is believed without verifying it again; never beyond the leaf's own end.
const BELIEF: SignedDuration = SignedDuration::from_mins(5);
/// Verified chains that are remembered; when more come, all are forgotten.
const REMEMBERED: usize = 1024;

/// Verifies chains against a set of authorities.
pub struct Verifier {
    authorities: Vec<CertificateDer<'static>>,
    clock: Arc<dyn Clock>,
}

/// What a verified leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub user: UserInfo,
    pub not_after: Timestamp,
}

impl Verifier {
    pub fn new(authorities: Vec<CertificateDer<'static>>, clock: Arc<dyn Clock>) -> Self {
        Self { authorities, clock }
    }

    /// The leaf of a chain that leads to one of the authorities; the error says what is wrong with it.
    pub fn verify(&self, chain: &[Vec<u8>]) -> Result<Leaf, String> {
        let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
        let anchors: Vec<_> =
            self.authorities.iter().filter_map(|a| webpki::anchor_from_trusted_cert(a).ok()).collect();
        let intermediates: Vec<_> = intermediates.iter().map(|c| CertificateDer::from(c.as_slice())).collect();
        let now = self.clock.now();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().max(0) as u64));
        let der = CertificateDer::from(leaf.as_slice());
        let failed = |e: webpki::Error| format!("verifying the client certificate failed: {e}");
        webpki::EndEntityCert::try_from(&der)
            .map_err(failed)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &intermediates,
                time,
                webpki::KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(failed)?;
        read_leaf(leaf)
    }
}

fn read_leaf(der: &[u8]) -> Result<Leaf, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(|e| e.to_string())?;
    let subject = parsed.subject();
    let text = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| a.as_str().unwrap_or_default().to_owned();
    let uid_oid = x509_parser::der_parser::oid::Oid::from(&USER_UID.map_to_u64()).map_err(|_| "uid attribute")?;
    let uids: Vec<String> = subject.iter_by_oid(&uid_oid).map(text).collect();
    if uids.len() > 1 {
        return Err(format!("expected 1 UID, but found multiple: {uids:?}"));
    }
    let mut fingerprint = "X509SHA256=".to_owned();
    for byte in Sha256::digest(der) {
        let _ = write!(fingerprint, "{byte:02x}");
    }
    let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|e| e.to_string())?;
    let user = UserInfo {
        // Go keeps the last common name of a subject that has several.
        name: subject.iter_common_name().last().map(text).unwrap_or_default(),
        uid: uids.into_iter().next().unwrap_or_default(),
        groups: subject.iter_organization().map(text).collect(),
        extra: [(user::CREDENTIAL_ID.to_owned(), vec![fingerprint])].into(),
    };
    Ok(Leaf { user, not_after })
}

/// The arcs in the width that the parser wants.
trait Arcs {
    fn map_to_u64(&self) -> Vec<u64>;
}

impl Arcs for [u32] {
    fn map_to_u64(&self) -> Vec<u64> {
        self.iter().map(|arc| u64::from(*arc)).collect()
    }
}

/// The scheme of client certificates.
pub struct ClientCertificates {
    verifier: Verifier,
    /// Verified chains by their hash, and until when they are believed.
    believed: Mutex<HashMap<[u8; 32], (Timestamp, UserInfo)>>,
}

impl ClientCertificates {
    pub fn new(authorities: Vec<CertificateDer<'static>>, clock: Arc<dyn Clock>) -> Self {
        Self { verifier: Verifier::new(authorities, clock), believed: Mutex::default() }
    }

    fn judge(&self, chain: &[Vec<u8>]) -> Result<UserInfo, String> {
        let digest: [u8; 32] = chain.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into();
        let now = self.verifier.clock.now();
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, user)) = believed.get(&digest)
            && now < *until
        {
            return Ok(user.clone());
        }
        let leaf = self.verifier.verify(chain)?;
        if believed.len() >= REMEMBERED {
            believed.clear();
        }
        let until = now.saturating_add(BELIEF).unwrap_or(now).min(leaf.not_after);
        believed.insert(digest, (until, leaf.user.clone()));
        Ok(leaf.user)
    }
}

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(&self, peer: &Peer, _: &http::HeaderMap) -> Outcome {
        if peer.certificates.is_empty() {
            return Outcome::NotRequested;
        }
        match self.judge(&peer.certificates) {
            Ok(user) if user.name.is_empty() => Outcome::NotRequested,
            Ok(user) => Outcome::Authenticated { user, audiences: Vec::new() },
            Err(why) => Outcome::Failed(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Profile, Subject, Usage};
    use apimachinery::clock::FixedClock;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    struct World {
        clock: Arc<FixedClock>,
        authority: Authority,
        scheme: ClientCertificates,
    }

    fn world() -> World {
        let clock = Arc::new(FixedClock::new(1_800_000_000));
        let authority = Authority::generate("kubernetes", clock.now()).unwrap();
        let scheme = ClientCertificates::new(vec![authority.certificate().clone()], clock.clone());
        World { clock, authority, scheme }
    }

    async fn ask(world: &World, certificate: &[u8]) -> Outcome {
        let peer = Peer { certificates: Arc::new(vec![certificate.to_vec()]), ..Peer::default() };
        world.scheme.authenticate(&peer, &http::HeaderMap::new()).await
    }

    #[tokio::test]
    async fn the_subject_names_user_groups_and_uid() {
        let world = world();
        let subject = Subject { uid: "u-1".into(), ..Subject::new("jane", &["dev", "ops"]) };
        let profile = Profile { subject, usage: Usage::Client, lifetime: HOUR };
        let issued = world.authority.issue(&profile, world.clock.now()).unwrap();
        let Outcome::Authenticated { user, .. } = ask(&world, &issued.certificate).await else { panic!("refused") };
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u-1"));
        assert_eq!(user.groups, ["dev", "ops"]);
        assert!(user.extra[user::CREDENTIAL_ID][0].starts_with("X509SHA256="));
    }

    #[tokio::test]
    async fn foreign_expired_and_misused_certificates_are_refused() {
        let world = world();
        let foreign = Authority::generate("kubernetes", world.clock.now()).unwrap();
        let foreign = foreign.issue_client("jane", &["system:masters"], HOUR, world.clock.now()).unwrap();
        assert!(matches!(ask(&world, &foreign.certificate).await, Outcome::Failed(_)));

        let server = world.authority.issue_server("jane", &["a".into()], HOUR, world.clock.now()).unwrap();
        assert!(matches!(ask(&world, &server.certificate).await, Outcome::Failed(_)));

        let client = world.authority.issue_client("jane", &[], HOUR, world.clock.now()).unwrap();
        assert!(matches!(ask(&world, &client.certificate).await, Outcome::Authenticated { .. }));
        world.clock.advance(std::time::Duration::from_secs(3601));
        assert!(matches!(ask(&world, &client.certificate).await, Outcome::Failed(_)));
        assert!(matches!(ask(&world, b"no certificate").await, Outcome::Failed(_)));
    }

    #[tokio::test]
    async fn no_certificate_and_no_common_name_are_no_credentials() {
        let world = world();
        let nobody = world.scheme.authenticate(&Peer::default(), &http::HeaderMap::new()).await;
        assert_eq!(nobody, Outcome::NotRequested);
        let unnamed = world.authority.issue_client("", &["dev"], HOUR, world.clock.now()).unwrap();
        assert_eq!(ask(&world, &unnamed.certificate).await, Outcome::NotRequested);
    }
}
