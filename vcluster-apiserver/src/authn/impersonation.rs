//! Acting as somebody else (k8s.io/apiserver `pkg/endpoints/filters/impersonation`, KEP-5284).
//!
//! Every part of the wanted identity is authorized by itself before any of it takes effect. Constrained impersonation is
//! tried first, mode by mode: it needs a right to the identity, `impersonate:MODE`, and one to do just this request with
//! it, `impersonate-on:MODE:VERB`. The verb `impersonate` of old allows everything at once and comes last.

use super::{front_proxy, user};
use crate::authz::{Attributes, Authorizer, Decision, forbidden};
use crate::request::UserInfo;
use apimachinery::Status;
use http::HeaderMap;
use std::collections::BTreeMap;
use std::sync::Arc;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";

const AUTHENTICATION: &str = "authentication.k8s.io";
/// From so many groups or extra values on, the right to all of them is asked about first.
const MANY: usize = 4;

/// The modes of constrained impersonation, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    /// The verb `impersonate`, without constraint.
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// Whom a request acts as, and the verb that allowed it; that is empty for impersonation without constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    pub user: UserInfo,
    pub constraint: String,
}

/// The user whom the headers ask to act as; none when they ask for nobody. 403 when the caller may not, with what the first
/// mode that applies had to say. `request`: what the caller wants to do as that user.
pub async fn impersonate(
    request: &Attributes,
    headers: &HeaderMap,
    authorizer: &dyn Authorizer,
) -> Result<Option<Acting>, Status> {
    let Some(wanted) = wanted(headers)? else { return Ok(None) };
    let mut first = None;
    for mode in MODES.into_iter().filter(|mode| mode.applies(&wanted, &request.user)) {
        match mode.check(&wanted, request, authorizer).await {
            Ok(user) => {
                let constraint = if mode == Mode::Legacy { String::new() } else { mode.verb() };
                return Ok(Some(Acting { user, constraint }));
            }
            Err(status) => first = first.or(Some(status)),
        }
    }
    Err(first.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>, Status> {
    let first = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let groups = headers.get_all(GROUP).iter().map(|v| v.to_str().unwrap_or_default().to_owned()).collect();
    let wanted =
        UserInfo { name: first(USER), uid: first(UID), groups, extra: front_proxy::extra(headers, EXTRA_PREFIX) };
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == UserInfo::default() {
        return Ok(None);
    }
    // Upstream prints its own type.
    let UserInfo { uid, groups, .. } = &wanted;
    let groups = groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>().join(", ");
    let extra = wanted.extra.iter().map(|(key, values)| {
        let values = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
        format!("{key:?}:[]string{{{values}}}")
    });
    let extra = extra.collect::<Vec<_>>().join(", ");
    let extra = if extra.is_empty() { "(nil)".to_owned() } else { format!("{{{extra}}}") };
    Err(Status::bad_request(format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:[]string{{{groups}}}, Extra:map[string][]string{extra}}} \
         without impersonating a user name"
    )))
}

/// The node of a node's user name, whatever its groups.
fn node(name: &str) -> Option<&str> {
    name.strip_prefix(user::NODE_PREFIX).filter(|node| !node.is_empty())
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        if self == Self::Legacy { "impersonate".to_owned() } else { format!("impersonate:{}", self.name()) }
    }

    /// Whether the mode is for such an identity at all. Nodes and service accounts are wanted by their name alone.
    fn applies(self, wanted: &UserInfo, caller: &UserInfo) -> bool {
        let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let account = user::split_service_account(&wanted.name).is_some();
        match self {
            Self::AssociatedNode => {
                // A service account's pod may be its own node, as its token says which that is.
                let own = caller.extra.get(user::NODE_NAME).map(Vec::as_slice);
                let is_own = matches!((own, node(&wanted.name)), (Some([own]), Some(node)) if own == node);
                only_name && is_own && user::split_service_account(&caller.name).is_some()
            }
            Self::ArbitraryNode => only_name && node(&wanted.name).is_some(),
            Self::ServiceAccount => only_name && account,
            Self::UserInfo => !account && node(&wanted.name).is_none(),
            Self::Legacy => true,
        }
    }

    async fn check(
        self,
        wanted: &UserInfo,
        request: &Attributes,
        authorizer: &dyn Authorizer,
    ) -> Result<UserInfo, Status> {
        let caller = self.caller(&request.user);
        if self != Self::Legacy {
            let verb = format!("impersonate-on:{}:{}", self.name(), request.verb);
            allowed(&Attributes { user: caller.clone(), verb, ..request.clone() }, authorizer).await?;
        }
        let questions = Questions { mode: self, caller, authorizer };
        let mut acting = wanted.clone();
        questions.name(wanted, &mut acting).await?;
        if !wanted.uid.is_empty() {
            allowed(&questions.about(AUTHENTICATION, "uids", &wanted.uid), authorizer).await?;
        }
        questions.groups(&wanted.groups).await?;
        questions.extra(&wanted.extra).await?;
        let group = match acting.name.as_str() {
            user::ANONYMOUS => user::UNAUTHENTICATED,
            _ if acting.in_group(user::UNAUTHENTICATED) => return Ok(acting),
            _ => user::AUTHENTICATED,
        };
        if !acting.in_group(group) {
            acting.groups.push(group.to_owned());
        }
        Ok(acting)
    }

    /// Who asks. A decision about a caller's own node holds for every node of its account, so that it must not depend on
    /// what else its token says.
    fn caller(self, caller: &Arc<UserInfo>) -> Arc<UserInfo> {
        if self != Self::AssociatedNode {
            return caller.clone();
        }
        let keys = caller.extra.keys().cloned().collect();
        let extra = BTreeMap::from([("authentication.kubernetes.io/associated-node-keys".to_owned(), keys)]);
        Arc::new(UserInfo { extra, ..(**caller).clone() })
    }
}

