//! A cluster seen through upstream's client programs and a kubeconfig.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A host or a tenant: both are used in the same way.
#[derive(Clone)]
pub struct Cluster {
    kubeconfig: PathBuf,
}

impl Cluster {
    pub fn new(kubeconfig: impl AsRef<Path>) -> Cluster {
        Cluster { kubeconfig: kubeconfig.as_ref().to_path_buf() }
    }

    /// The host that the tests were given.
    pub fn host() -> Result<Cluster> {
        let file = std::env::var_os("KUBECONFIG").context("KUBECONFIG names the host: run `cargo xtask test`")?;
        Ok(Cluster::new(PathBuf::from(file)))
    }

    /// A program with this cluster as its default.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// Runs kubectl and returns what it printed. The line is split at spaces.
    pub fn kubectl(&self, line: &str) -> Result<String> {
        self.run("kubectl", &line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a program to its end and returns what it printed; a failure carries everything it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        finish(&mut self.command(program, arguments), None)
    }

    /// Runs kubectl with a document as its standard input.
    pub fn feed(&self, line: &str, document: &str) -> Result<String> {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        finish(&mut self.command("kubectl", &arguments), Some(document))
    }

    /// One object, or a list of them.
    pub fn get(&self, what: &str) -> Result<Value> {
        let text = self.kubectl(&format!("get {what} -o json"))?;
        serde_json::from_str(&text).with_context(|| format!("kubectl get {what} printed no JSON"))
    }

    /// The objects of a list.
    pub fn list(&self, what: &str) -> Result<Vec<Value>> {
        Ok(self.get(what)?["items"].as_array().cloned().unwrap_or_default())
    }

    /// Runs a shell line in a container.
    pub fn shell(&self, pod: &str, line: &str) -> Result<String> {
        self.run("kubectl", &["exec", pod, "--", "sh", "-c", line])
    }
}

fn finish(command: &mut Command, input: Option<&str>) -> Result<String> {
    let program = format!("{command:?}");
    let input_kind = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(input_kind).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{program}: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}
