//! Which cluster a process talks to: a kubeconfig that was named, those that kubectl would take, or the pod's own account.
//!
//! Files are read here and not by the client library, whose own reader of YAML is half a megabyte of the program.

use crate::user::kubeconfig::parse;
use anyhow::Context as _;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The cluster of one kubeconfig; without one, what kubectl would take.
pub async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    match kubeconfig {
        Some(path) => of(read(path)?, None).await,
        None => match merged(&paths()) {
            Ok(kubeconfig) => of(kubeconfig, None).await,
            Err(error) => own(&error),
        },
    }
}

/// The cluster that hosts tenants, and the context that names it. Where the current context is a tenant's that `connect` wrote,
/// that is the context it was written from.
pub async fn host() -> anyhow::Result<(Config, Option<String>)> {
    let kubeconfig = match merged(&paths()) {
        Ok(kubeconfig) => kubeconfig,
        Err(error) => return Ok((own(&error)?, None)),
    };
    let context = host_context(&kubeconfig);
    Ok((of(kubeconfig, context.clone()).await?, context))
}

/// The cluster of a context; of the current one without.
async fn of(kubeconfig: Kubeconfig, context: Option<String>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // Watches, logs and shells may be silent for as long as they like.
    config.read_timeout = None;
    Ok(config)
}

/// The cluster that this pod runs in, where no kubeconfig was found.
fn own(missing: &anyhow::Error) -> anyhow::Result<Config> {
    Config::incluster().with_context(|| format!("{missing:#}"))
}

/// The name under which a context of a tenant tells its host's.
const EXTENSION: &str = "coracle.dev";

/// Writes into the one context of `config` from which context it came.
pub fn remember_host(config: &mut Value, context: &str) {
    config["contexts"][0]["context"]["extensions"] = json!([{"name": EXTENSION, "extension": {"host": context}}]);
}

fn host_context(kubeconfig: &Kubeconfig) -> Option<String> {
    let mut current = kubeconfig.current_context.clone()?;
    let host_of = |name: &str| {
        let context = kubeconfig.contexts.iter().find(|named| named.name == name)?.context.as_ref()?;
        let ours = context.extensions.iter().flatten().find(|extension| extension.name == EXTENSION)?;
        let host = ours.extension["host"].as_str()?;
        kubeconfig.contexts.iter().any(|named| named.name == host).then(|| host.to_owned())
    };
    // A tenant may host tenants; no chain is longer than the contexts are many.
    for _ in &kubeconfig.contexts {
        let Some(host) = host_of(&current) else { break };
        current = host;
    }
    Some(current)
}

/// The files of `KUBECONFIG`, else `~/.kube/config`.
pub fn paths() -> Vec<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let named: Vec<PathBuf> = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
    match std::env::var_os("HOME") {
        Some(home) if named.is_empty() => vec![PathBuf::from(home).join(".kube/config")],
        _ => named,
    }
}

fn merged(paths: &[PathBuf]) -> anyhow::Result<Kubeconfig> {
    anyhow::ensure!(!paths.is_empty(), "neither KUBECONFIG nor HOME is set");
    paths.iter().try_fold(Kubeconfig::default(), |merged, path| Ok(merged.merge(read(path)?)?))
}

fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let named = || format!("{} is no kubeconfig", path.display());
    let mut tree = parse(&text).with_context(named)?;
    if tree.is_null() {
        return Ok(Kubeconfig::default());
    }
    if let Some(folder) = path.parent() {
        resolve(&mut tree, folder);
    }
    serde_json::from_value(tree).with_context(named)
}

/// Files are named from the folder of the kubeconfig; programs only where a folder is named at all
/// (k8s.io/client-go `tools/clientcmd/loader.go`, `GetAuthInfoFileReferences`).
fn resolve(tree: &mut Value, folder: &Path) {
    let entries = [
        ("clusters", "cluster", &["certificate-authority"][..]),
        ("users", "user", &["client-certificate", "client-key", "tokenFile"]),
    ];
    let absolute = |place: Option<&mut Value>| {
        let Some(place) = place else { return };
        let Some(file) = place.as_str().filter(|file| !file.is_empty() && Path::new(file).is_relative()) else {
            return;
        };
        *place = folder.join(file).to_string_lossy().into();
    };
    for (list, inner, files) in entries {
        for entry in tree.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(entry) = entry.get_mut(inner) else { continue };
            for file in files {
                absolute(entry.get_mut(*file));
            }
            let program = entry.pointer_mut("/exec/command");
            absolute(program.filter(|program| program.as_str().is_some_and(|path| path.contains('/'))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: 'https://a', certificate-authority: ca.crt}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {client-key: /abs/key, exec: {command: bin/login}}}, {name: b, user: {exec: {command: login}}}]
";

    #[test]
    fn files_are_merged_and_name_their_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let second = "current-context: c\nusers: [{name: a, user: {token: lost}}, {name: c, user: {token: t}}]\n";
        let merged = merged(&[file("first", FIRST), file("second", second), file("empty", "")]).unwrap();
        assert_eq!(merged.current_context.as_deref(), Some("a"));
        let user = |name: &str| {
            let found = merged.auth_infos.iter().find(|user| user.name == name);
            found.and_then(|user| user.auth_info.clone()).unwrap()
        };
        let inside = |name: &str| Some(folder.path().join(name).to_string_lossy().into_owned());
        assert_eq!(merged.clusters[0].cluster.as_ref().unwrap().certificate_authority, inside("ca.crt"));
        assert_eq!(user("a").client_key.as_deref(), Some("/abs/key"));
        assert_eq!(user("a").exec.unwrap().command, inside("bin/login"));
        assert_eq!(user("b").exec.unwrap().command.as_deref(), Some("login"));
        assert!(user("c").token.is_some() && user("a").token.is_none());
        let mut tenant: Value = json!({"contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}]});
        remember_host(&mut tenant, "a");
        tenant["current-context"] = "t".into();
        let tenant = file("tenant", &tenant.to_string());
        assert_eq!(
            host_context(&super::merged(&[tenant.clone(), file("again", FIRST)]).unwrap()).as_deref(),
            Some("a")
        );
        assert_eq!(host_context(&super::merged(&[tenant]).unwrap()).as_deref(), Some("t"));
        assert!(super::merged(&[folder.path().join("none")]).is_err());
        assert!(super::merged(&[file("broken", "clusters: [")]).is_err());
    }
}
