//! `/livez`, `/readyz`, `/healthz`: named checks, with the components' own among them.

use crate::api::error::text;
use crate::request::body::Body;
use crate::request::query::Query;
use http::{Response, StatusCode};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// A check that answers at once; the error goes to the log and not to the client.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Which question a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A failure is only cured by a restart: asked by all three.
    Live,
    /// A failure passes: not asked by `/livez`.
    Ready,
}

/// The registered checks.
#[derive(Default)]
pub struct Health {
    checks: Mutex<BTreeMap<String, (Kind, Check)>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}

impl Health {
    /// With the checks that have nothing to find out.
    pub fn new() -> Self {
        let health = Self::default();
        for name in ["ping", "log"] {
            health.register(name, Kind::Live, Arc::new(|| Ok(())));
        }
        health
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Kind, Check)>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a check or replaces the one of that name.
    pub fn register(&self, name: &str, kind: Kind, check: Check) {
        self.lock().insert(name.to_owned(), (kind, check));
    }

    /// Whether every check holds.
    pub fn is_ready(&self) -> bool {
        let checks: Vec<Check> = self.lock().values().map(|(_, check)| check.clone()).collect();
        checks.iter().all(|check| check().is_ok())
    }

    /// Answers `/livez`, `/readyz`, `/healthz` and their `/name` forms; none when there is no such check.
    pub fn serve(&self, path: &str, query: &Query) -> Option<Response<Body>> {
        let (endpoint, one) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
        let mut checks: Vec<(String, Check)> = self
            .lock()
            .iter()
            .filter(|(_, (kind, _))| endpoint != "livez" || *kind == Kind::Live)
            .map(|(name, (_, check))| (name.clone(), check.clone()))
            .collect();
        if !one.is_empty() {
            checks.retain(|(name, _)| name == one);
            let (name, check) = checks.pop()?;
            return Some(match check() {
                Ok(()) => text(StatusCode::OK, "ok"),
                Err(error) => {
                    tracing::warn!(check = name, error, "a health check failed");
                    text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {error}\n"))
                }
            });
        }
        let excluded: Vec<&str> = query.all("exclude").collect();
        let (mut report, mut failed) = (String::new(), Vec::new());
        for (name, check) in checks {
            if excluded.contains(&name.as_str()) {
                let _ = writeln!(report, "[+]{name} excluded: ok");
                continue;
            }
            match check() {
                Ok(()) => {
                    let _ = writeln!(report, "[+]{name} ok");
                }
                Err(error) => {
                    tracing::warn!(check = name, error, "a health check failed");
                    let _ = writeln!(report, "[-]{name} failed: reason withheld");
                    failed.push(name);
                }
            }
        }
        if !failed.is_empty() {
            return Some(text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{endpoint} check failed\n")));
        }
        if query.contains("verbose") {
            return Some(text(StatusCode::OK, format!("{report}{endpoint} check passed\n")));
        }
        Some(text(StatusCode::OK, "ok"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn ask(health: &Health, path: &str, query: &str) -> (u16, String) {
        let response = health.serve(path, &Query::parse(query)).unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_waits_for_components_and_liveness_does_not() {
        let health = Health::new();
        health.register("scheduler", Kind::Ready, Arc::new(|| Err("not yet".into())));
        assert_eq!(ask(&health, "/livez", "").await, (200, "ok".into()));
        assert_eq!(ask(&health, "/livez", "verbose").await.1, "[+]log ok\n[+]ping ok\nlivez check passed\n");
        let (code, report) = ask(&health, "/readyz", "").await;
        assert_eq!(code, 500);
        assert!(report.contains("[-]scheduler failed: reason withheld\n"), "{report}");
        assert_eq!(ask(&health, "/readyz", "exclude=scheduler").await.0, 200);
        assert_eq!(ask(&health, "/readyz/ping", "").await, (200, "ok".into()));
        assert!(health.serve("/readyz/nothing", &Query::default()).is_none());
    }
}
