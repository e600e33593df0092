//! Marks, and a year later removes, tokens in Secrets that were made for accounts by old clusters and are used by nobody.
//! Upstream's `pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go`.
//!
//! Owns the label `kubernetes.io/legacy-token-invalid-since`. It does nothing before the API server has told for a year, in
//! its ConfigMap, that it writes down which tokens are used. Woken by the Secrets, and then when their time has come.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use crate::service_account_token::{ACCOUNT_NAME, is_token, means};
use informer::{Informers, Store};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const TRACKING: (&str, &str) = ("kube-system", "kube-apiserver-legacy-service-account-token-tracking");
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// How long a token must have been unused, and then how long it stays marked.
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);
const DAY: Duration = Duration::from_hours(24);

pub(crate) struct LegacyTokenCleaner {
    informers: Informers,
    secrets: Store<Secret>,
    accounts: Store<ServiceAccount>,
    pods: Store<Pod>,
    config_maps: Store<ConfigMap>,
}

pub struct Observed {
    secret: Arc<Secret>,
    /// Since when the use of tokens is written down, as the API server says it.
    tracked_since: Option<String>,
    /// Whether an account refers to it, as it does to those that were made for it.
    generated: bool,
    mounted: bool,
}

impl LegacyTokenCleaner {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            secrets: informers.store(),
            accounts: informers.store(),
            pods: crate::pods::store(informers),
            config_maps: informers.store(),
        }
    }
}

/// Adds the names of all Secrets that a pod's specification speaks of (`podutil.VisitPodSecretNames`).
fn secret_names(tree: &Value, names: &mut BTreeSet<String>) {
    let name_of = |value: &Value| value["name"].as_str().map(str::to_owned);
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "secretName" => names.extend(value.as_str().map(str::to_owned)),
                    "secret" | "secretRef" | "secretKeyRef" | "nodePublishSecretRef" => names.extend(name_of(value)),
                    "imagePullSecrets" => names.extend(value.as_array().into_iter().flatten().filter_map(name_of)),
                    _ => {}
                }
                secret_names(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secret_names(item, names)),
        _ => {}
    }
}

