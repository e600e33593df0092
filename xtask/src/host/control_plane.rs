//! Upstream's etcd, kube-apiserver, kube-controller-manager and kube-scheduler, in the control plane's namespace.

use super::Host;
use super::network::{CONTROL_PLANE, CONTROL_PLANE_ADDRESS, SERVICES, enter};
use crate::shell::succeeds;
use anyhow::Result;

/// In the order of their start.
const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

impl Host {
    pub(super) fn start_control_plane(&self) -> Result<()> {
        for component in COMPONENTS {
            let arguments = match component {
                "etcd" => self.etcd(),
                "kube-apiserver" => self.apiserver(),
                "kube-controller-manager" => self.controller_manager(),
                _ => self.client_flags(component),
            };
            let program: Vec<String> = std::iter::once(Host::program(component)).chain(arguments).collect();
            self.start(component, &enter(CONTROL_PLANE), &program)?;
            if component == "kube-apiserver" {
                let cluster = self.cluster();
                self.wait(component, "ready", 120, || succeeds(&mut cluster.kubectl(["get", "--raw", "/readyz"])))?;
            }
        }
        Ok(())
    }

    pub(super) fn stop_control_plane(&self) {
        for component in COMPONENTS.iter().rev() {
            self.stop(component);
        }
    }

    /// A throw-away store: it need not survive a power cut, so it does not wait for the disk.
    fn etcd(&self) -> Vec<String> {
        flags(&[
            ("name", "etcd"),
            ("data-dir", &self.dir.join("etcd").display().to_string()),
            ("listen-client-urls", "http://127.0.0.1:2379"),
            ("advertise-client-urls", "http://127.0.0.1:2379"),
            ("listen-peer-urls", "http://127.0.0.1:2380"),
            ("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
            ("initial-cluster", "etcd=http://127.0.0.1:2380"),
            ("quota-backend-bytes", "4294967296"),
            ("unsafe-no-fsync", "true"),
            ("log-level", "warn"),
        ])
    }

    /// No kube-proxy runs in this namespace, so aggregated servers and webhooks are reached by pod address
    /// (`enable-aggregator-routing`) over the routes to the pods.
    fn apiserver(&self) -> Vec<String> {
        flags(&[
            ("etcd-servers", "http://127.0.0.1:2379"),
            ("bind-address", "0.0.0.0"),
            ("advertise-address", CONTROL_PLANE_ADDRESS),
            ("secure-port", "6443"),
            ("service-cluster-ip-range", SERVICES),
            ("allow-privileged", "true"),
            ("authorization-mode", "Node,RBAC"),
            ("enable-admission-plugins", "NodeRestriction"),
            ("enable-aggregator-routing", "true"),
            ("client-ca-file", &self.pki_file("ca.crt")),
            ("tls-cert-file", &self.pki_file("kube-apiserver.crt")),
            ("tls-private-key-file", &self.pki_file("kube-apiserver.key")),
            ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
            ("service-account-key-file", &self.pki_file("sa.pub")),
            ("service-account-signing-key-file", &self.pki_file("sa.key")),
            ("kubelet-client-certificate", &self.pki_file("kubelet-client.crt")),
            ("kubelet-client-key", &self.pki_file("kubelet-client.key")),
            ("kubelet-preferred-address-types", "InternalIP"),
            ("requestheader-client-ca-file", &self.pki_file("front-proxy-ca.crt")),
            ("requestheader-allowed-names", "front-proxy-client"),
            ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
            ("requestheader-group-headers", "X-Remote-Group"),
            ("requestheader-username-headers", "X-Remote-User"),
            ("proxy-client-cert-file", &self.pki_file("front-proxy-client.crt")),
            ("proxy-client-key-file", &self.pki_file("front-proxy-client.key")),
        ])
    }

    fn controller_manager(&self) -> Vec<String> {
        let mut arguments = self.client_flags("kube-controller-manager");
        arguments.extend(flags(&[
            ("use-service-account-credentials", "true"),
            ("service-account-private-key-file", &self.pki_file("sa.key")),
            ("root-ca-file", &self.pki_file("ca.crt")),
            ("cluster-signing-cert-file", &self.pki_file("ca.crt")),
            ("cluster-signing-key-file", &self.pki_file("ca.key")),
            ("client-ca-file", &self.pki_file("ca.crt")),
            ("requestheader-client-ca-file", &self.pki_file("front-proxy-ca.crt")),
            ("controllers", "*,bootstrapsigner,tokencleaner"),
        ]));
        arguments
    }

    /// How a component of the control plane reaches the API server and serves its own health.
    fn client_flags(&self, component: &str) -> Vec<String> {
        let kubeconfig = self.kubeconfig(component).display().to_string();
        flags(&[
            ("kubeconfig", &kubeconfig),
            ("authentication-kubeconfig", &kubeconfig),
            ("authorization-kubeconfig", &kubeconfig),
            ("bind-address", "127.0.0.1"),
        ])
    }

    pub(super) fn pki_file(&self, name: &str) -> String {
        self.pki().join(name).display().to_string()
    }
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}
