//! Classification, waiting and adjustment over a store.

use super::*;
use crate::authn::user::{AUTHENTICATED, MASTERS, service_account};
use crate::request::info;
use apimachinery::clock::{FixedClock, SeededRng};
use http::Method;
use serde_json::{Value, json};
use storage::{Bounds, Memory, Storage};

async fn flow(seats: usize) -> Arc<FlowControl> {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let cache = Arc::new(Cache::start(storage, Bounds::default()).await.unwrap());
    let (clock, rng) = (Arc::new(FixedClock::new(1)), Arc::new(SeededRng::new(1)));
    bootstrap::ensure(&Backend { storage: cache.clone() }, clock.now(), &*rng).await.unwrap();
    let (flow, revision) = FlowControl::load(cache, clock, rng, seats).await.unwrap();
    tokio::spawn(flow.clone().run(revision));
    flow
}

fn request(method: Method, uri: &str) -> (RequestInfo, Query) {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let query = Query::parse(query);
    (info::parse(&method, path, &query).unwrap(), query)
}

fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo { name: name.into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..UserInfo::default() }
}

const MINUTE: Duration = Duration::from_mins(1);

async fn admit(flow: &FlowControl, user: &UserInfo, method: Method, uri: &str) -> Option<Turn> {
    let (info, query) = request(method, uri);
    let allowed = (!info.is_long_running()).then_some(MINUTE);
    flow.admit(user, &info, &query, allowed, MINUTE).await
}

#[tokio::test(start_paused = true)]
async fn requests_are_sorted_as_upstream_sorts_them() {
    let flow = flow(SEATS).await;
    let controller = service_account("kube-system", "deployment-controller", "");
    let account = service_account("default", "default", "");
    for (user, method, uri, expected) in [
        (user("a", &[MASTERS]), Method::GET, "/api/v1/pods", Some(("exempt", "exempt"))),
        (user("a", &[AUTHENTICATED]), Method::GET, "/readyz", Some(("probes", "exempt"))),
        (user("a", &[AUTHENTICATED]), Method::GET, "/api/v1/pods", Some(("global-default", "global-default"))),
        (
            user("system:kube-scheduler", &[AUTHENTICATED]),
            Method::GET,
            "/api/v1/pods",
            Some(("kube-scheduler", "workload-high")),
        ),
        (
            user("system:kube-scheduler", &[AUTHENTICATED]),
            Method::PUT,
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x",
            Some(("system-leader-election", "leader-election")),
        ),
        (
            user("system:node:n", &["system:nodes"]),
            Method::PATCH,
            "/api/v1/nodes/n/status",
            Some(("system-node-high", "node-high")),
        ),
        (user("system:node:n", &["system:nodes"]), Method::GET, "/api/v1/pods", Some(("system-nodes", "system"))),
        (
            controller,
            Method::POST,
            "/api/v1/namespaces/a/pods",
            Some(("kube-system-service-accounts", "workload-high")),
        ),
        (account, Method::GET, "/api/v1/pods?watch=true", Some(("service-accounts", "workload-low"))),
        (user("nobody", &[]), Method::GET, "/api/v1/pods", Some(("catch-all", "catch-all"))),
        (user("a", &[AUTHENTICATED]), Method::POST, "/api/v1/namespaces/a/pods/p/exec", None),
    ] {
        let turn = admit(&flow, &user, method, uri).await;
        let config = flow.config.load();
        let got = turn.as_ref().map(|turn| {
            let found = config.schemas.iter().find(|(schema, _)| schema.uid == turn.schema_uid).unwrap();
            assert_eq!(found.1.uid(), turn.level_uid);
            (found.0.name.as_str(), found.1.name.as_str())
        });
        assert_eq!(got, expected, "{} {uri}", user.name);
        if let Some(turn) = turn {
            let mut headers = HeaderMap::new();
            turn.mark(&mut headers);
            assert!(headers[SCHEMA_UID].len() == 36 && headers[LEVEL_UID].len() == 36);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_refused_and_others_are_served() {
    let flow = flow(12).await;
    let (loud, quiet) = (user("loud", &[AUTHENTICATED]), user("quiet", &[AUTHENTICATED]));
    let limit = flow.config.load().levels["global-default"].counts().2;
    let mut held = Vec::new();
    for _ in 0..limit {
        held.push(admit(&flow, &loud, Method::GET, "/version").await.unwrap());
    }
    assert!(held.iter().all(|turn| turn.outcome.is_ok()));
    let waiting: Vec<_> = (0..600)
        .map(|_| {
            let (flow, loud) = (flow.clone(), loud.clone());
            tokio::spawn(async move { admit(&flow, &loud, Method::GET, "/version").await.unwrap().outcome.is_ok() })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(held);
    let turn = admit(&flow, &quiet, Method::GET, "/version").await.unwrap();
    assert!(turn.outcome.is_ok());
    let mut served = 0;
    for waited in waiting {
        served += usize::from(waited.await.unwrap());
    }
    // Six queues of fifty are all that one flow may fill.
    assert!((1..=310).contains(&served), "{served}");
}

#[tokio::test(start_paused = true)]
async fn changes_of_the_configuration_are_seen_and_bootstrap_objects_come_back() {
    let flow = flow(SEATS).await;
    let backend = flow.backend();
    let put = async |resource: &str, object: Value| {
        let object = Object::from_value(object).unwrap();
        let write = Backend::put(&GroupResource::new(GROUP, resource), &object);
        backend.storage.transact(vec![], vec![write]).await.unwrap();
    };
    put(
        LEVELS,
        json!({"metadata": {"name": "mine", "uid": "level"}, "spec": {"type": "Limited",
        "limited": {"nominalConcurrencyShares": 10, "limitResponse": {"type": "Reject"}}}}),
    )
    .await;
    put(SCHEMAS, json!({"metadata": {"name": "mine", "uid": "schema"}, "spec": {"matchingPrecedence": 3,
        "priorityLevelConfiguration": {"name": "mine"}, "rules": [{"subjects": [{"kind": "User", "user": {"name": "me"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})).await;
    let me = user("me", &[AUTHENTICATED]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let turn = admit(&flow, &me, Method::GET, "/version").await.unwrap();
    assert_eq!((&*turn.schema_uid, &*turn.level_uid), ("schema", "level"));
    let mut text = String::new();
    flow.metrics(&mut text);
    assert!(text.contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"mine\"} 24\n"), "{text}");

    let resource = GroupResource::new(GROUP, LEVELS);
    let gone = backend.object(&resource, "", "system").await.unwrap().unwrap();
    let key = Backend::key(&resource, "", "system");
    backend.storage.transact(vec![], vec![storage::Write::Delete(key, crate::backend::unsealed(&gone))]).await.unwrap();
    assert!(backend.object(&resource, "", "system").await.unwrap().is_none());
    tokio::time::sleep(RESTORE * 2).await;
    assert!(backend.object(&resource, "", "system").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn adjustments_stop_when_nobody_wants_anything() {
    let flow = flow(SEATS).await;
    let busy = user("busy", &[AUTHENTICATED]);
    let turn = admit(&flow, &busy, Method::GET, "/version").await.unwrap();
    tokio::time::sleep(PERIOD * 3).await;
    assert!(!flow.resting.load(Ordering::Acquire));
    drop(turn);
    tokio::time::sleep(PERIOD * 3).await;
    assert!(flow.resting.load(Ordering::Acquire));
}
