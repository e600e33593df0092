//! Kubeconfig files, written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How the user of a kubeconfig proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// PEM of a client certificate and of its key.
    Certificate {
        certificate: String,
        key: String,
    },
    Token(String),
}

/// One cluster, one user, one context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    /// The name of cluster and context.
    pub name: String,
    /// `https://host:port`
    pub server: String,
    /// PEM of the authority that serves; none leaves trust to the client's system.
    pub authority: Option<String>,
    pub user: String,
    pub credentials: Credentials,
    /// The default namespace of the context; none means `default`.
    pub namespace: Option<String>,
}

impl Kubeconfig {
    pub fn to_yaml(&self) -> String {
        // A JSON string is a YAML string, whatever it holds.
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let data = |pem: &str| STANDARD.encode(pem);
        let authority = self.authority.as_deref().map(|ca| format!("    certificate-authority-data: {}\n", data(ca)));
        let namespace = self.namespace.as_deref().map(|n| format!("    namespace: {}\n", text(n)));
        let credentials = match &self.credentials {
            Credentials::Certificate { certificate, key } => {
                let (certificate, key) = (data(certificate), data(key));
                format!("    client-certificate-data: {certificate}\n    client-key-data: {key}\n")
            }
            Credentials::Token(token) => format!("    token: {}\n", text(token)),
        };
        let (name, user, server) = (text(&self.name), text(&self.user), text(&self.server));
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server}\n{}\
             users:\n- name: {user}\n  user:\n{credentials}\
             contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {user}\n{}\
             current-context: {name}\n",
            authority.unwrap_or_default(),
            namespace.unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_yaml_reads_back() {
        let config = Kubeconfig {
            name: "demo: \"x\"".into(),
            server: "https://10.0.0.1:443".into(),
            authority: Some("PEM".into()),
            user: "admin".into(),
            credentials: Credentials::Certificate { certificate: "C".into(), key: "K".into() },
            namespace: None,
        };
        let (read, _) = schema::yaml::from_yaml(config.to_yaml().as_bytes()).unwrap();
        assert_eq!(read["current-context"], "demo: \"x\"");
        let cluster = json!({ "server": "https://10.0.0.1:443", "certificate-authority-data": "UEVN" });
        assert_eq!(read["clusters"][0]["cluster"], cluster);
        assert_eq!(read["users"][0]["user"], json!({ "client-certificate-data": "Qw==", "client-key-data": "Sw==" }));
        assert_eq!(read["contexts"][0]["context"], json!({ "cluster": "demo: \"x\"", "user": "admin" }));
    }
}