async fn allowed(question: &Attributes, authorizer: &dyn Authorizer) -> Result<(), Status> {
    match authorizer.authorize(question).await {
        Decision::Allow => Ok(()),
        Decision::Deny(why) | Decision::NoOpinion(why) => Err(forbidden(question, &why)),
    }
}

/// What is asked about an identity in one mode.
struct Questions<'a> {
    mode: Mode,
    caller: Arc<UserInfo>,
    authorizer: &'a dyn Authorizer,
}

impl Questions<'_> {
    fn constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    fn about(&self, group: &str, resource: &str, name: &str) -> Attributes {
        Attributes {
            user: self.caller.clone(),
            verb: self.mode.verb(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            name: name.into(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    /// Users and groups are of the core group in the rights of old.
    fn group(&self) -> &'static str {
        if self.constrained() { AUTHENTICATION } else { "" }
    }

    async fn name(&self, wanted: &UserInfo, acting: &mut UserInfo) -> Result<(), Status> {
        let mut question = self.about(self.group(), "users", &wanted.name);
        if let Some(node) = node(&wanted.name).filter(|_| self.constrained()) {
            // A right to the own node is a right to whichever that is.
            let name = if self.mode == Mode::AssociatedNode { "*" } else { node };
            question = self.about(self.group(), "nodes", name);
            acting.groups = vec![user::NODES.to_owned()];
        } else if let Some((namespace, name)) = user::split_service_account(&wanted.name) {
            question = self.about(self.group(), "serviceaccounts", name);
            question.namespace = namespace.to_owned();
            if wanted.groups.is_empty() {
                acting.groups = user::service_account_groups(namespace);
            }
        }
        allowed(&question, self.authorizer).await
    }

    async fn groups(&self, groups: &[String]) -> Result<(), Status> {
        if self.constrained() {
            for (forbidden_group, what) in [("", "empty string"), (user::MASTERS, user::MASTERS)] {
                if groups.iter().any(|group| group == forbidden_group) {
                    let question = self.about(self.group(), "groups", forbidden_group);
                    return Err(forbidden(&question, &format!("impersonating the {what} group is not allowed")));
                }
            }
            let all = self.about(self.group(), "groups", "*");
            if groups.len() >= MANY && allowed(&all, self.authorizer).await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            allowed(&self.about(self.group(), "groups", group), self.authorizer).await?;
        }
        Ok(())
    }

    async fn extra(&self, extra: &BTreeMap<String, Vec<String>>) -> Result<(), Status> {
        let question = |key: &str, value: &str| Attributes {
            subresource: key.to_owned(),
            ..self.about(AUTHENTICATION, "userextras", value)
        };
        if self.constrained() {
            if let Some(why) = extra.iter().find_map(|(key, values)| wrong_extra(key, values)) {
                return Err(forbidden(&question("", ""), &why));
            }
            let count = extra.values().map(Vec::len).sum::<usize>().max(extra.len());
            if count >= MANY && allowed(&question("*", "*"), self.authorizer).await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                allowed(&question(key, value), self.authorizer).await?;
            }
        }
        Ok(())
    }
}

/// Why an extra cannot be impersonated under constraint: its key must be a path under a domain.
fn wrong_extra(key: &str, values: &[String]) -> Option<String> {
    let why = match key.split_once('/') {
        _ if key.is_empty() => "the empty string key".to_owned(),
        _ if key != key.to_lowercase() => format!("a non-lowercase key {key:?}"),
        Some((domain, path)) if is_subdomain(domain) && is_path(path) => match values {
            [] => "empty values".to_owned(),
            values if values.iter().any(String::is_empty) => "the empty string value".to_owned(),
            _ => return None,
        },
        _ => format!("the invalid key {key:?}, which must be a domain and a path,"),
    };
    Some(format!("impersonating {why} in extra is not allowed"))
}

fn is_subdomain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= 253
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-'))
}

fn is_path(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:@".contains(c);
    !text.is_empty() && text.chars().all(allowed)
}

/// Takes the headers away once they took effect.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|n| n.as_str().starts_with("impersonate-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
#[path = "impersonation_tests.rs"]
mod tests;
