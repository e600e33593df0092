//! Every resource of our own server, without sockets.

use anyhow::Result;
use crud::Api;
use serde_json::Value;
use std::path::Path;
use vcluster_apiserver::testing::TestServer;

struct InProcess(TestServer);

impl Api for InProcess {
    async fn call(&mut self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<(u16, Value)> {
        let (headers, body) = if body.is_null() {
            (vec![], String::new())
        } else {
            (vec![("content-type", content_type)], body.to_string())
        };
        let answer = self.0.send(method, path, &headers, body).await;
        if path.contains("watch=") && answer.code == 200 {
            let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            return Ok((200, lines.map(serde_json::from_slice::<Value>).collect::<Result<_, _>>()?));
        }
        Ok((answer.code, answer.json()))
    }
}

#[tokio::test(start_paused = true)]
async fn every_resource_is_made_read_changed_watched_and_deleted() {
    let mut api = InProcess(TestServer::start().await.expect("a store in memory starts"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diff/objects");
    let outcomes = crud::all(&mut api, &folder, |_| true).await.expect("what the objects need can be made");
    let failures: Vec<String> = outcomes
        .iter()
        .filter_map(|(title, outcome)| Some(format!("{title}: {:#}", outcome.as_ref().err()?)))
        .collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), outcomes.len(), failures.join("\n"));
    assert!(outcomes.len() > 60, "only {} resources", outcomes.len());
}
