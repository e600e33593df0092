//! The review kinds and the token subresource, as the registry serves what is answered and not stored.

use super::token_request::TokenRequests;
use super::{access, identity};
use crate::authn::TokenAuthenticator;
use crate::authn::issuer::Issuer;
use crate::authz::Authorizer;
use crate::authz::rbac::Rbac;
use crate::backend::Backend;
use crate::registry::resource::Target;
use crate::registry::special::{SpecialResource, Specials};
use crate::request::RequestCx;
use apimachinery::clock::Clock;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use std::sync::Arc;

/// What the answers are made from.
#[derive(Clone)]
pub struct Deps {
    pub authorizer: Arc<dyn Authorizer>,
    pub rbac: Arc<Rbac>,
    /// Every token scheme, for `TokenReview`.
    pub tokens: Arc<dyn TokenAuthenticator>,
    pub issuer: Arc<Issuer>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Clone, Copy)]
enum Kind {
    SubjectAccess,
    SelfSubjectAccess,
    LocalSubjectAccess,
    SelfSubjectRules,
    Token,
    SelfSubject,
    TokenRequest,
}

/// By resource and subresource.
const KINDS: [(&str, &str, Kind); 7] = [
    ("subjectaccessreviews.authorization.k8s.io", "", Kind::SubjectAccess),
    ("selfsubjectaccessreviews.authorization.k8s.io", "", Kind::SelfSubjectAccess),
    ("localsubjectaccessreviews.authorization.k8s.io", "", Kind::LocalSubjectAccess),
    ("selfsubjectrulesreviews.authorization.k8s.io", "", Kind::SelfSubjectRules),
    ("tokenreviews.authentication.k8s.io", "", Kind::Token),
    ("selfsubjectreviews.authentication.k8s.io", "", Kind::SelfSubject),
    ("serviceaccounts", "token", Kind::TokenRequest),
];

struct Special {
    kind: Kind,
    deps: Deps,
}

/// All of them.
pub fn specials(deps: &Deps) -> Specials {
    KINDS.iter().fold(Specials::default(), |specials, (resource, subresource, kind)| {
        specials.with(resource, subresource, Arc::new(Special { kind: *kind, deps: deps.clone() }))
    })
}

#[async_trait]
impl SpecialResource for Special {
    async fn create(
        &self,
        cx: &RequestCx,
        backend: &Backend,
        target: &Target,
        object: Object,
        _dry_run: bool,
    ) -> Result<Object, Status> {
        let deps = &self.deps;
        let authorizer = &*deps.authorizer;
        match self.kind {
            Kind::SubjectAccess => access::subject(authorizer, object).await,
            Kind::SelfSubjectAccess => access::self_subject(cx, authorizer, object).await,
            Kind::LocalSubjectAccess => access::local(authorizer, &target.namespace, object).await,
            Kind::SelfSubjectRules => access::self_subject_rules(cx, &deps.rbac, object),
            Kind::Token => identity::token_review(&*deps.tokens, deps.issuer.audiences(), object).await,
            Kind::SelfSubject => Ok(identity::self_subject_review(cx, deps.clock.now(), object)),
            Kind::TokenRequest => {
                let requests = TokenRequests { issuer: &deps.issuer, backend, clock: &*deps.clock };
                requests.issue(cx, &target.namespace, &target.name, object).await
            }
        }
    }
}
