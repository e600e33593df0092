//! Where `pods/NAME/proxy`, `services/NAME/proxy` and `nodes/NAME/proxy` lead: upstream's `ResourceLocation` of each
//! (k8s.io/kubernetes `pkg/registry/core/{pod,service,node}`, k8s.io/apiserver `pkg/util/proxy`).

use crate::api::{Api, Call};
use crate::registry::store::storage_status;
use apimachinery::{GroupResource, Object, Status};
use serde_json::Value;
use std::net::IpAddr;

/// `[scheme:]name[:port]`, as the name in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

/// Reads the name form; upstream's `SplitSchemeNamePort`.
fn split(text: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = text.split(':').collect();
    let named = match parts.as_slice() {
        [name] => Named { scheme: "", name, port: "" },
        [name, port] => Named { scheme: "", name, port },
        [scheme, name, port] => Named { scheme, name, port },
        _ => return None,
    };
    (!named.name.is_empty() && matches!(named.scheme, "" | "http" | "https")).then_some(named)
}

/// The backend of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub secure: bool,
    /// An address; of a node without one, its name.
    pub host: String,
    pub port: u16,
}

pub async fn locate(api: &Api, call: &Call) -> Result<Location, Status> {
    let resource = call.target.resource.group_resource();
    let named = split(&call.target.name).ok_or_else(|| {
        let kind = resource.resource.trim_end_matches('s');
        Status::bad_request(format!("invalid {kind} request \"{}\"", call.target.name))
    })?;
    let (host, port) = match resource.resource.as_str() {
        "services" => service_address(api, call, &named).await?,
        "pods" => pod_address(&live(api, call, named.name).await?, &named)?,
        _ => node_address(&live(api, call, named.name).await?, &named)?,
    };
    let secure = named.scheme == "https" || (resource.resource == "nodes" && named.scheme.is_empty());
    Ok(Location { secure, host, port })
}

/// The object that the request names.
async fn live(api: &Api, call: &Call, name: &str) -> Result<Object, Status> {
    let resource = call.target.resource.group_resource();
    let found = api.store.backend.object(&resource, &call.target.namespace, name).await;
    found.map_err(|e| storage_status(&e, &call.target))?.ok_or_else(|| Status::not_found(&resource, name))
}

fn list<'a>(object: &'a Object, path: &[&str]) -> &'a [Value] {
    object.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

/// A ready endpoint of the service that is one of the namespace's pods, taken at random.
async fn service_address(api: &Api, call: &Call, named: &Named<'_>) -> Result<(String, u16), Status> {
    let mut port_name = named.port.to_owned();
    if let Ok(wanted) = named.port.parse::<i64>() {
        let service = live(api, call, named.name).await?;
        let ports = list(&service, &["spec", "ports"]);
        let found = ports.iter().find(|port| port["port"].as_i64() == Some(wanted)).ok_or_else(|| {
            Status::service_unavailable(format!("no service port {wanted} found for service \"{}\"", named.name))
        })?;
        found["name"].as_str().unwrap_or_default().clone_into(&mut port_name);
    }
    let namespace = &call.target.namespace;
    let failed = |e: storage::Error| storage_status(&e, &call.target);
    let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
    let mut slices = api.store.backend.objects(&slices, Some(namespace)).await.map_err(failed)?;
    slices.retain(|slice| slice.label("kubernetes.io/service-name") == Some(named.name));
    for (address, pod, port) in candidates(&slices, &port_name, |bound| api.store.rng.below(bound)) {
        let pods = GroupResource::new("", "pods");
        let pod = api.store.backend.object(&pods, namespace, &pod).await.map_err(failed)?;
        // Only what is a pod of this namespace: slices are written by users too.
        let owns = |pod: &Object| list(pod, &["status", "podIPs"]).iter().any(|ip| ip["ip"] == *address);
        if pod.as_ref().is_some_and(owns) {
            return Ok((address, port));
        }
    }
    Err(Status::service_unavailable(format!("no endpoints available for service \"{}\"", named.name)))
}

/// The ready endpoints behind a named port as address, pod and port, each slice's from a random one on.
fn candidates(slices: &[Object], port_name: &str, below: impl Fn(usize) -> usize) -> Vec<(String, String, u16)> {
    let first = below(slices.len());
    let mut ordered: Vec<&Object> = slices.iter().cycle().skip(first).take(slices.len()).collect();
    ordered.sort_by_key(|slice| slice.text_at(&["addressType"]) != "IPv4");
    let mut found = Vec::new();
    for slice in ordered {
        let ports = list(slice, &["ports"]).iter();
        let ports = ports.filter(|port| port["name"].as_str().unwrap_or_default() == port_name);
        let endpoints = list(slice, &["endpoints"]);
        for port in ports.filter_map(|port| number(&port["port"])) {
            let first = below(endpoints.len());
            for endpoint in endpoints.iter().cycle().skip(first).take(endpoints.len()) {
                if endpoint["conditions"]["ready"] == false {
                    continue;
                }
                let pod = endpoint["targetRef"]["name"].as_str();
                let local = endpoint["targetRef"]["namespace"].as_str() == Some(slice.namespace());
                if let (Some(address), Some(pod), true) = (endpoint["addresses"][0].as_str(), pod, local) {
                    found.push((address.to_owned(), pod.to_owned(), port));
                }
            }
        }
    }
    found
}

