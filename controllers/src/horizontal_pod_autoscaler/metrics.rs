//! Asks the metrics APIs, each of which may be missing, and says what they answered in upstream's words
//! (`podautoscaler/metrics/client.go`). The parses are pure.

use super::calculator::{Sample, Samples};
use crate::api::Api;
use crate::discovery::Served;
use apimachinery::Quantity;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

/// What a metrics API measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Measured {
    /// For each pod.
    Pods(Samples),
    /// For an object, or for nothing in particular: thousandths.
    Value(i64),
}

pub(super) struct Client<'a> {
    pub(super) api: &'a Api,
    pub(super) served: &'a Served,
    pub(super) namespace: &'a str,
    /// The target's selector, as text.
    pub(super) selector: &'a str,
}

/// Escapes a text for a query.
fn query(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn selector_text(selector: Option<&LabelSelector>) -> String {
    let tree = selector.map(|selector| json!(selector));
    apimachinery::selector::label::LabelSelector::from_object(tree.as_ref())
        .map(|own| own.to_string())
        .unwrap_or_default()
}

impl Client<'_> {
    async fn get(&self, path: String, subject: &str) -> Result<Value, String> {
        let request = Request::get(path).header("accept", "application/json").body(Vec::new());
        let request = request.map_err(|error| error.to_string())?;
        self.api.client().request::<Value>(request).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 && status.details.is_none() => {
                format!("the server could not find the requested resource (get {subject})")
            }
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        })
    }

    /// Usage of a resource by the target's pods, of one container if that is named.
    pub(super) async fn resource(&self, resource: &str, container: Option<&str>) -> Result<Measured, String> {
        let Self { namespace, selector, .. } = self;
        let path =
            format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={}", query(selector));
        let answer = self.get(path, "pods.metrics.k8s.io").await;
        let list = answer.map_err(|error| format!("unable to fetch metrics from resource metrics API: {error}"))?;
        let items = items(&list, "resource")?;
        Ok(Measured::Pods(items.iter().filter_map(|item| pod_sample(item, resource, container)).collect()))
    }

    fn custom_version(&self) -> Result<&str, String> {
        let mut served = self.served.resources.iter().filter(|own| own.resource.group == "custom.metrics.k8s.io");
        let found = served.next().map(|own| own.resource.version.as_str());
        found.ok_or_else(|| {
            "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered".to_owned()
        })
    }

    /// A metric of the target's pods.
    pub(super) async fn pods(&self, metric: &str, selector: Option<&LabelSelector>) -> Result<Measured, String> {
        let (version, namespace) = (self.custom_version()?, self.namespace);
        let (pods, metrics) = (query(self.selector), query(&selector_text(selector)));
        let path = format!(
            "/apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}/pods/*/{metric}?labelSelector={pods}&metricLabelSelector={metrics}"
        );
        let answer = self.get(path, "pods.custom.metrics.k8s.io").await;
        let list = answer.map_err(|error| format!("unable to fetch metrics from custom metrics API: {error}"))?;
        Ok(Measured::Pods(items(&list, "custom")?.iter().filter_map(custom_sample).collect()))
    }

    /// A metric of an object of the namespace, or of the namespace itself.
    pub(super) async fn object(
        &self,
        about: &CrossVersionObjectReference,
        metric: &str,
        selector: Option<&LabelSelector>,
    ) -> Result<Measured, String> {
        let (version, namespace) = (self.custom_version()?, self.namespace);
        let api_version = about.api_version.as_deref().unwrap_or_default();
        let object = if about.kind == "Namespace" && !api_version.contains('/') {
            "metrics".to_owned()
        } else {
            let served = self.served.by_kind(api_version, &about.kind);
            let unknown =
                || format!("unable to fetch metrics from custom metrics API: no matches for kind \"{}\"", about.kind);
            let resource = served.ok_or_else(unknown)?.resource.group_resource();
            format!("{resource}/{}", about.name)
        };
        let metrics = query(&selector_text(selector));
        let path = format!(
            "/apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}/{object}/{metric}?metricLabelSelector={metrics}"
        );
        let answer = self.get(path, "custom.metrics.k8s.io").await;
        let list = answer.map_err(|error| format!("unable to fetch metrics from custom metrics API: {error}"))?;
        match list["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
            [one] => Ok(Measured::Value(milli(&one["value"]))),
            all => Err(format!(
                "unable to fetch metrics from custom metrics API: the custom metrics API server returned {} results when we asked for exactly one",
                all.len()
            )),
        }
    }

    /// The sum over all values of a metric from outside.
    pub(super) async fn external(&self, metric: &str, selector: Option<&LabelSelector>) -> Result<Measured, String> {
        let (namespace, selector) = (self.namespace, query(&selector_text(selector)));
        let path =
            format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}?labelSelector={selector}");
        let answer = self.get(path, &format!("{metric}.external.metrics.k8s.io")).await;
        let list = answer.map_err(|error| format!("unable to fetch metrics from external metrics API: {error}"))?;
        let values = items(&list, "external")?.iter().map(|item| milli(&item["value"]));
        Ok(Measured::Value(values.fold(0, i64::saturating_add)))
    }
}

