//! The file of lines that a program leaves.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Unbuffered: a program that is killed has said everything it knew.
pub struct Record(File);

impl Record {
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self(File::create(path).with_context(|| format!("cannot write {}", path.display()))?))
    }

    pub fn line(&self, line: &str) -> Result<()> {
        Ok((&self.0).write_all(format!("{line}\n").as_bytes())?)
    }

    /// A word about an object: its name and revision follow.
    pub fn object(&self, word: &str, object: &ConfigMap) -> Result<()> {
        let (name, revision) = (&object.metadata.name, &object.metadata.resource_version);
        let (Some(name), Some(revision)) = (name, revision) else {
            anyhow::bail!("an object without name or revision")
        };
        self.line(&format!("{word} {name} {revision}"))
    }
}