fn pod_address(pod: &Object, named: &Named<'_>) -> Result<(String, u16), Status> {
    let address = pod.text_at(&["status", "podIP"]);
    if !address.parse().is_ok_and(is_global_unicast) {
        return Err(Status::bad_request("address not allowed"));
    }
    let declared = list(pod, &["spec", "containers"]).iter().filter_map(|container| container["ports"].get(0));
    let port = match named.port {
        "" => declared.into_iter().find_map(|port| number(&port["containerPort"])),
        wanted => wanted.parse().ok(),
    };
    Ok((address.to_owned(), port.unwrap_or(80)))
}

/// Go's `net.IP.IsGlobalUnicast`: private addresses are.
fn is_global_unicast(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

fn node_address(node: &Object, named: &Named<'_>) -> Result<(String, u16), Status> {
    let addresses = list(node, &["status", "addresses"]);
    let of = |kind: &str| {
        let found = addresses.iter().find(|address| address["type"] == kind);
        found.and_then(|address| address["address"].as_str().map(str::to_owned))
    };
    let address = of("InternalIP").or_else(|| of("Hostname")).ok_or_else(|| {
        Status::service_unavailable(format!("no preferred addresses found for node \"{}\"", named.name))
    })?;
    let kubelet = node.at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(number);
    let port = if named.port.is_empty() { None } else { named.port.parse().ok() };
    Ok((address, port.or(kubelet).unwrap_or(10250)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // Upstream's cases: k8s.io/apimachinery pkg/util/net/port_split_test.go.
    #[test]
    fn names_carry_scheme_and_port() {
        for (text, expected) in [
            ("aoeu:asdf", Some(("", "aoeu", "asdf"))),
            ("http:aoeu:asdf", Some(("http", "aoeu", "asdf"))),
            ("https:aoeu:", Some(("https", "aoeu", ""))),
            ("https:aoeu:asdf", Some(("https", "aoeu", "asdf"))),
            ("aoeu:", Some(("", "aoeu", ""))),
            ("aoeu", Some(("", "aoeu", ""))),
            (":asdf", None),
            ("aoeu:asdf:htns", None),
            ("http::asdf", None),
            ("aoeu:asdf:htns:x", None),
        ] {
            let got = split(text);
            assert_eq!(got.as_ref().map(|n| (n.scheme, n.name, n.port)), expected, "{text}");
        }
    }

    #[test]
    fn ready_pods_behind_the_named_port_are_candidates_from_a_random_one_on() {
        let endpoint = |number: u8, ready: bool, namespace: &str| {
            json!({"addresses": [format!("10.0.0.{number}")], "conditions": {"ready": ready},
                "targetRef": {"namespace": namespace, "name": format!("p{number}")}})
        };
        let slice = json!({"metadata": {"namespace": "a"}, "addressType": "IPv4",
            "ports": [{"name": "web", "port": 8080}, {"name": "tls", "port": 8443}],
            "endpoints": [endpoint(1, true, "a"), endpoint(2, false, "a"), endpoint(3, true, "a"), endpoint(4, true, "b")]});
        let slices = [Object::from_value(slice).unwrap()];
        let picked = |name: &str, random: usize| -> Vec<String> {
            let found = candidates(&slices, name, |bound| random.min(bound - 1));
            found.into_iter().map(|(address, pod, port)| format!("{pod} {address}:{port}")).collect()
        };
        assert_eq!(picked("web", 0), ["p1 10.0.0.1:8080", "p3 10.0.0.3:8080"]);
        assert_eq!(picked("tls", 1), ["p3 10.0.0.3:8443", "p1 10.0.0.1:8443"]);
        assert_eq!(picked("", 0), [""; 0]);
    }

    #[test]
    fn a_pod_is_reached_at_its_first_declared_port_and_never_at_the_host() {
        let pod = |ip: &str| {
            let containers = json!([{"name": "a"}, {"name": "b", "ports": [{"containerPort": 81}]}]);
            Object::from_value(json!({"spec": {"containers": containers}, "status": {"podIP": ip}})).unwrap()
        };
        let at = |ip: &str, name: &'static str| pod_address(&pod(ip), &split(name).unwrap());
        assert_eq!(at("10.0.0.1", "p"), Ok(("10.0.0.1".into(), 81)));
        assert_eq!(at("10.0.0.1", "p:9"), Ok(("10.0.0.1".into(), 9)));
        for forbidden in ["", "127.0.0.1", "169.254.169.254", "::1", "fe80::1"] {
            assert_eq!(at(forbidden, "p").unwrap_err().message, "address not allowed");
        }
    }
}