impl Controller for LegacyTokenCleaner {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        let name = "legacy-serviceaccount-token-cleaner-controller";
        Descriptor { name, account: "legacy-service-account-token-cleaner", component: name, workers: 1 }
    }

    fn watches(&self) -> Vec<Watch> {
        let by_secret = |event: &informer::Event<Secret>| {
            event.new.iter().filter(|secret| is_token(secret)).map(|secret| key_of(&**secret)).collect()
        };
        let secrets = self.secrets.clone();
        let by_map = move |event: &informer::Event<ConfigMap>| {
            let tracks = event.latest().is_some_and(|map| (map.namespace(), map.name()) == TRACKING);
            let all = if tracks { secrets.list() } else { Vec::new() };
            all.iter().filter(|secret| is_token(secret)).map(|secret| key_of(&**secret)).collect()
        };
        vec![
            Watch::on(&self.informers, &self.secrets, by_secret),
            Watch::on(&self.informers, &self.config_maps, by_map),
            Watch::on(&self.informers, &self.accounts, |_| Vec::new()),
            Watch::on(&self.informers, &self.pods, |_| Vec::new()),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let secret = self.secrets.get(&key.namespace, &key.name).filter(|secret| is_token(secret))?;
        let map = self.config_maps.get(TRACKING.0, TRACKING.1);
        let tracked_since = map.and_then(|map| map.data.as_ref()?.get("since").cloned());
        let account = secret.annotation(ACCOUNT_NAME).and_then(|name| self.accounts.get(&key.namespace, name));
        let refers = |account: &Arc<ServiceAccount>| {
            means(&secret, account)
                && account.secrets.iter().flatten().any(|own| own.name.as_deref() == Some(&*key.name))
        };
        let generated = account.is_some_and(|account| refers(&account));
        let mut names = BTreeSet::new();
        if generated && tracked_since.is_some() {
            for pod in self.pods.list_in(&key.namespace) {
                secret_names(&json!(pod.spec), &mut names);
            }
        }
        Some(Observed { mounted: names.contains(&*key.name), secret, tracked_since, generated })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok())?
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let secret = &*observed.secret;
    let Some(since) = observed.tracked_since.as_deref().and_then(date) else { return plan };
    let Ok(limit) = now.checked_sub(YEAR) else { return plan };
    let day = limit.to_zoned(TimeZone::UTC).date();
    let used = secret.label(LAST_USED).map(date);
    let may_be_used = match used {
        Some(Some(used)) => used >= day,
        // What is no date cannot be judged.
        Some(None) => true,
        None => false,
    };
    let young = since.saturating_add(1.day()) > day || secret.created() >= limit;
    if secret.terminating() || !observed.generated {
        return plan;
    }
    // The rest changes with the days, or with pods that are not watched for this.
    plan.again_after(DAY);
    if young || may_be_used || observed.mounted {
        return plan;
    }
    match secret.label(INVALID_SINCE).and_then(date) {
        None => {
            let today = now.to_zoned(TimeZone::UTC).date().to_string();
            let body = json!({"metadata": {"uid": secret.uid(), "labels": {INVALID_SINCE: today}}});
            plan.patch(secret, "", PatchKind::Merge, body);
        }
        Some(invalid) if invalid >= day => {}
        Some(_) => plan.delete_unchanged(secret),
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(created: &str, labels: Value, since: Option<&str>, generated: bool, mounted: bool) -> String {
        let secret = json!({"metadata": {"name": "t", "namespace": "ns", "uid": "u", "creationTimestamp": format!("{created}T00:00:00Z"), "labels": labels}, "type": "kubernetes.io/service-account-token"});
        let observed = Observed {
            secret: Arc::new(serde_json::from_value(secret).unwrap()),
            tracked_since: since.map(str::to_owned),
            generated,
            mounted,
        };
        let text = plan(&observed, "2024-06-15T12:00:00Z".parse().unwrap()).to_string();
        text.lines().find(|line| !line.starts_with("again")).unwrap_or_default().to_owned()
    }

    /// Cases of upstream's `TestLegacyServiceAccountTokenCleanUp`.
    #[test]
    fn a_token_is_marked_and_later_removed() {
        let old = "2020-01-01";
        let since = Some("2022-01-01");
        let mark = r#"patch secrets ns/t {"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2024-06-15"},"uid":"u"}}"#;
        assert_eq!(run(old, json!({}), since, true, false), mark);
        assert_eq!(run(old, json!({LAST_USED: "2023-01-01"}), since, true, false), mark);
        assert_eq!(run(old, json!({LAST_USED: "2024-01-01"}), since, true, false), "", "used lately");
        assert_eq!(run(old, json!({LAST_USED: "yesterday"}), since, true, false), "", "no date");
        assert_eq!(run("2024-01-01", json!({}), since, true, false), "", "made lately");
        assert_eq!(run(old, json!({}), None, true, false), "", "not tracked");
        assert_eq!(run(old, json!({}), Some("2024-01-01"), true, false), "", "not tracked for long enough");
        assert_eq!(run(old, json!({}), since, false, false), "", "made by hand");
        assert_eq!(run(old, json!({}), since, true, true), "", "mounted");
        assert_eq!(run(old, json!({INVALID_SINCE: "2024-01-01"}), since, true, false), "", "marked lately");
        assert_eq!(run(old, json!({INVALID_SINCE: "2023-01-01"}), since, true, false), "delete secrets ns/t");
    }

    #[test]
    fn all_places_of_secrets_in_a_pod_are_known() {
        let spec = json!({
            "imagePullSecrets": [{"name": "a"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "b"}}}], "envFrom": [{"secretRef": {"name": "c"}}]}],
            "volumes": [{"secret": {"secretName": "d"}}, {"projected": {"sources": [{"secret": {"name": "e"}}]}}, {"csi": {"nodePublishSecretRef": {"name": "f"}}}],
        });
        let mut names = BTreeSet::new();
        secret_names(&spec, &mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
    }
}
