//! What upstream's conformance asks of every resource, asked of any API server: an object is made, read, listed, watched,
//! replaced, patched in every way, given a status and deleted with its collection (k8s.io/kubernetes
//! `test/e2e/framework/conformance`).
//!
//! What is asked for is what the server's own discovery says; the objects are those of `tests/diff/objects`.

mod contains;
mod cycle;
mod discovery;
pub mod objects;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::future::Future;
use std::path::Path;

/// A server that can be asked.
pub trait Api {
    /// Sends a request whose body has the media type `content_type` (no body where it is null) and reads the answer to its
    /// end: its code and its JSON; of a watch, a list of the events.
    fn call(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> impl Future<Output = Result<(u16, Value)>>;
}

/// Asks everything of every resource that can be made, read, changed, watched and deleted, and whose name (as in
/// `apps/v1/deployments`) is `wanted`. One entry a resource.
///
/// # Errors
/// When the objects cannot be read, or discovery or what the objects need beforehand fails.
pub async fn all(
    api: &mut impl Api,
    folder: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Result<()>)>> {
    let objects = objects::load(folder, false)?;
    for fixture in objects::load(folder, true)? {
        let (code, answer) = api.call("POST", &fixture.collection(), cycle::JSON, &fixture.object).await?;
        if !matches!(code, 201 | 409) {
            bail!("{}: {code} {answer}", fixture.path());
        }
    }
    let mut outcomes = Vec::new();
    for served in discovery::read(api).await?.into_iter().filter(|served| wanted(&served.title)) {
        let outcome = match objects.iter().find(|fixture| fixture.title() == served.title) {
            Some(fixture) => cycle::run(api, &served, fixture).await,
            None => Err(anyhow::anyhow!("no file of {} has an object", folder.display())),
        };
        outcomes.push((served.title, outcome));
    }
    Ok(outcomes)
}

/// What stands at a place of an answer, as text.
fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer} in {value}"))
}
