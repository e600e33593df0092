//! The well-known users and groups, and how service accounts are named as users
//! (k8s.io/apiserver `pkg/authentication/user`, `pkg/authentication/serviceaccount`).

use crate::request::UserInfo;

pub const ANONYMOUS: &str = "system:anonymous";
pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Members may do everything, whatever the roles say.
pub const MASTERS: &str = "system:masters";
pub const NODES: &str = "system:nodes";
pub const NODE_PREFIX: &str = "system:node:";
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Extra keys that say from where a credential came.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
pub const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
pub const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
pub const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// `system:serviceaccount:NAMESPACE:NAME`
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Namespace and name of a service account's user name; none for every other user.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let subdomain = name.len() <= 253 && name.split('.').all(is_label);
    (namespace.len() <= 63 && is_label(namespace) && subdomain).then_some((namespace, name))
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    !text.is_empty() && bytes.iter().all(inner) && bytes.first() != Some(&b'-') && bytes.last() != Some(&b'-')
}

/// The groups every service account of a namespace is in.
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}

/// A service account as a user, without `system:authenticated`.
pub fn service_account(namespace: &str, name: &str, uid: &str) -> UserInfo {
    UserInfo {
        name: service_account_name(namespace, name),
        uid: uid.to_owned(),
        groups: service_account_groups(namespace),
        ..UserInfo::default()
    }
}

/// The node that a user is the kubelet of: user `system:node:NAME` in group `system:nodes`.
pub fn node_of(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX)?;
    user.in_group(NODES).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_account_names_are_split_only_when_well_formed() {
        assert_eq!(split_service_account("system:serviceaccount:ns:a.b"), Some(("ns", "a.b")));
        for bad in [
            "jane",
            "system:serviceaccount:ns",
            "system:serviceaccount:ns:a:b",
            "system:serviceaccount:N:a",
            "system:serviceaccount::a",
            "system:serviceaccount:ns:",
            "system:serviceaccount:ns:-a",
        ] {
            assert_eq!(split_service_account(bad), None, "{bad}");
        }
    }
}
