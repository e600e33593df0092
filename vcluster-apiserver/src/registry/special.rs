//! What is answered and not stored: reviews, token requests. The seam for whoever knows the answers.

use super::resource::Target;
use crate::backend::Backend;
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;

/// A resource or subresource that only answers a POST.
#[async_trait]
pub trait SpecialResource: Send + Sync {
    /// The decoded and admitted object of the request to the object of the answer.
    async fn create(
        &self,
        cx: &RequestCx,
        backend: &Backend,
        target: &Target,
        object: Object,
        dry_run: bool,
    ) -> Result<Object, Status>;
}

/// Special resources by `resource.group` and subresource (`serviceaccounts` and `token`; `tokenreviews.authentication.k8s.io`
/// and the empty string).
#[derive(Clone, Default)]
pub struct Specials(HashMap<(String, String), Arc<dyn SpecialResource>>);

impl Specials {
    #[must_use]
    pub fn with(mut self, resource: &str, subresource: &str, special: Arc<dyn SpecialResource>) -> Self {
        self.0.insert((resource.to_owned(), subresource.to_owned()), special);
        self
    }

    pub fn get(&self, target: &Target) -> Option<&Arc<dyn SpecialResource>> {
        self.0.get(&(target.resource.group_resource().to_string(), target.subresource.clone()))
    }
}
