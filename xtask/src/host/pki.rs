//! Certificates and kubeconfigs of the host's components, made once per host with openssl.

use super::network::{CONTROL_PLANE_ADDRESS, KUBERNETES_ADDRESS, node_address};
use super::{Host, NODES};
use crate::shell::{cmd, quiet};
use anyhow::Result;
use std::fs;
use std::process::Command;

/// The cluster's authority and the aggregation layer's.
const AUTHORITIES: [(&str, &str); 2] = [("ca", "kubernetes"), ("front-proxy-ca", "front-proxy")];

/// Client certificates: file name, authority, subject.
const CLIENTS: [(&str, &str, &str); 6] = [
    ("admin", "ca", "/O=system:masters/CN=admin"),
    ("kube-controller-manager", "ca", "/CN=system:kube-controller-manager"),
    ("kube-scheduler", "ca", "/CN=system:kube-scheduler"),
    ("kube-proxy", "ca", "/CN=system:kube-proxy"),
    ("kubelet-client", "ca", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    ("front-proxy-client", "front-proxy-ca", "/CN=front-proxy-client"),
];

impl Host {
    /// Makes every key, certificate and kubeconfig unless they exist.
    pub(super) fn make_certificates(&self) -> Result<()> {
        if self.kubeconfig("admin").is_file() {
            return Ok(());
        }
        for (name, common_name) in AUTHORITIES {
            let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
            let subject = format!("/CN={common_name}-ca");
            let mut request =
                self.openssl(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
            let arguments = ["-nodes", "-days", "3650", "-subj", &subject, "-keyout", &key, "-out", &certificate];
            quiet(request.args(arguments))?;
        }
        quiet(&mut self.openssl(&["genrsa", "-out", "sa.key", "2048"]))?;
        quiet(&mut self.openssl(&["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]))?;
        for (name, authority, subject) in CLIENTS {
            self.certificate(name, authority, subject, None)?;
        }
        let names = format!(
            "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,\
             DNS:localhost,IP:127.0.0.1,IP:{CONTROL_PLANE_ADDRESS},IP:{KUBERNETES_ADDRESS}"
        );
        self.certificate("kube-apiserver", "ca", "/CN=kube-apiserver", Some(&names))?;
        for node in NODES {
            let names = format!("DNS:{node},IP:{}", node_address(node));
            self.certificate(node, "ca", &format!("/O=system:nodes/CN=system:node:{node}"), Some(&names))?;
        }
        for who in ["kube-controller-manager", "kube-scheduler", "kube-proxy"].into_iter().chain(NODES).chain(["admin"])
        {
            self.write_kubeconfig(who)?;
        }
        Ok(())
    }

    fn certificate(&self, name: &str, authority: &str, subject: &str, names: Option<&str>) -> Result<()> {
        let file = |extension: &str| format!("{name}.{extension}");
        let (key, request, extensions, certificate) = (file("key"), file("csr"), file("ext"), file("crt"));
        let mut text =
            "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n".to_owned();
        if let Some(names) = names {
            text = format!("{text}subjectAltName={names}\n");
        }
        fs::write(self.pki().join(&extensions), text)?;
        let mut ask = self.openssl(&["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        quiet(ask.args(["-subj", subject, "-keyout", &key, "-out", &request]))?;
        let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
        let mut sign = self.openssl(&["x509", "-req", "-CAcreateserial", "-days", "3650"]);
        let arguments = ["-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-extfile", &extensions, "-out", &certificate];
        quiet(sign.args(arguments))?;
        fs::remove_file(self.pki().join(request))?;
        fs::remove_file(self.pki().join(extensions))?;
        Ok(())
    }

    fn write_kubeconfig(&self, who: &str) -> Result<()> {
        let pki = self.pki();
        let file = |name: String| pki.join(name).display().to_string();
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "host",
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": who}}],
            "clusters": [{"name": "host", "cluster": {
                "server": format!("https://{CONTROL_PLANE_ADDRESS}:6443"),
                "certificate-authority": file("ca.crt".to_owned()),
            }}],
            "users": [{"name": who, "user": {
                "client-certificate": file(format!("{who}.crt")),
                "client-key": file(format!("{who}.key")),
            }}],
        });
        fs::write(self.kubeconfig(who), serde_json::to_string_pretty(&config)?)?;
        Ok(())
    }

    fn openssl(&self, arguments: &[&str]) -> Command {
        let mut command = cmd("openssl", arguments);
        command.current_dir(self.pki());
        command
    }
}
