//! Certificates and kubeconfigs of a row: those of an authority in a folder, which is made unless a server has made it.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The authority whose `ca.crt` and `ca.key` are in `folder`.
pub struct Keys {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Keys {
    /// A new authority and a new key pair for service account tokens (`sa.key`, `sa.pub`).
    pub fn generate(folder: &Path) -> Result<Keys> {
        let key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "kubernetes");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        fs::write(folder.join("ca.crt"), authority.self_signed(&key)?.pem())?;
        fs::write(folder.join("ca.key"), key.serialize_pem())?;
        let tokens = KeyPair::generate()?;
        fs::write(folder.join("sa.key"), tokens.serialize_pem())?;
        fs::write(folder.join("sa.pub"), tokens.public_key_pem())?;
        Keys::load(folder)
    }

    pub fn load(folder: &Path) -> Result<Keys> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"));
        let issuer = Issuer::from_ca_cert_pem(&read("ca.crt")?, KeyPair::from_pem(&read("ca.key")?)?)?;
        Ok(Keys { folder: folder.to_path_buf(), issuer })
    }

    /// Writes `NAME.crt` and `NAME.key`, for a server at `names` and for a client of the group.
    pub fn issue(&self, name: &str, group: Option<&str>, names: &[&str]) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        certificate.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            certificate.distinguished_name.push(DnType::OrganizationName, group);
        }
        certificate.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        fs::write(self.file(&format!("{name}.crt")), certificate.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// A kubeconfig for a user of this authority.
    pub fn kubeconfig(&self, user: &str, group: Option<&str>, server: &str) -> Result<PathBuf> {
        self.issue(user, group, &[])?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "swap",
            "contexts": [{"name": "swap", "context": {"cluster": "swap", "user": user}}],
            "clusters": [{"name": "swap", "cluster": {
                "server": server, "certificate-authority": self.file("ca.crt"),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate": self.file(&format!("{user}.crt")), "client-key": self.file(&format!("{user}.key")),
            }}],
        });
        let path = self.file(&format!("{user}.kubeconfig"));
        fs::write(&path, serde_json::to_string_pretty(&config)?)?;
        Ok(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
