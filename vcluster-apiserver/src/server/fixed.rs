//! The paths beside the API: discovery, OpenAPI, health, version, metrics, the token issuer's documents.

use super::Server;
use crate::api::error::{no_such_method, no_such_path};
use crate::registry::Snapshot;
use crate::request::body::{self, Body};
use crate::request::info::RequestInfo;
use crate::request::query::Query;
use apimachinery::{GroupVersion, Status};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The release that is served; clients derive skew and image tags from it.
pub const VERSION: &str = "v1.37.2";

pub async fn serve(server: &Server, info: &RequestInfo, request: Request<Body>) -> Result<Response<Body>, Status> {
    let inner = &server.inner;
    let path = info.path.trim_end_matches('/');
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !matches!(first, "api" | "apis") {
        return Ok(no_such_path());
    }
    Ok(match first {
        "livez" | "readyz" | "healthz" => inner.health.serve(path, &query).unwrap_or_else(no_such_path),
        "api" | "apis" => {
            let snapshot = inner.api.registry.snapshot();
            let answer = inner.discovery.serve(&snapshot, path, &query, request.headers())?;
            // The list of groups is answered whatever the method; the router knows the others, for reading only.
            if !reads && path != "/apis" && answer.status().is_success() {
                return Err(no_such_method());
            }
            answer
        }
        "openapi" => {
            let snapshot = inner.api.registry.snapshot();
            let now = inner.api.store.clock.now();
            return inner.openapi.serve(&snapshot, path, &query, request.headers(), now);
        }
        "version" if path == "/version" => document("application/json", version().into()),
        "metrics" if path == "/metrics" => {
            document("text/plain; version=0.0.4; charset=utf-8", inner.metrics.text(server).into())
        }
        ".well-known" if path == "/.well-known/openid-configuration" && !inner.issuer.configuration.is_empty() => {
            cached(document("application/json", inner.issuer.configuration.clone()))
        }
        "openid" if path == "/openid/v1/jwks" && !inner.issuer.keys.is_empty() => {
            cached(document("application/jwk-set+json", inner.issuer.keys.clone()))
        }
        "" => document("application/json", index(&inner.api.registry.snapshot()).into()),
        _ => no_such_path(),
    })
}

fn document(media: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// The issuer's documents may be kept for an hour, as upstream says.
fn cached(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

fn version() -> String {
    let info = json!({
        "major": "1", "minor": "37", "emulationMajor": "1", "emulationMinor": "37",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "36",
        "gitVersion": VERSION, "gitCommit": env!("CARGO_PKG_VERSION"), "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    });
    serde_json::to_string_pretty(&info).unwrap_or_default()
}

/// Go's name of the architecture.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What is served, by path.
fn index(snapshot: &Snapshot) -> String {
    let fixed = [
        "/.well-known/openid-configuration",
        "/api",
        "/apis",
        "/apis/",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    let mut paths: BTreeSet<String> = fixed.into_iter().map(str::to_owned).collect();
    for served in &snapshot.versions {
        let GroupVersion { group, version } = &served.group_version;
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        paths.insert(format!("{root}/{version}"));
        paths.insert(root);
    }
    json!({ "paths": paths }).to_string()
}

/// A few counters in Prometheus' text form.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: AtomicU64,
    failures: AtomicU64,
    writes: AtomicU64,
    microseconds: AtomicU64,
}

impl Metrics {
    pub fn count(&self, method: &Method, code: StatusCode, elapsed: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(elapsed.as_micros() as u64, Ordering::Relaxed);
        if code.is_server_error() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn text(&self, server: &Server) -> String {
        let mut out = String::new();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let total = read(&self.requests);
        let writes = read(&self.writes);
        let _ = writeln!(out, "# TYPE apiserver_request_total counter");
        let _ = writeln!(out, "apiserver_request_total{{kind=\"read\"}} {}", total.saturating_sub(writes));
        let _ = writeln!(out, "apiserver_request_total{{kind=\"write\"}} {writes}");
        let _ = writeln!(out, "# TYPE apiserver_request_terminations_total counter");
        let _ = writeln!(out, "apiserver_request_terminations_total{{code=\"5xx\"}} {}", read(&self.failures));
        let _ = writeln!(out, "# TYPE apiserver_request_duration_seconds summary");
        let _ = writeln!(out, "apiserver_request_duration_seconds_sum {}", read(&self.microseconds) as f64 / 1e6);
        let _ = writeln!(out, "apiserver_request_duration_seconds_count {total}");
        if let Some(flow) = &server.inner.guards.flow {
            flow.metrics(&mut out);
        }
        let _ = writeln!(out, "# TYPE apiserver_storage_revision gauge");
        let _ = writeln!(out, "apiserver_storage_revision {}", server.cache().applied());
        let _ = writeln!(out, "# TYPE apiserver_storage_objects gauge");
        let snapshot = server.inner.api.registry.snapshot();
        for resource in snapshot.resources().filter(|r| r.is_persisted() && r.stored.conversion.is_none()) {
            let count = server.cache().snapshot(&resource.stored.resource).entries.len();
            let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{}\"}} {count}", resource.stored.resource);
        }
        out
    }
}
