//! The life of an object of every resource (`tests/crud`), asked of each server by itself: what upstream does not pass is
//! wrong in the test, what only we do not pass is wrong in the server.

use super::client::Client;
use super::exchange::{Body, Request};
use super::report::Report;
use super::servers::Servers;
use super::side::Memory;
use anyhow::Result;
use crud::Api;
use serde_json::Value;
use std::path::Path;

/// The name of each resource's entry in the report ends like this.
pub const NAME: &str = "crud";

impl Api for Client {
    async fn call(&mut self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<(u16, Value)> {
        let mut request = Request::new(method, path);
        if !body.is_null() {
            request = request.body(content_type, Body::Object(body.clone()));
        }
        let answer = self.send(&request, &Memory::default()).await?;
        Ok((answer.status, answer.body))
    }
}

/// Asks both servers about every resource whose entry `wanted` takes; `objects` is the folder of the objects. How many
/// that were.
pub async fn compare(
    servers: &mut Servers,
    report: &mut Report,
    objects: &Path,
    wanted: impl Fn(&str) -> bool + Copy,
) -> Result<usize> {
    let wanted = |title: &str| wanted(&format!("{title}/{NAME}"));
    let Servers { upstream, coracle, .. } = servers;
    // At the same time: most of it is waiting for watches to end.
    let (upstream, coracle) = tokio::join!(crud::all(upstream, objects, wanted), crud::all(coracle, objects, wanted));
    let mut count = 0;
    for (server, outcomes) in [("upstream", upstream?), ("coracle", coracle?)] {
        count += outcomes.len();
        for (title, outcome) in outcomes {
            let causes: Vec<String> = outcome.err().iter().map(|error| format!("{server}: {error:#}")).collect();
            report.add(&format!("{title}/{NAME}"), server, &causes);
        }
    }
    Ok(count)
}
