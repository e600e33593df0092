//! Which posted kinds are answered and by what.

use apimachinery::clock::Clock;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use std::sync::Arc;
use vcluster_apiserver::authn::bearer::Bearer;
use vcluster_apiserver::authn::issuer::Issuer;
use vcluster_apiserver::authz::Authorizer;
use vcluster_apiserver::authz::rbac::Rbac;
use vcluster_apiserver::backend::Backend;
use vcluster_apiserver::registry::resource::Target;
use vcluster_apiserver::registry::special::{SpecialResource, Specials};
use vcluster_apiserver::request::RequestCx;
use vcluster_apiserver::reviews::token_request::TokenRequests;
use vcluster_apiserver::reviews::{access, authorization, identity};

/// What the answers are made from.
pub struct Answers {
    pub authorizer: Arc<dyn Authorizer>,
    pub rbac: Arc<Rbac>,
    pub tokens: Arc<Bearer>,
    pub issuer: Arc<Issuer>,
    pub clock: Arc<dyn Clock>,
}

const RESOURCES: [(&str, &str); 7] = [
    ("subjectaccessreviews.authorization.k8s.io", ""),
    ("localsubjectaccessreviews.authorization.k8s.io", ""),
    ("selfsubjectaccessreviews.authorization.k8s.io", ""),
    ("selfsubjectrulesreviews.authorization.k8s.io", ""),
    ("tokenreviews.authentication.k8s.io", ""),
    ("selfsubjectreviews.authentication.k8s.io", ""),
    ("serviceaccounts", "token"),
];

/// One object answers for all of them.
pub fn specials(answers: Answers) -> Specials {
    let answers: Arc<dyn SpecialResource> = Arc::new(answers);
    RESOURCES.iter().fold(Specials::default(), |all, (resource, subresource)| all.with(resource, subresource, answers.clone()))
}

#[async_trait]
impl SpecialResource for Answers {
    async fn create(
        &self,
        cx: &RequestCx,
        backend: &Backend,
        target: &Target,
        object: Object,
        _: bool,
    ) -> Result<Object, Status> {
        if target.subresource == "token" {
            let requests = TokenRequests { issuer: &self.issuer, backend, clock: &*self.clock };
            return requests.issue(cx, &target.namespace, &target.name, object).await;
        }
        let kind = object.gvk().map(|gvk| gvk.kind).unwrap_or_default();
        match kind.as_str() {
            "TokenReview" => identity::token_review(&*self.tokens, self.issuer.audiences(), object).await,
            "SelfSubjectReview" => Ok(identity::self_subject_review(cx, self.clock.now(), object)),
            "SelfSubjectRulesReview" => access::self_subject_rules(cx, &self.rbac, object),
            kind => authorization(cx, &*self.authorizer, kind, &target.namespace, object).await,
        }
    }
}
