//! Authentication, authorization, admission and reviews in one server, as a tenant runs them.

use apimachinery::clock::{Clock, FixedClock, SeededRng};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use storage::{Bounds, Cache, Memory, Storage};
use vcluster_apiserver::authn::bearer::Bearer;
use vcluster_apiserver::authn::chain::Chain;
use vcluster_apiserver::authn::issuer::{self, Issuer};
use vcluster_apiserver::authn::service_account::ServiceAccountTokens;
use vcluster_apiserver::authn::x509::ClientCertificates;
use vcluster_apiserver::authn::{Peer, TokenAuthenticator};
use vcluster_apiserver::authz::Authorizer;
use vcluster_apiserver::authz::node::NodeAuthorizer;
use vcluster_apiserver::authz::rbac::Rbac;
use vcluster_apiserver::authz::union::Union;
use vcluster_apiserver::backend::Backend;
use vcluster_apiserver::pki::{Authority, PrivateKey};
use vcluster_apiserver::proxy::Unconnected;
use vcluster_apiserver::registry::addresses::{Local, Network};
use vcluster_apiserver::registry::{Registry, builtin};
use vcluster_apiserver::request::body;
use vcluster_apiserver::reviews::specials;
use vcluster_apiserver::server::bootstrap::Endpoint;
use vcluster_apiserver::server::chain::Identity;
use vcluster_apiserver::server::health::Health;
use vcluster_apiserver::server::{Config, DEADLINE, IssuerDocuments, Server};
use vcluster_apiserver::{admission, bootstrap};

struct World {
    server: Server,
    clock: Arc<FixedClock>,
    authority: Authority,
}

/// Who sends a request.
enum As<'a> {
    User(&'a str, &'a [&'a str]),
    Token(&'a str),
    Nobody,
}

const ADMIN: As<'static> = As::User("admin", &["system:masters"]);

async fn world() -> World {
    let clock = Arc::new(FixedClock::new(1_800_000_000));
    let rng = Arc::new(SeededRng::new(1));
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let cache = Arc::new(Cache::start(storage, Bounds::default()).await.expect("an empty store is read"));
    let backend = Backend { storage: cache.clone() };
    bootstrap::rbac::reconcile(&backend, clock.now(), &*rng).await.expect("memory takes every write");

    let authority = Authority::generate("kubernetes", clock.now()).expect("keys can be made");
    let name = "https://kubernetes.default.svc".to_owned();
    let issuer = Arc::new(Issuer::new(issuer::Config {
        issuers: vec![name.clone()],
        audiences: vec![name],
        signing_key: PrivateKey::generate().expect("keys can be made"),
        verifying_keys: vec![],
    }));
    let accounts = ServiceAccountTokens::new(issuer.clone(), backend.clone(), clock.clone());
    let bearer = Arc::new(Bearer::new(vec![Arc::new(accounts) as Arc<dyn TokenAuthenticator>]));
    let certificates = ClientCertificates::new(vec![authority.certificate().clone()], clock.clone());
    let (rbac, revision) = Rbac::load(backend.clone()).await.expect("the roles are read");
    tokio::spawn(rbac.clone().run(revision));
    let node = NodeAuthorizer::new(backend, bootstrap::rbac::rules_of("system:node"));
    let authorizer: Arc<dyn Authorizer> = Arc::new(Union::new(vec![Arc::new(node), rbac.clone()]));

    let plugins = admission::Deps {
        authorizer: authorizer.clone(),
        rbac: Some(rbac.clone()),
        clock: clock.clone(),
        rng: rng.clone(),
    };
    let reviews = specials::Deps {
        authorizer: authorizer.clone(),
        rbac,
        tokens: bearer.clone(),
        issuer: issuer.clone(),
        clock: clock.clone(),
    };
    let network = Network {
        service_cidr: ipnet::Ipv4Net::new_assert([10, 96, 0, 0].into(), 16).into(),
        node_ports: (30000, 32767),
    };
    let endpoint = Endpoint {
        service: [10, 96, 0, 1].into(),
        addresses: vec![[192, 0, 2, 1].into()],
        port: 6443,
        service_cidr: "10.96.0.0/16".to_owned(),
    };
    let server = Server::new(Config {
        cache,
        registry: Arc::new(Registry::new(builtin::snapshot())),
        authenticator: Arc::new(Chain::new(vec![Arc::new(certificates), bearer], true)),
        authorizer,
        admission: admission::built_in(plugins, vec![]),
        special: specials::specials(&reviews),
        connector: Arc::new(Unconnected),
        addresses: Arc::new(Local { network, rng: rng.clone() }),
        clock: clock.clone(),
        rng,
        health: Arc::new(Health::new()),
        issuer: IssuerDocuments {
            configuration: issuer.discovery("https://192.0.2.1:6443").to_string().into(),
            keys: issuer.key_set().to_string().into(),
        },
        address: endpoint.address(),
        deadline: DEADLINE,
    });
    server.bootstrap(&endpoint).await.expect("memory takes every write");
    World { server, clock, authority }
}

impl World {
    async fn send(&self, who: &As<'_>, method: &str, uri: &str, object: Option<&Value>) -> (u16, Value) {
        let mut peer = Peer::default();
        let mut request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        match who {
            As::User(name, groups) => {
                let hour = jiff::SignedDuration::from_hours(1);
                let issued = self
                    .authority
                    .issue_client(name, groups, hour, self.clock.now())
                    .expect("certificates can be made");
                peer.certificates = Arc::new(vec![issued.certificate.to_vec()]);
            }
            As::Token(token) => request = request.header("authorization", format!("Bearer {token}")),
            As::Nobody => {}
        }
        let text = object.map(Value::to_string).unwrap_or_default();
        let request = request.body(body::full(text)).expect("the request is well-formed");
        let (parts, body) = self.server.handle(&Identity::Unknown(peer), request).await.into_parts();
        let bytes = body.collect().await.expect("the body ends").to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn post(&self, uri: &str, object: Value) -> Value {
        let (code, answer) = self.send(&ADMIN, "POST", uri, Some(&object)).await;
        assert!((200..300).contains(&code), "POST {uri}: {code} {answer}");
        answer
    }

    /// A namespace `ns` with its default service account.
    async fn namespace(&self) {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "ns" } });
        self.post("/api/v1/namespaces", namespace).await;
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
        self.post("/api/v1/namespaces/ns/serviceaccounts", account).await;
    }
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "a", "image": "i" }] },
    })
}

