//! What a server says that it serves.

use super::{Api, text};
use anyhow::{Result, bail};
use serde_json::Value;

/// What a resource must allow to be asked.
const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

/// A resource whose objects live.
pub struct Served {
    /// As in `apps/v1/deployments` or `v1/pods`.
    pub title: String,
    pub has_status: bool,
    pub deletes_collections: bool,
}

/// Every resource that allows everything.
pub async fn read(api: &mut impl Api) -> Result<Vec<Served>> {
    let mut versions = vec!["/api/v1".to_owned()];
    for group in list(&get(api, "/apis").await?, "groups") {
        for version in list(group, "versions") {
            versions.push(format!("/apis/{}", text(version, "/groupVersion")?));
        }
    }
    let mut served = Vec::new();
    for path in versions {
        let document = get(api, &path).await?;
        let (resources, version) = (list(&document, "resources"), text(&document, "/groupVersion")?);
        let has = |name: &str| resources.iter().any(|resource| resource["name"] == name);
        for resource in resources {
            let (name, verbs) = (text(resource, "/name")?, list(resource, "verbs"));
            if !name.contains('/') && VERBS.iter().all(|verb| verbs.contains(&(*verb).into())) {
                served.push(Served {
                    title: format!("{version}/{name}"),
                    has_status: has(&format!("{name}/status")),
                    deletes_collections: verbs.contains(&"deletecollection".into()),
                });
            }
        }
    }
    Ok(served)
}

async fn get(api: &mut impl Api, path: &str) -> Result<Value> {
    let (code, answer) = api.call("GET", path, "", &Value::Null).await?;
    if code != 200 {
        bail!("GET {path}: {code} {answer}");
    }
    Ok(answer)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}
