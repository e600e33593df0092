//! `cargo xtask tidy`: the rules of the workspace that no compiler checks. They run as a test too.
//!
//! - A crate depends only on the crates that the design allows it (edges), so that a part can be understood by itself.
//! - A Rust file has at most 600 lines and begins with a module doc.
//! - Lints are expected with a reason (`expect`), never silenced for good.
//! - Every crate takes the workspace's lint table.
//! - No second TLS stack or crypto provider is linked (deny.toml says so too; this works without cargo-deny).

use crate::shell::{cmd, read};
use crate::workspace;
use anyhow::{Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may depend on within the workspace; `*` is everything. A crate that is not named here may depend on nothing.
const EDGES: [(&str, &[&str]); 16] = [
    ("apimachinery", &[]),
    ("schema", &["apimachinery"]),
    ("cel", &["apimachinery", "schema"]),
    ("storage", &["apimachinery", "schema"]),
    ("informer", &["apimachinery", "schema"]),
    ("vcluster-apiserver", &["apimachinery", "schema", "storage", "cel"]),
    ("controllers", &["apimachinery", "schema", "informer"]),
    ("scheduler", &["apimachinery", "schema", "informer"]),
    ("dns", &["apimachinery", "schema", "informer"]),
    ("syncer", &["apimachinery", "schema", "informer"]),
    ("operator", &["apimachinery", "schema", "informer"]),
    ("coracle", &["*"]),
    ("xtask", &["schema", "crud"]),
    ("clients", &["apimachinery"]),
    ("crud", &["schema", "vcluster-apiserver"]),
    ("fuzz", &["apimachinery", "schema"]),
];

/// Crates that stay free of input, output and time.
const PURE: [&str; 3] = ["apimachinery", "schema", "cel"];
/// What a pure crate must not link (its tests may).
const IMPURE: [&str; 6] = ["tokio", "hyper", "hyper-util", "kube", "rusqlite", "reqwest"];

/// TLS is rustls with ring, and nothing else.
const BANNED: [&str; 5] = ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"];

const MOST_LINES: usize = 600;

/// Fails with every violation, one a line.
pub fn run() -> Result<()> {
    let violations = violations()?;
    if violations.is_empty() {
        println!("tidy");
        return Ok(());
    }
    bail!("{} untidy:\n{}", violations.len(), violations.join("\n"));
}

fn violations() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut metadata = cmd("cargo", ["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: Value = serde_json::from_str(&read(metadata.current_dir(&root))?)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let mut violations = edges(&packages);
    for package in &packages {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        if !fs::read_to_string(&manifest)?.contains("[lints]\nworkspace = true") {
            violations.push(format!("{}: has no `[lints] workspace = true`", below(&root, &manifest)));
        }
    }
    violations.extend(banned(&fs::read_to_string(root.join("Cargo.lock"))?));
    for file in rust_files(&root)? {
        let text = fs::read_to_string(&file)?;
        violations.extend(in_file(&text).into_iter().map(|what| format!("{}: {what}", below(&root, &file))));
    }
    Ok(violations)
}

/// Edges that the design does not have.
fn edges(packages: &[Value]) -> Vec<String> {
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut violations = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = EDGES.iter().find(|(from, _)| *from == name).map_or(&[][..], |(_, to)| to);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if names.contains(&to) && to != name && !allowed.contains(&"*") && !allowed.contains(&to) {
                violations.push(format!("{name} must not depend on {to}"));
            }
            if PURE.contains(&name) && IMPURE.contains(&to) && dependency["kind"] != "dev" {
                violations.push(format!("{name} is pure and must not depend on {to}"));
            }
        }
    }
    violations
}

/// Banned crates of a Cargo.lock.
fn banned(lock: &str) -> Vec<String> {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.filter(|name| BANNED.contains(name)).map(|name| format!("Cargo.lock: {name} is a second TLS stack")).collect()
}

/// What is wrong with the text of one Rust file.
fn in_file(text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        violations.push(format!("{lines} lines; split it by concept (at most {MOST_LINES})"));
    }
    if !text.starts_with("//!") {
        violations.push("does not begin with a module doc (`//!`)".to_owned());
    }
    // Written in two parts so that this file does not find itself.
    for silenced in [concat!("#[", "allow("), concat!("#![", "allow(")] {
        if text.contains(silenced) {
            violations.push(format!("silences a lint with `{silenced}`; use `expect` with a reason"));
        }
    }
    violations
}

/// Every Rust file of the checkout, hidden folders and build output apart.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && name != "target" {
                files.extend(rust_files(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn below(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_workspace_is_tidy() {
        let violations = violations().unwrap();
        assert!(violations.is_empty(), "\n{}", violations.join("\n"));
    }

    #[test]
    fn each_rule_finds_its_violation() {
        let package =
            |name: &str, to: &str, kind: Value| json!({"name": name, "dependencies": [{"name": to, "kind": kind}]});
        let storage = json!({"name": "storage", "dependencies": []});
        for (from, to, kind, expected) in [
            ("scheduler", "storage", Value::Null, 1),
            ("vcluster-apiserver", "storage", Value::Null, 0),
            ("coracle", "storage", Value::Null, 0),
            ("newcomer", "storage", Value::Null, 1),
            ("schema", "tokio", Value::Null, 1),
            ("schema", "tokio", json!("dev"), 0),
        ] {
            let found = edges(&[package(from, to, kind), storage.clone()]);
            assert_eq!(found.len(), expected, "{from} -> {to}: {found:?}");
        }
        assert_eq!(banned("[[package]]\nname = \"ring\"\nversion = \"1\"\n"), Vec::<String>::new());
        assert_eq!(banned("[[package]]\nname = \"openssl\"\nversion = \"1\"\n").len(), 1);
        for (text, expected) in [
            ("//! Doc.\nfn f() {}\n", 0),
            ("fn f() {}\n", 1),
            (concat!("//! Doc.\n#[", "allow(dead_code)]\nfn f() {}\n"), 1),
            (&*format!("//! Doc.\n{}", "\n".repeat(MOST_LINES)), 1),
            (&*format!("//! Doc.\n{}", "\n".repeat(MOST_LINES - 1)), 0),
        ] {
            assert_eq!(in_file(text).len(), expected, "{text:?}");
        }
    }
}
