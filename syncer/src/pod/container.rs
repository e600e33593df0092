//! Containers on the host: names of what they read, service variables, and resources that the host's node knows.

use super::downward;
use super::namer::Namer;
use crate::kind::Kind;
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, Container, EnvFromSource, EnvVar, EphemeralContainer, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::{BTreeMap, BTreeSet};

/// What the containers of one pod are translated with.
pub(crate) struct Context<'a, 'n> {
    pub(crate) namer: &'a mut Namer<'n>,
    /// The host ConfigMap with the service variables.
    pub(crate) service_env: &'a str,
    /// Extended resources that the pod's node offers on the host.
    pub(crate) offered: &'a BTreeSet<String>,
}

impl Context<'_, '_> {
    pub(crate) fn container(&mut self, container: &mut Container) {
        self.environment(&mut container.env, &mut container.env_from);
        self.resources(&mut container.resources);
    }

    pub(crate) fn ephemeral(&mut self, container: &mut EphemeralContainer) {
        self.environment(&mut container.env, &mut container.env_from);
        self.resources(&mut container.resources);
    }

    fn environment(&mut self, env: &mut Option<Vec<EnvVar>>, env_from: &mut Option<Vec<EnvFromSource>>) {
        for source in env.iter_mut().flatten().filter_map(|variable| variable.value_from.as_mut()) {
            if let Some(reference) = &mut source.config_map_key_ref {
                self.namer.rename(Kind::ConfigMap, &mut reference.name);
            }
            if let Some(reference) = &mut source.secret_key_ref {
                self.namer.rename(Kind::Secret, &mut reference.name);
            }
            if let Some(selector) = &mut source.field_ref {
                downward::rewrite(selector);
            }
        }
        for source in env_from.iter_mut().flatten() {
            if let Some(reference) = &mut source.config_map_ref {
                self.namer.rename(Kind::ConfigMap, &mut reference.name);
            }
            if let Some(reference) = &mut source.secret_ref {
                self.namer.rename(Kind::Secret, &mut reference.name);
            }
        }
        let services = ConfigMapEnvSource { name: self.service_env.into(), optional: None };
        let services = EnvFromSource { config_map_ref: Some(services), ..EnvFromSource::default() };
        env_from.get_or_insert_default().insert(0, services);
    }

    /// Drops what only the tenant's view of the node offers: the tenant's scheduler has counted it already, and the
    /// host's would find no node. Claims are the tenant's objects and do not go down.
    pub(crate) fn resources(&self, resources: &mut Option<ResourceRequirements>) {
        let Some(resources) = resources else { return };
        resources.claims = None;
        for map in [&mut resources.limits, &mut resources.requests].into_iter().flatten() {
            map.retain(|name, _: &mut Quantity| !is_extended(name) || self.offered.contains(name));
        }
    }
}

/// `IsExtendedResourceName` of upstream's `pkg/apis/core/v1/helper`.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// The extended resources of a node's allocatable amounts.
pub(crate) fn extended(allocatable: Option<&BTreeMap<String, Quantity>>) -> BTreeSet<String> {
    allocatable.into_iter().flatten().map(|(name, _)| name.clone()).filter(|name| is_extended(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use serde_json::json;

    fn translated(container: serde_json::Value) -> serde_json::Value {
        let config = Config { tenant: "t".into(), ..Config::default() };
        let offered = BTreeSet::from(["gpu.example/card".to_owned()]);
        let mut namer = Namer::new(&config, "ns");
        let mut context = Context { namer: &mut namer, service_env: "services-t", offered: &offered };
        let mut container: Container = serde_json::from_value(container).unwrap();
        context.container(&mut container);
        serde_json::to_value(container).unwrap()
    }

    #[test]
    fn sources_of_variables_are_renamed_and_services_come_first() {
        let virt = json!({
            "name": "c",
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k", "optional": true}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}],
        });
        let host = json!({
            "name": "c",
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cm-x-ns-x-t", "key": "k", "optional": true}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s-x-ns-x-t", "key": "k"}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['coracle.dev/name']"}}},
                {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "envFrom": [
                {"configMapRef": {"name": "services-t"}},
                {"prefix": "P_", "configMapRef": {"name": "cm-x-ns-x-t"}},
                {"secretRef": {"name": "s-x-ns-x-t"}},
            ],
        });
        assert_eq!(translated(virt), host);
    }

    #[test]
    fn resources_that_only_the_tenant_knows_are_dropped() {
        let virt = json!({"name": "c", "resources": {
            "limits": {"cpu": "1", "fake.example/dongle": "2", "gpu.example/card": "1", "hugepages-2Mi": "4Mi"},
            "requests": {"memory": "1Gi", "fake.example/dongle": "2"},
        }});
        let expected = json!({
            "limits": {"cpu": "1", "gpu.example/card": "1", "hugepages-2Mi": "4Mi"}, "requests": {"memory": "1Gi"},
        });
        assert_eq!(translated(virt)["resources"], expected);
    }
}
