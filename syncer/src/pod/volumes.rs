//! Volumes on the host: names of the tenant's objects, tokens from the pod's Secret, downward fields from the record.
//!
//! Volumes that name no object of the tenant pass untouched; whether the host lets a tenant use them (hostPath above
//! all) is for the host namespace's Pod Security to say.

use super::namer::Namer;
use super::{downward, projection, trust};
use crate::Config;
use crate::kind::Kind;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIVolumeFile, KeyToPath, PersistentVolumeClaimVolumeSource, Pod, SecretProjection,
    Volume, VolumeProjection,
};

/// Mode of a token where the volume's group must read it and nobody else.
const OWNER_ONLY: i32 = 0o600;

/// The volumes of a pod on the host.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    pub(crate) volumes: Vec<Volume>,
    /// Whole maps of metadata that downward volumes read ([`crate::marks::LABELS`], [`crate::marks::ANNOTATIONS`]).
    pub(crate) maps: Vec<&'static str>,
}

/// Translates every volume of a pod.
pub(crate) fn translate(config: &Config, pod: &Pod, namer: &mut Namer<'_>) -> Translated {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let has_group =
        spec.and_then(|spec| spec.security_context.as_ref()).is_some_and(|context| context.fs_group.is_some());
    let mut translator = Translator { config, namer, namespace, pod: name, has_group, maps: Vec::new() };
    let volumes = spec.and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let volumes = volumes.iter().cloned().map(|volume| translator.volume(volume)).collect();
    Translated { volumes, maps: translator.maps }
}

struct Translator<'a, 'n> {
    config: &'a Config,
    namer: &'a mut Namer<'n>,
    namespace: &'a str,
    pod: &'a str,
    has_group: bool,
    maps: Vec<&'static str>,
}