fn items<'a>(list: &'a Value, api: &str) -> Result<&'a [Value], String> {
    match list["items"].as_array().map(Vec::as_slice) {
        None | Some([]) => Err(format!("no metrics returned from {api} metrics API")),
        Some(items) => Ok(items),
    }
}

fn milli(value: &Value) -> i64 {
    Quantity::from_json(value).map_or(0, |quantity| quantity.milli_value())
}

fn time(item: &Value) -> Timestamp {
    item["timestamp"].as_str().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A pod's usage; `None` when a container of interest has none.
fn pod_sample(item: &Value, resource: &str, container: Option<&str>) -> Option<(String, Sample)> {
    let all = item["containers"].as_array()?;
    let chosen: Vec<&Value> = all.iter().filter(|own| container.is_none_or(|name| own["name"] == name)).collect();
    if chosen.is_empty() || chosen.iter().any(|own| own["usage"][resource].is_null()) {
        return None;
    }
    let window = item["window"].as_str().and_then(|text| text.parse().ok()).unwrap_or(SignedDuration::ZERO);
    let value = chosen.iter().map(|own| milli(&own["usage"][resource])).sum();
    Some((item["metadata"]["name"].as_str()?.to_owned(), Sample { time: time(item), window, value }))
}

/// `windowSeconds`, or `window` in the older version; a minute when neither is there.
fn custom_sample(item: &Value) -> Option<(String, Sample)> {
    let seconds = item["windowSeconds"].as_i64().or(item["window"].as_i64()).unwrap_or(60);
    let sample = Sample { time: time(item), window: SignedDuration::from_secs(seconds), value: milli(&item["value"]) };
    Some((item["describedObject"]["name"].as_str()?.to_owned(), sample))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let container = |name: &str, cpu: &str| json!({"name": name, "usage": {"cpu": cpu}});
        let item = json!({"metadata": {"name": "p"}, "timestamp": "2024-01-01T00:00:00Z", "window": "30.5s", "containers": [container("a", "100m"), container("b", "1")]});
        let value =
            |resource: &str, name: Option<&str>| pod_sample(&item, resource, name).map(|(_, sample)| sample.value);
        assert_eq!(
            (value("cpu", None), value("cpu", Some("b")), value("cpu", Some("c"))),
            (Some(1100), Some(1000), None)
        );
        assert_eq!(value("memory", None), None);
        assert_eq!(pod_sample(&item, "cpu", None).unwrap().1.window, SignedDuration::from_millis(30_500));
        let custom = json!({"describedObject": {"name": "p"}, "value": "5", "window": 10});
        let (name, sample) = custom_sample(&custom).unwrap();
        assert_eq!((name.as_str(), sample.value, sample.window.as_secs()), ("p", 5000, 10));
        assert_eq!(
            items(&json!({"items": []}), "resource"),
            Err("no metrics returned from resource metrics API".into())
        );
        assert_eq!(query("a in (b,c)"), "a%20in%20%28b%2Cc%29");
    }
}
