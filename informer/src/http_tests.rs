//! The source against a scripted server, on a paused clock.

use super::*;
use http_body::Frame;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::Body;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Script = Vec<(&'static str, u16, &'static str)>;

/// Answers the requests in order and fails the test when one is not the expected. Past the end it answers nothing.
fn client(script: Script) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new(script.into_iter()));
    let log = asked.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let answer = script.lock().unwrap().next();
        log.lock().unwrap().push(request.uri().to_string());
        async move {
            let Some((_, code, body)) = answer else { return std::future::pending().await };
            let response = http::Response::builder().status(code).body(Body::from(body.as_bytes().to_vec()));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    (Client::new(service, "default"), asked)
}

const LIST: &str = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a","namespace":"n","resourceVersion":"3"}}]}"#;

fn pods() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "pods")
}

fn say(change: &Change) -> String {
    let one = |raw: &Raw| format!("{}/{}@{}", raw.namespace, raw.name, raw.revision);
    match change {
        Change::Replaced(all) => format!("= {}", all.iter().map(one).collect::<Vec<_>>().join(" ")),
        Change::Applied(raw) => format!("+ {}", one(raw)),
        Change::Deleted(raw) => format!("- {}", one(raw)),
    }
}

async fn run(script: Script, changes: usize) -> (Vec<String>, Vec<String>) {
    let (client, asked) = client(script);
    let source = HttpSource::new(client);
    let told = source.follow(&pods()).take(changes).map(|change| say(&change)).collect().await;
    (told, asked.lock().unwrap().clone())
}

#[tokio::test(start_paused = true)]
async fn it_lists_watches_and_resumes_after_a_bookmark() {
    let watch = concat!(
        r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","namespace":"n","resourceVersion":"7"}}}"#,
        "\n",
        r#"{"type":"DELETED","object":{"metadata":{"name":"a","namespace":"n","resourceVersion":"8"}}}"#,
        "\n",
        r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"20"}}}"#,
        "\n"
    );
    let again = r#"{"type":"MODIFIED","object":{"metadata":{"name":"b","namespace":"n","resourceVersion":"21"}}}"#;
    let (told, asked) = run(vec![("list", 200, LIST), ("watch", 200, watch), ("watch", 200, again)], 4).await;
    assert_eq!(told, ["= n/a@3", "+ n/b@7", "- n/a@8", "+ n/b@21"]);
    assert_eq!(
        asked,
        [
            "/api/v1/pods?limit=500",
            "/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=330&resourceVersion=5",
            "/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=330&resourceVersion=20",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_lists_again_in_pages() {
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
    let first = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"x=/"},"items":[{"metadata":{"name":"a","resourceVersion":"3"}}]}"#;
    let second = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"b","resourceVersion":"4"}}]}"#;
    let (told, asked) =
        run(vec![("list", 200, LIST), ("watch", 200, gone), ("page", 200, first), ("page", 200, second)], 2).await;
    assert_eq!(told, ["= n/a@3", "= /a@3 /b@4"]);
    assert_eq!(asked[2..], ["/api/v1/pods?limit=500", "/api/v1/pods?limit=500&continue=x%3D%2F"]);
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_keep_the_place() {
    let status =
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"message":"no","reason":"InternalError"}"#;
    let event = r#"{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"n","resourceVersion":"6"}}}"#;
    let begin = Instant::now();
    let script = vec![
        ("list", 500, status),
        ("list", 200, LIST),
        ("watch", 500, status),
        ("watch", 500, status),
        ("watch", 200, event),
    ];
    let (told, asked) = run(script, 2).await;
    assert_eq!(told, ["= n/a@3", "+ n/b@6"]);
    assert!(asked[4].ends_with("resourceVersion=5"));
    assert_eq!(begin.elapsed().as_millis(), 800 + 800 + 1600);
}

type Answer = http::Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// An answer that says this and ends, or falls silent for ever: a connection that was lost without a word.
fn answer(said: &'static str, ends: bool) -> Answer {
    let said = stream::iter([Ok(Frame::data(Bytes::from_static(said.as_bytes())))]);
    let said = if ends { said.boxed() } else { said.chain(stream::pending()).boxed() };
    http::Response::new(UnsyncBoxBody::new(StreamBody::new(said)))
}

#[tokio::test(start_paused = true)]
async fn lost_connections_are_given_up() {
    const EVENT: &str = r#"{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"n","resourceVersion":"7"}}}"#;
    const BOOKMARK: &str = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"6\"}}}\n";
    // What the first watch says before it falls silent, and when the change comes over the next.
    let cases = [("", SILENCE), (BOOKMARK, BOOKMARKED_SILENCE)];
    for (said, silence) in cases {
        let count = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn(move |_: http::Request<Body>| {
            // The first list is never answered.
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                Ok::<_, std::convert::Infallible>(match number {
                    0 => std::future::pending().await,
                    1 => answer(LIST, true),
                    2 => answer(said, false),
                    _ => answer(EVENT, true),
                })
            }
        });
        let begin = Instant::now();
        let source = HttpSource::new(Client::new(service, "default"));
        let told: Vec<String> = source.follow(&pods()).take(2).map(|change| say(&change)).collect().await;
        assert_eq!(told, ["= n/a@3", "+ n/b@7"]);
        assert_eq!(begin.elapsed(), ANSWER + BACKOFF.0 + silence + BACKOFF.0, "{said}");
    }
}

#[test]
fn list_items_get_their_type() {
    let typed = |item: &str| String::from_utf8(with_type(item, "v1", "Pod").unwrap().to_vec()).unwrap();
    assert_eq!(typed(r#"{"metadata":{}}"#), r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#);
    assert_eq!(typed("{}"), r#"{"apiVersion":"v1","kind":"Pod"}"#);
    assert_eq!(typed(r#"{"kind":"X"}"#), r#"{"kind":"X"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_scope_narrows_the_requests() {
    let (client, asked) = client(vec![("list", 200, LIST)]);
    let scope = Scope { namespace: Some("t".into()), label_selector: Some("a=b,c".into()), field_selector: None };
    let source = HttpSource::new(client).scope_for(pods(), scope);
    let _first = source.follow(&pods()).next().await;
    assert_eq!(*asked.lock().unwrap(), ["/api/v1/namespaces/t/pods?limit=500&labelSelector=a%3Db%2Cc"]);
}