impl Translator<'_, '_> {
    fn volume(&mut self, mut volume: Volume) -> Volume {
        if let Some(source) = &mut volume.config_map {
            self.namer.rename(Kind::ConfigMap, &mut source.name);
        }
        if let Some(name) = volume.secret.as_mut().and_then(|source| source.secret_name.as_mut()) {
            self.namer.rename(Kind::Secret, name);
        }
        if let Some(source) = &mut volume.persistent_volume_claim {
            self.namer.rename(Kind::PersistentVolumeClaim, &mut source.claim_name);
        }
        if volume.ephemeral.take().is_some() {
            // The tenant's controller makes the claim; `pod-volume` is its name.
            let mut claim_name = format!("{}-{}", self.pod, volume.name);
            self.namer.rename(Kind::PersistentVolumeClaim, &mut claim_name);
            volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None });
        }
        if let Some(source) = &mut volume.downward_api {
            self.downward(source.items.iter_mut().flatten());
        }
        if let Some(source) = &mut volume.projected {
            let volume_name = &volume.name;
            for (index, projected) in source.sources.iter_mut().flatten().enumerate() {
                self.projected(volume_name, index, projected);
            }
        }
        self.drivers(&mut volume);
        volume
    }

    /// Drivers that read a Secret of the pod's namespace.
    fn drivers(&mut self, volume: &mut Volume) {
        if let Some(source) = &mut volume.csi {
            self.namer.rename_secret(&mut source.node_publish_secret_ref);
        }
        if let Some(source) = &mut volume.azure_file {
            self.namer.rename(Kind::Secret, &mut source.secret_name);
        }
        if let Some(source) = &mut volume.cephfs {
            self.namer.rename_secret(&mut source.secret_ref);
        }
        if let Some(source) = &mut volume.cinder {
            self.namer.rename_secret(&mut source.secret_ref);
        }
        if let Some(source) = &mut volume.flex_volume {
            self.namer.rename_secret(&mut source.secret_ref);
        }
        if let Some(source) = &mut volume.iscsi {
            self.namer.rename_secret(&mut source.secret_ref);
        }
        if let Some(source) = &mut volume.rbd {
            self.namer.rename_secret(&mut source.secret_ref);
        }
        if let Some(source) = &mut volume.scale_io {
            self.namer.rename(Kind::Secret, &mut source.secret_ref.name);
        }
        if let Some(source) = &mut volume.storageos {
            self.namer.rename_secret(&mut source.secret_ref);
        }
    }

    fn downward<'f>(&mut self, files: impl Iterator<Item = &'f mut DownwardAPIVolumeFile>) {
        self.maps.extend(files.filter_map(|file| downward::rewrite(file.field_ref.as_mut()?)));
    }

    fn projected(&mut self, volume: &str, index: usize, source: &mut VolumeProjection) {
        if let Some(reference) = &mut source.config_map {
            self.namer.rename(Kind::ConfigMap, &mut reference.name);
        }
        if let Some(reference) = &mut source.secret {
            self.namer.rename(Kind::Secret, &mut reference.name);
        }
        if let Some(downward) = &mut source.downward_api {
            self.downward(downward.items.iter_mut().flatten());
        }
        // With a group the kubelet writes tokens and anchors as 0600 and lets the ownership change open them to the group.
        // A user of the pod's containers would own them; a Secret cannot say so, hence the volume's default mode.
        let mode = self.has_group.then_some(OWNER_ONLY);
        if let Some(bundle) = source.cluster_trust_bundle.take() {
            let item =
                KeyToPath { key: projection::key(volume, index), path: bundle.path, mode, ..KeyToPath::default() };
            source.config_map = Some(ConfigMapProjection {
                name: trust::host_name(self.config, self.namespace, self.pod),
                items: Some(vec![item]),
                optional: None,
            });
        }
        if let Some(token) = source.service_account_token.take() {
            let item =
                KeyToPath { key: projection::key(volume, index), path: token.path, mode, ..KeyToPath::default() };
            source.secret = Some(SecretProjection {
                name: projection::host_name(self.config, self.namespace, self.pod),
                items: Some(vec![item]),
                optional: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks;
    use serde_json::{Value, json};

    fn translated(volumes: Value, security: Value) -> (Value, Vec<&'static str>) {
        let config = Config { tenant: "t".into(), ..Config::default() };
        let pod = json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"containers": [], "volumes": volumes, "securityContext": security},
        });
        let mut namer = Namer::new(&config, "ns");
        let translated = translate(&config, &serde_json::from_value(pod).unwrap(), &mut namer);
        (serde_json::to_value(translated.volumes).unwrap(), translated.maps)
    }

    #[test]
    fn references_are_renamed_and_the_rest_passes() {
        let cases = [
            (
                json!({"configMap": {"name": "c", "defaultMode": 420}}),
                json!({"configMap": {"name": "c-x-ns-x-t", "defaultMode": 420}}),
            ),
            (json!({"secret": {"secretName": "s"}}), json!({"secret": {"secretName": "s-x-ns-x-t"}})),
            (
                json!({"persistentVolumeClaim": {"claimName": "d", "readOnly": true}}),
                json!({"persistentVolumeClaim": {"claimName": "d-x-ns-x-t", "readOnly": true}}),
            ),
            (
                json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
                json!({"persistentVolumeClaim": {"claimName": "p-v-x-ns-x-t"}}),
            ),
            (
                json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}),
                json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s-x-ns-x-t"}}}),
            ),
            (
                json!({"azureFile": {"secretName": "s", "shareName": "x"}}),
                json!({"azureFile": {"secretName": "s-x-ns-x-t", "shareName": "x"}}),
            ),
            (json!({"emptyDir": {"medium": "Memory"}}), json!({"emptyDir": {"medium": "Memory"}})),
            (json!({"hostPath": {"path": "/data", "type": ""}}), json!({"hostPath": {"path": "/data", "type": ""}})),
            (
                json!({"image": {"reference": "r", "pullPolicy": "Always"}}),
                json!({"image": {"reference": "r", "pullPolicy": "Always"}}),
            ),
            (json!({"nfs": {"server": "s", "path": "/"}}), json!({"nfs": {"server": "s", "path": "/"}})),
        ];
        for (mut virt, mut host) in cases {
            virt["name"] = json!("v");
            host["name"] = json!("v");
            assert_eq!(translated(json!([virt]), json!({})).0, json!([host]));
        }
    }

    #[test]
    fn api_access_shows_the_tenants_token_ca_and_namespace() {
        let virt = json!([{"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}]);
        let tokens = projection::host_name(&Config { tenant: "t".into(), ..Config::default() }, "ns", "p");
        let host = |item: Value| {
            json!([{"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
                {"secret": {"name": tokens, "items": [item]}},
                {"configMap": {"name": "kube-root-ca.crt-x-ns-x-t", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations['coracle.dev/namespace']"}}]}},
            ]}}])
        };
        let item = json!({"key": "kube-api-access-x.0", "path": "token"});
        assert_eq!(translated(virt.clone(), json!({})).0, host(item));
        let item = json!({"key": "kube-api-access-x.0", "path": "token", "mode": 0o600});
        assert_eq!(translated(virt, json!({"fsGroup": 2000})).0, host(item));
    }

    #[test]
    fn trust_bundles_come_from_the_pods_own_config_map() {
        let virt = json!([{"name": "v", "projected": {"sources": [
            {"clusterTrustBundle": {"path": "ca.pem", "signerName": "s", "labelSelector": {}, "optional": true}},
        ]}}]);
        let name = trust::host_name(&Config { tenant: "t".into(), ..Config::default() }, "ns", "p");
        let host = |item: Value| json!([{"name": "v", "projected": {"sources": [{"configMap": {"name": name, "items": [item]}}]}}]);
        assert_eq!(translated(virt.clone(), json!({})).0, host(json!({"key": "v.0", "path": "ca.pem"})));
        let grouped = json!({"key": "v.0", "path": "ca.pem", "mode": 0o600});
        assert_eq!(translated(virt, json!({"fsGroup": 5})).0, host(grouped));
    }

    #[test]
    fn whole_maps_are_asked_for() {
        let virt = json!([{"name": "v", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
        ]}}]);
        let (host, maps) = translated(virt, json!({}));
        assert_eq!(
            host[0]["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"],
            "metadata.annotations['coracle.dev/labels']"
        );
        assert_eq!(host[0]["downwardAPI"]["items"][1]["resourceFieldRef"]["resource"], "limits.cpu");
        assert_eq!(maps, [marks::LABELS]);
    }
}
