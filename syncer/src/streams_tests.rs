//! Streams end at the host's pod, with the control plane's credentials and nobody else's.

use super::*;
use proptest::prelude::*;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

type Seen = Arc<Mutex<Option<Request<()>>>>;

fn streams(answer: (u16, &'static str)) -> (HostStreams, Seen) {
    let seen = Seen::default();
    let record = seen.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        *record.lock().unwrap() = Some(request.map(drop));
        async move {
            let answer = Response::builder().status(answer.0).body(Body::from(answer.1.as_bytes().to_vec())).unwrap();
            Ok::<_, Infallible>(answer)
        }
    });
    let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
    (HostStreams::new(config, kube::Client::new(service, "hosted")), seen)
}

fn request(path: &str) -> Request<Bytes> {
    Request::builder()
        .uri(path)
        .header("authorization", "Bearer tenant")
        .header("impersonate-user", "root")
        .header("x-remote-user", "root")
        .header("upgrade", "websocket")
        .header("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0")
        .body(Bytes::new())
        .unwrap()
}

#[tokio::test]
async fn a_request_reaches_the_host_pod_without_the_callers_credentials() {
    let (streams, seen) = streams((200, "line"));
    let path = "/api/v1/namespaces/ns/pods/web/exec?command=ls&container=c";
    let answer = streams.forward(request(path)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = seen.lock().unwrap().take().unwrap();
    assert_eq!(seen.uri(), "/api/v1/namespaces/hosted/pods/web-x-ns-x-t/exec?command=ls&container=c");
    let headers = seen.headers();
    assert_eq!(headers["sec-websocket-protocol"], "v5.channel.k8s.io");
    assert_eq!(headers["upgrade"], "websocket");
    for name in ["authorization", "impersonate-user", "x-remote-user"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn refusals_speak_of_the_tenants_pod() {
    let (streams, _) = streams((404, r#"{"message":"pods \"web-x-ns-x-t\" not found in hosted"}"#));
    let answer = streams.forward(request("/api/v1/namespaces/ns/pods/web/log")).await.unwrap();
    assert_eq!(answer.status(), 404);
    let body = answer.into_body().collect_bytes().await.unwrap();
    assert_eq!(body, r#"{"message":"pods \"web\" not found in ns"}"#);
}

#[tokio::test]
async fn nothing_but_streams_of_pods_is_forwarded() {
    let (streams, seen) = streams((200, ""));
    for path in [
        "/api/v1/namespaces/ns/pods/web",
        "/api/v1/namespaces/ns/pods/web/status",
        "/api/v1/namespaces/ns/pods/web/exec/more",
        "/api/v1/namespaces/ns/secrets/web/log",
        "/api/v1/namespaces/ns/pods/..%2f..%2fsecrets/log",
        "/api/v1/pods/web/log",
    ] {
        assert!(matches!(streams.forward(request(path)).await, Err(Error::Path { .. })), "{path}");
    }
    assert!(seen.lock().unwrap().is_none());
}

proptest! {
    #[test]
    fn a_target_is_what_the_path_says(path in "/api/v1/namespaces/[a-z./%]{0,8}/pods/[a-z./%-]{0,8}/(log|exec|x)") {
        if let Some(target) = Target::parse(&path) {
            let again = format!("/api/v1/namespaces/{}/pods/{}/{}", target.namespace, target.pod, target.subresource);
            prop_assert_eq!(again, path);
        }
    }
}