#[tokio::test]
async fn a_pod_is_shaped_by_admission() {
    let world = world().await;
    world.namespace().await;
    let pod = world.post("/api/v1/namespaces/ns/pods", pod("p")).await;
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(spec["volumes"][0]["projected"]["sources"].as_array().unwrap().len(), 3);
    let (code, status) = world.send(&ADMIN, "POST", "/api/v1/namespaces/none/pods", Some(&self::pod("p"))).await;
    assert_eq!((code, &status["message"]), (404, &json!("namespaces \"none\" not found")));
}

#[tokio::test]
async fn a_quota_is_charged_with_the_object() {
    let world = world().await;
    world.namespace().await;
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "q" },
        "spec": { "hard": { "pods": "1" } },
    });
    let mut quota = world.post("/api/v1/namespaces/ns/resourcequotas", quota).await;
    quota["status"] = json!({ "hard": { "pods": "1" }, "used": { "pods": "0" } });
    let uri = "/api/v1/namespaces/ns/resourcequotas/q";
    let (code, _) = world.send(&ADMIN, "PUT", &format!("{uri}/status"), Some(&quota)).await;
    assert_eq!(code, 200);
    world.post("/api/v1/namespaces/ns/pods", pod("a")).await;
    let (_, quota) = world.send(&ADMIN, "GET", uri, None).await;
    assert_eq!(quota["status"]["used"], json!({ "pods": "1" }));
    let (code, status) = world.send(&ADMIN, "POST", "/api/v1/namespaces/ns/pods", Some(&pod("b"))).await;
    let text = "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    assert_eq!((code, &status["message"]), (403, &json!(text)));
}

#[tokio::test]
async fn a_service_account_comes_as_far_as_its_roles_reach() {
    let world = world().await;
    world.namespace().await;
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let answer = world.post("/api/v1/namespaces/ns/serviceaccounts/default/token", request).await;
    let token = answer["status"]["token"].as_str().unwrap();
    let account = As::Token(token);

    let (code, status) = world.send(&account, "GET", "/api/v1/namespaces/ns/pods", None).await;
    let text = "pods is forbidden: User \"system:serviceaccount:ns:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"ns\"";
    assert_eq!((code, &status["message"]), (403, &json!(text)));
    assert_eq!(world.send(&account, "GET", "/api", None).await.0, 200);

    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": "r" },
        "rules": [{ "verbs": ["list"], "apiGroups": [""], "resources": ["pods"] }],
    });
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/ns";
    world.post(&format!("{rbac}/roles"), role).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "b" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": "ns" }],
    });
    world.post(&format!("{rbac}/rolebindings"), binding).await;
    while world.send(&account, "GET", "/api/v1/namespaces/ns/pods", None).await.0 != 200 {
        tokio::task::yield_now().await;
    }
    let access = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "namespace": "ns", "verb": "list", "resource": "pods" } },
    });
    let uri = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let (code, review) = world.send(&account, "POST", uri, Some(&access)).await;
    let reason = "RBAC: allowed by RoleBinding \"b/ns\" of Role \"r\" to ServiceAccount \"default/ns\"";
    assert_eq!((code, &review["status"]), (201, &json!({ "allowed": true, "reason": reason })));

    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token },
    });
    let review = world.post("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!(review["status"]["user"]["username"], "system:serviceaccount:ns:default");

    world.clock.advance(Duration::from_secs(3662));
    assert_eq!(world.send(&account, "GET", "/api", None).await.0, 401);
}

#[tokio::test]
async fn strangers_see_what_is_public_and_forgers_nothing() {
    let world = world().await;
    assert_eq!(world.send(&As::Nobody, "GET", "/version", None).await.0, 200);
    assert_eq!(world.send(&As::Nobody, "GET", "/api/v1/namespaces", None).await.0, 403);
    let (code, status) = world.send(&As::Token("forged"), "GET", "/version", None).await;
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    let jane = As::User("jane", &["dev"]);
    let (code, status) = world.send(&jane, "GET", "/api/v1/nodes", None).await;
    let text =
        "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    assert_eq!((code, &status["message"]), (403, &json!(text)));
}

#[tokio::test]
async fn nobody_grants_what_they_lack() {
    let world = world().await;
    world.namespace().await;
    let binding = |role: &str, user: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": format!("{role}-{user}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
        })
    };
    let uri = "/apis/rbac.authorization.k8s.io/v1/namespaces/ns/rolebindings";
    world.post(uri, binding("system:aggregate-to-admin", "jane")).await;
    let jane = As::User("jane", &[]);
    loop {
        let (code, status) = world.send(&jane, "POST", uri, Some(&binding("cluster-admin", "mallory"))).await;
        let message = status["message"].as_str().unwrap_or_default();
        if message.contains("is attempting to grant RBAC permissions not currently held") {
            assert_eq!(code, 403);
            break;
        }
        // The policy has not seen jane's own binding yet.
        assert!(message.contains("cannot create resource"), "{code} {status}");
        tokio::task::yield_now().await;
    }
}
