//! How many watches would see a write (k8s.io/apiserver `pkg/util/flowcontrol/watch_tracker.go`).

use crate::request::RequestInfo;
use crate::request::query::Query;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Group, resource, namespace and name; the last two may be empty.
type Target = (String, String, String, String);

/// The watches that are open, by what they are of. Cheap to clone.
#[derive(Clone, Default)]
pub struct Watches(Arc<Mutex<HashMap<Target, usize>>>);

/// Counts a watch for as long as it lives.
pub struct Counted {
    watches: Watches,
    target: Target,
}

impl Watches {
    /// None for watches that hardly any write reaches: those of one node's pods, of which each write is looked up.
    pub fn register(&self, info: &RequestInfo, query: &Query) -> Option<Counted> {
        let of_node = |selector: &str| {
            let terms = selector.split(',').filter_map(|term| term.strip_prefix("spec.nodeName="));
            terms.map(|value| value.trim_start_matches('=')).any(|value| !value.is_empty())
        };
        if info.resource == "pods" && query.get("fieldSelector").is_some_and(of_node) {
            return None;
        }
        let target = (info.group.clone(), info.resource.clone(), info.namespace.clone(), info.name.clone());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(target.clone()).or_default() += 1;
        Some(Counted { watches: self.clone(), target })
    }

    pub fn interested(&self, info: &RequestInfo) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.is_empty() {
            return 0;
        }
        let mut target = (info.group.clone(), info.resource.clone(), String::new(), String::new());
        let count = |target: &Target| counts.get(target).copied().unwrap_or_default();
        let mut sum = count(&target);
        if !info.namespace.is_empty() {
            target.2.clone_from(&info.namespace);
            sum += count(&target);
        }
        if !info.name.is_empty() {
            target.3.clone_from(&info.name);
            sum += count(&target);
        }
        sum
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.watches.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.target) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::info;
    use http::Method;

    fn parse(method: Method, uri: &str) -> (RequestInfo, Query) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = Query::parse(query);
        (info::parse(&method, path, &query).unwrap(), query)
    }

    // Upstream's cases: watch_tracker_test.go, TestGetInterestedWatchCount.
    #[test]
    fn a_write_is_seen_by_watches_of_its_object_namespace_and_resource() {
        let watches = Watches::default();
        let open: Vec<_> = [
            "/api/v1/pods?watch=true",
            "/api/v1/namespaces/ns1/pods?watch=true",
            "/api/v1/namespaces/ns1/pods?watch=true&fieldSelector=metadata.name=mypod",
            "/api/v1/namespaces/ns2/pods?watch=true",
            "/api/v1/namespaces/ns2/pods?watch=true&fieldSelector=spec.nodeName=node1",
            "/api/v1/nodes?watch=true",
        ]
        .iter()
        .filter_map(|uri| {
            let (info, query) = parse(Method::GET, uri);
            watches.register(&info, &query)
        })
        .collect();
        for (uri, expected) in [
            ("/api/v1/namespaces/ns1/pods/mypod", 3),
            ("/api/v1/namespaces/ns1/pods/other", 2),
            ("/api/v1/namespaces/ns2/pods/other", 2),
            ("/api/v1/namespaces/ns3/pods/other", 1),
            ("/api/v1/nodes/n", 1),
            ("/apis/apps/v1/namespaces/ns1/deployments/d", 0),
        ] {
            assert_eq!(watches.interested(&parse(Method::PUT, uri).0), expected, "{uri}");
        }
        drop(open);
        assert_eq!(watches.interested(&parse(Method::PUT, "/api/v1/nodes/n").0), 0);
        assert!(watches.0.lock().unwrap().is_empty());
    }
}
