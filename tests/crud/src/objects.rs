//! The valid objects that everything is generated from: `tests/diff/objects/*.yaml`, one document an object.
//!
//! Files are taken in the order of their names. The documents of `setup.yaml` are made before everything else and stay.

use anyhow::{Context, Result, bail};
use schema::{ResourceInfo, Type};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The namespace that the objects live in.
pub const NAMESPACE: &str = "diff";

/// A valid object and what it is an instance of.
#[derive(Clone)]
pub struct Fixture {
    pub resource: &'static ResourceInfo,
    pub row: &'static Type,
    pub object: Value,
}

impl Fixture {
    fn new(object: Value) -> Result<Self> {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let is = |r: &&ResourceInfo| (r.kind_group, r.kind_version, r.kind) == (group, version, kind.as_str());
        let resource = schema::resources().iter().find(is);
        let resource = resource.with_context(|| format!("no resource serves {kind} of {api_version}"))?;
        let row = schema::kind_of(group, version, &kind).with_context(|| format!("{kind} has no table"))?;
        Ok(Self { resource, row, object })
    }

    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The path of the resource in the fixtures' namespace.
    pub fn collection(&self) -> String {
        let ResourceInfo { group, version, plural, namespaced, .. } = self.resource;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        if *namespaced { format!("{root}/namespaces/{NAMESPACE}/{plural}") } else { format!("{root}/{plural}") }
    }

    /// The path of the resource in all namespaces.
    pub fn everywhere(&self) -> String {
        self.collection().replace(&format!("namespaces/{NAMESPACE}/"), "")
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name())
    }

    /// `apps/v1/deployments`, for the report.
    pub fn title(&self) -> String {
        let ResourceInfo { group, version, plural, .. } = self.resource;
        if group.is_empty() { format!("{version}/{plural}") } else { format!("{group}/{version}/{plural}") }
    }
}

/// The objects of one file, or of every file but `setup.yaml`.
pub fn load(folder: &Path, setup: bool) -> Result<Vec<Fixture>> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml") && path.ends_with("setup.yaml") == setup);
    files.sort();
    let mut fixtures = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        for document in text.split("\n---\n") {
            let read = schema::yaml::from_yaml(document.as_bytes());
            let (object, twice) = read.with_context(|| file.display().to_string())?;
            if !twice.is_empty() {
                bail!("{}: {}", file.display(), twice.join(", "));
            }
            fixtures.push(Fixture::new(object).with_context(|| file.display().to_string())?);
        }
    }
    Ok(fixtures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_resource_has_an_object() {
        let fixtures = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../diff/objects"), false).unwrap();
        let have: BTreeSet<_> = fixtures.iter().map(Fixture::title).collect();
        let named = |r: &'static ResourceInfo| Fixture {
            resource: r,
            row: schema::kind_of("", "v1", "Pod").unwrap(),
            object: Value::Null,
        };
        let missing: Vec<String> = schema::resources()
            .iter()
            .filter(|r| r.plural != "componentstatuses")
            .map(|r| named(r).title())
            .filter(|title| !have.contains(title))
            .collect();
        assert_eq!(missing, Vec::<String>::new());
    }
}
