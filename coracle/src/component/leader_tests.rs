//! The rules of the lease as a table, and two candidates over a lease in memory.

use super::*;
use apimachinery::clock::FixedClock;
use futures::future::pending;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

fn spec(holder: &str, seconds: i32, transitions: i32) -> LeaseSpec {
    serde_json::from_value(json!({"holderIdentity": holder, "leaseDurationSeconds": seconds,
        "leaseTransitions": transitions, "acquireTime": "2020-01-01T00:00:00.000000Z"}))
    .unwrap()
}

#[test]
fn a_lease_is_taken_when_it_is_free_on_our_own_clock() {
    // The lease, seconds after it was first seen like this, and what is written: transitions, and whether it was taken anew.
    for (what, lease, after, expected) in [
        ("nobody has made it", None, 0, Some((0, true))),
        ("given back", Some(spec("", 1, 3)), 0, Some((4, true))),
        ("another's, just seen", Some(spec("other", 15, 3)), 0, None),
        ("another's, still fresh", Some(spec("other", 15, 3)), 14, None),
        ("another's, run out", Some(spec("other", 15, 3)), 15, Some((4, true))),
        ("our own", Some(spec("me", 15, 3)), 2, Some((3, false))),
    ] {
        let clock = Arc::new(FixedClock::new(1_700_000_000));
        let mut record = Record::new("me", clock.clone());
        record.claim(lease.as_ref());
        clock.advance(Duration::from_secs(after));
        let claim = record.claim(lease.as_ref());
        let anew = |claim: &LeaseSpec| claim.acquire_time == Some(MicroTime(clock.now()));
        let written = claim.as_ref().map(|claim| (claim.lease_transitions.unwrap(), anew(claim)));
        assert_eq!(written, expected, "{what}");
        assert!(claim.is_none_or(|claim| claim.holder_identity.as_deref() == Some("me")), "{what}");
    }
}

#[test]
fn a_renewal_by_another_starts_its_time_again() {
    let clock = Arc::new(FixedClock::new(1_700_000_000));
    let mut record = Record::new("me", clock.clone());
    assert!(record.claim(Some(&spec("other", 15, 0))).is_none());
    clock.advance(Duration::from_secs(14));
    assert!(record.claim(Some(&spec("other", 15, 1))).is_none());
    clock.advance(Duration::from_secs(14));
    assert!(record.claim(Some(&spec("other", 15, 1))).is_none());
}

/// A server that holds one lease, and can be told to refuse writes.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    refuses: Arc<AtomicBool>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let read = request.method() == Method::GET;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut lease = self.lease.lock().unwrap();
        let (code, answer) = if read {
            lease.clone().map_or((404, json!({})), |lease| (200, lease))
        } else if self.refuses.load(Ordering::Relaxed) {
            (503, json!({}))
        } else {
            *lease = Some(serde_json::from_slice(&body).unwrap());
            (200, lease.clone().unwrap())
        };
        let answer = if code == 200 {
            answer
        } else {
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "",
                "reason": if code == 404 { "NotFound" } else { "ServiceUnavailable" }, "code": code})
        };
        let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }

    fn holder(&self) -> String {
        let lease = self.lease.lock().unwrap();
        lease.as_ref().and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default().to_owned()
    }

    fn candidate(&self, identity: &str) -> Election {
        let record = Record::new(identity, Arc::new(FixedClock::new(1_700_000_000)));
        Election::new(self.client(), "kube-system", "test", record)
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_leads_when_the_first_has_finished() {
    let (server, stop) = (Server::default(), CancellationToken::new());
    let first = server.candidate("first").lead(&stop, sleep(Duration::from_secs(50)));
    let led = Mutex::new(Vec::new());
    let second = async {
        sleep(Duration::from_secs(1)).await;
        server.candidate("second").lead(&stop, async { led.lock().unwrap().push(server.holder()) }).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(*led.lock().unwrap(), ["second"]);
    assert_eq!(server.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn work_ends_when_the_lease_cannot_be_renewed() {
    let (server, stop) = (Server::default(), CancellationToken::new());
    let begun = tokio::time::Instant::now();
    let work = async {
        server.refuses.store(true, Ordering::Relaxed);
        pending::<()>().await;
    };
    let lost = server.candidate("first").lead(&stop, work).await.unwrap_err();
    assert_eq!(lost.to_string(), "the lease test was lost");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_end_while_waiting_does_no_work() {
    let (server, stop) = (Server::default(), CancellationToken::new());
    assert!(server.candidate("first").try_once().await.unwrap());
    stop.cancel();
    let work = async { unreachable!("the lease is another's") };
    assert!(server.candidate("second").lead(&stop, work).await.is_ok());
}
