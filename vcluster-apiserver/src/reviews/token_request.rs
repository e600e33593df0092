//! `serviceaccounts/token`: a token for a service account, bound to an object and to time
//! (k8s.io/kubernetes `pkg/registry/core/serviceaccount/storage/token.go`, `pkg/apis/authentication/validation`).

use super::{invalid, texts};
use crate::authn::issuer::Issuer;
use crate::authn::user::service_account_name;
use crate::backend::Backend;
use crate::pki::key;
use crate::request::RequestCx;
use apimachinery::clock::Clock;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{GroupResource, Object, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
/// What the projected volumes of pods ask for; such tokens live longer and warn after this.
pub const PROJECTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// What issuing needs beside the request.
pub struct TokenRequests<'a> {
    pub issuer: &'a Issuer,
    pub backend: &'a Backend,
    pub clock: &'a dyn Clock,
}

/// What a token is bound to.
#[derive(Debug, Default)]
struct Binding {
    kind: &'static str,
    name: String,
    uid: String,
    /// Where a bound pod runs; the uid is empty when the node does not exist.
    node: Option<(String, String)>,
}

impl TokenRequests<'_> {
    /// Answers the request with its status filled, or 400, 404, 409, 422 as upstream does. 422 for times and audiences.
    pub async fn issue(
        &self,
        _: &RequestCx,
        namespace: &str,
        name: &str,
        mut request: Object,
    ) -> Result<Object, Status> {
        let metadata = Path::new("metadata");
        for (field, own, what) in [("name", name, "name"), ("namespace", namespace, "namespace")] {
            let given = request.meta_str(field);
            if !given.is_empty() && given != own {
                let detail = format!("must match the service account {what} if specified");
                return Err(invalid(GROUP, KIND, name, &[FieldError::invalid(&metadata.child(field), given, detail)]));
            }
        }
        let account = self.must("serviceaccounts", namespace, name).await?;
        let uid = account.uid().to_owned();
        if !request.uid().is_empty() && request.uid() != uid {
            let why = format!(
                "the UID in the token request ({}) does not match the UID of the service account ({uid})",
                request.uid()
            );
            return Err(Status::conflict(&GroupResource::new(GROUP, KIND), name, why));
        }

        let mut audiences = texts(request.at(&["spec", "audiences"]));
        if audiences.is_empty() {
            audiences = self.issuer.audiences().to_vec();
        }
        let given = request.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64);
        let seconds = given.unwrap_or(DEFAULT_SECONDS);
        let errors = validate(&request, seconds);
        if !errors.is_empty() {
            return Err(invalid(GROUP, KIND, "", &errors));
        }
        let binding = self.binding(namespace, name, &request).await?;

        let now = self.clock.now();
        let own = audiences.iter().all(|a| self.issuer.audiences().contains(a));
        let projected = binding.as_ref().is_some_and(|b| b.kind == "pod") && seconds == PROJECTED_SECONDS && own;
        let lifetime = if projected { EXTENDED_SECONDS } else { seconds };
        let mut private = json!({ "namespace": namespace, "serviceaccount": { "name": name, "uid": uid } });
        if let Some(binding) = &binding {
            private[binding.kind] = json!({ "name": binding.name, "uid": binding.uid });
            if let Some((node, uid)) = &binding.node {
                private["node"] = json!({ "name": node });
                if !uid.is_empty() {
                    private["node"]["uid"] = json!(uid);
                }
            }
        }
        if projected {
            private["warnafter"] = json!(now.as_second() + seconds);
        }
        let claims = json!({
            "aud": audiences,
            "exp": now.as_second() + lifetime,
            "iat": now.as_second(),
            "iss": self.issuer.name(),
            "jti": token_id()?,
            "kubernetes.io": private,
            "nbf": now.as_second(),
            "sub": service_account_name(namespace, name),
        });
        let token =
            self.issuer.sign(&claims).map_err(|e| Status::internal(format!("failed to generate token: {e}")))?;

        request.set_meta_str("name", name);
        request.set_meta_str("namespace", namespace);
        request.set_meta_str("uid", &uid);
        request.set_meta_str("creationTimestamp", &rfc3339(now));
        request.set_at(&["spec", "audiences"], json!(audiences));
        request.set_at(&["spec", "expirationSeconds"], json!(seconds));
        let ends = Timestamp::from_second(now.as_second() + seconds).unwrap_or(Timestamp::MAX);
        request.set_at(&["status"], json!({ "token": token, "expirationTimestamp": rfc3339(ends) }));
        Ok(request)
    }

    async fn must(&self, resource: &str, namespace: &str, name: &str) -> Result<Object, Status> {
        let resource = GroupResource::new("", resource);
        match self.backend.object(&resource, namespace, name).await {
            Ok(Some(object)) => Ok(object),
            Ok(None) => Err(Status::not_found(&resource, name)),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    async fn binding(&self, namespace: &str, account: &str, request: &Object) -> Result<Option<Binding>, Status> {
        let Some(reference) = request.at(&["spec", "boundObjectRef"]).filter(|r| !r.is_null()) else {
            return Ok(None);
        };
        let field = |name: &str| reference.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, name, version) = (field("kind"), field("name"), field("apiVersion"));
        // A version without a group is one of the core group.
        let core = !version.contains('/');
        let (kind, resource, namespace) = match kind {
            "Pod" if core => ("pod", "pods", namespace),
            "Secret" if core => ("secret", "secrets", namespace),
            "Node" if core => ("node", "nodes", ""),
            _ => {
                let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
                let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
                return Err(Status::bad_request(text));
            }
        };
        let object = self.must(resource, namespace, name).await?;
        let mut binding = Binding { kind, name: object.name().to_owned(), uid: object.uid().to_owned(), node: None };
        if kind == "pod" {
            if object.text_at(&["spec", "serviceAccountName"]) != account {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            let node = object.text_at(&["spec", "nodeName"]);
            if !node.is_empty() {
                let uid = match self.must("nodes", "", node).await {
                    Ok(node) => node.uid().to_owned(),
                    Err(status) if status.code == 404 => String::new(),
                    Err(status) => return Err(status),
                };
                binding.node = Some((node.to_owned(), uid));
            }
        }
        let wanted = field("uid");
        if !wanted.is_empty() && wanted != binding.uid {
            let why = format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(&GroupResource::new("", field("kind")), name, why));
        }
        Ok(Some(binding))
    }
}

fn validate(request: &Object, seconds: i64) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec").child("expirationSeconds");
    if seconds < MIN_SECONDS {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > 1 << 32 {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    let attestations = request.at(&["spec", "attestations"]);
    if let Some(value) = attestations.filter(|v| v.as_object().is_some_and(|m| !m.is_empty())) {
        let path = Path::new("spec").child("attestations");
        let why = "attestations may only be specified with a webhook bound object reference";
        return vec![FieldError::invalid(&path, value.clone(), why)];
    }
    errors
}

/// A random UUID (version 4); unlike names, it must not be guessable.
fn token_id() -> Result<String, Status> {
    let bytes = key::random::<16>().map_err(|e| Status::internal(e.to_string()))?;
    let bits = (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
