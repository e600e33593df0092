//! Keys, certificates and kubeconfigs of the control plane that a bench starts, made with openssl (3.0 or later).

use crate::bench::poll::Client;
use crate::shell::{cmd, quiet};
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// What each kind of certificate says of its use.
const SETTINGS: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = keyCertSign,digitalSignature
subjectKeyIdentifier = hash
[client]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
[server]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1
";

/// File name, kind (a section above), subject.
const CERTIFICATES: [(&str, &str, &str); 4] = [
    ("kube-apiserver", "server", "/CN=kube-apiserver"),
    ("admin", "client", "/O=system:masters/CN=admin"),
    ("kube-controller-manager", "client", "/CN=system:kube-controller-manager"),
    ("kube-scheduler", "client", "/CN=system:kube-scheduler"),
];

/// A folder of keys.
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    pub fn make(folder: &Path) -> Result<Keys> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let keys = Keys { folder: folder.to_path_buf() };
        fs::write(keys.file("openssl.cnf"), SETTINGS)?;
        keys.certificate("ca", "authority", "/CN=kubernetes-ca", &[])?;
        for (name, kind, subject) in CERTIFICATES {
            keys.certificate(name, kind, subject, &["-CA", "ca.crt", "-CAkey", "ca.key"])?;
        }
        keys.openssl(&["genrsa", "-out", "sa.key", "2048"])?;
        keys.openssl(&["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;
        Ok(keys)
    }

    /// The path of one, such as `ca.crt`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The administrator.
    pub fn admin(&self) -> Client {
        Client { certificate: self.file("admin.crt"), key: self.file("admin.key") }
    }

    /// Writes the kubeconfig of a client and returns where.
    pub fn kubeconfig(&self, who: &str, server: &str) -> Result<PathBuf> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": who}}],
            "clusters": [{"name": "bench", "cluster": {"server": server, "certificate-authority": self.file("ca.crt")}}],
            "users": [{"name": who, "user": {
                "client-certificate": self.file(&format!("{who}.crt")),
                "client-key": self.file(&format!("{who}.key")),
            }}],
        });
        let file = self.file(&format!("{who}.kubeconfig"));
        fs::write(&file, config.to_string())?;
        Ok(file)
    }

    fn certificate(&self, name: &str, kind: &str, subject: &str, signer: &[&str]) -> Result<()> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let what = ["-days", "365", "-config", "openssl.cnf", "-extensions", kind, "-subj", subject];
        self.openssl(&[&request[..], &what, signer, &["-keyout", &key, "-out", &certificate]].concat())
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        quiet(cmd("openssl", arguments).current_dir(&self.folder))
    }
}
