//! Authorizers in order: the first that allows or denies decides. Members of `system:masters` are never asked about.

use super::{Attributes, Authorizer, Decision};
use crate::authn::user::MASTERS;
use async_trait::async_trait;
use std::sync::Arc;

pub struct Union {
    authorizers: Vec<Arc<dyn Authorizer>>,
}

impl Union {
    /// Upstream's order in practice: node, then RBAC.
    pub fn new(authorizers: Vec<Arc<dyn Authorizer>>) -> Self {
        Self { authorizers }
    }
}

#[async_trait]
impl Authorizer for Union {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group(MASTERS) {
            return Decision::Allow;
        }
        let mut reasons = Vec::new();
        for authorizer in &self.authorizers {
            match authorizer.authorize(attributes).await {
                Decision::NoOpinion(why) if why.is_empty() => {}
                Decision::NoOpinion(why) => reasons.push(why),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    async fn explain(&self, attributes: &Attributes) -> (Decision, String) {
        if attributes.user.in_group(MASTERS) {
            return (Decision::Allow, String::new());
        }
        let mut reasons = Vec::new();
        for authorizer in &self.authorizers {
            match authorizer.explain(attributes).await {
                (Decision::NoOpinion(_), why) => reasons.extend((!why.is_empty()).then_some(why)),
                decided => return decided,
            }
        }
        let why = reasons.join("\n");
        (Decision::NoOpinion(why.clone()), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::UserInfo;

    struct Says(Decision);

    #[async_trait]
    impl Authorizer for Says {
        async fn authorize(&self, _: &Attributes) -> Decision {
            self.0.clone()
        }
    }

    #[tokio::test]
    async fn the_first_opinion_decides() {
        let none = |why: &str| Decision::NoOpinion(why.into());
        let deny = || Decision::Deny("no".into());
        let cases = [
            (vec![none("a"), none(""), none("b")], none("a\nb")),
            (vec![none("a"), Decision::Allow, deny()], Decision::Allow),
            (vec![deny(), Decision::Allow], deny()),
        ];
        for (says, wanted) in cases {
            let union = Union::new(says.into_iter().map(|d| Arc::new(Says(d)) as Arc<dyn Authorizer>).collect());
            assert_eq!(union.authorize(&Attributes::default()).await, wanted);
            let masters = UserInfo { groups: vec![MASTERS.into()], ..UserInfo::default() };
            let attributes = Attributes { user: Arc::new(masters), ..Attributes::default() };
            assert_eq!(union.authorize(&attributes).await, Decision::Allow);
        }
    }
}
