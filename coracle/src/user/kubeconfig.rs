//! Kubeconfig files as trees: what this program does not know in them stays as it is.

use anyhow::Context as _;
use schema::yaml::{from_yaml, to_yaml};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where `kubectl` would write: the first file of `KUBECONFIG`, else `~/.kube/config`.
pub fn default_path() -> anyhow::Result<PathBuf> {
    let place = crate::cluster::paths().into_iter().next();
    place.context("no place for a kubeconfig: set KUBECONFIG or HOME, or name a file with --kubeconfig")
}

pub fn read(path: &Path) -> anyhow::Result<Value> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(json!({"apiVersion": "v1", "kind": "Config"}));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let value: Value = parse(&text).with_context(|| format!("{} is no kubeconfig", path.display()))?;
    Ok(if value.is_null() { json!({"apiVersion": "v1", "kind": "Config"}) } else { value })
}

pub fn parse(text: &str) -> anyhow::Result<Value> {
    Ok(from_yaml(text.as_bytes())?.0)
}

/// Writes a file that only its owner can read.
pub fn write(path: &Path, config: &Value) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let text = to_yaml(config).context("cannot write a kubeconfig")?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // Written beside and renamed, so that a full disk does not cost the contexts of other clusters.
    let beside = path.with_extension("coracle-new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", beside.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The tenant's kubeconfig with everything in it called `name`, pointing at `server`.
pub fn renamed(mut config: Value, name: &str, server: Option<&str>) -> Value {
    for (list, inner) in [("clusters", "cluster"), ("contexts", "context"), ("users", "user")] {
        let Some(entry) = config.get_mut(list).and_then(|l| l.get_mut(0)) else { continue };
        entry["name"] = name.into();
        if inner == "context" {
            entry[inner]["cluster"] = name.into();
            entry[inner]["user"] = name.into();
        }
        if let (Some(server), "cluster") = (server, inner) {
            entry[inner]["server"] = server.into();
        }
    }
    config["current-context"] = name.into();
    config
}

/// Puts the entries of `new` into `into`, replacing those of the same name, and makes its context the current one.
pub fn merge(into: &mut Value, new: &Value) {
    for list in ["clusters", "contexts", "users"] {
        for entry in new[list].as_array().into_iter().flatten() {
            if !into[list].is_array() {
                into[list] = json!([]);
            }
            let Some(all) = into[list].as_array_mut() else { continue };
            all.retain(|old| old["name"] != entry["name"]);
            all.push(entry.clone());
        }
    }
    into["current-context"] = new["current-context"].clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, server: &str) -> Value {
        json!({
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [{"name": name, "user": {}}],
            "current-context": name,
        })
    }

    #[test]
    fn merging_replaces_by_name_and_keeps_the_rest() {
        let mut config = of("host", "https://host");
        config["preferences"] = json!({"colors": true});
        merge(&mut config, &renamed(of("demo", "https://old"), "team/demo", Some("https://new")));
        merge(&mut config, &renamed(of("demo", "https://old"), "team/demo", Some("https://newer")));
        assert_eq!(config["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(config["clusters"][1]["cluster"]["server"], "https://newer");
        assert_eq!(config["contexts"][1]["context"]["user"], "team/demo");
        assert_eq!(config["current-context"], "team/demo");
        assert_eq!(config["preferences"]["colors"], true);
    }

    #[test]
    fn a_written_file_is_private_and_reads_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config");
        write(&path, &of("demo", "https://x")).unwrap();
        assert_eq!(read(&path).unwrap(), of("demo", "https://x"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&folder.path().join("none")).unwrap()["kind"], "Config");
    }
}
