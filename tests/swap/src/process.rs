//! Child processes of a row: their output goes to a file, and they end with the row.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// What the machine's environment must not tell the components: they talk to each other only.
const PROXY_VARIABLES: [&str; 6] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// A running component; killed when dropped.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to `NAME.log` in `folder`.
    pub fn start(name: &str, folder: &Path, program: &Path, arguments: &[String]) -> Result<Process> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).env("RUST_LOG", "info").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        for variable in PROXY_VARIABLES {
            command.env_remove(variable);
        }
        let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Process { name: name.to_owned(), log, child })
    }

    /// Fails with the end of its log when the process has ended.
    pub fn runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.said(20)),
        }
    }

    /// The last lines of the log.
    pub fn said(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Ends it and waits until it is gone.
    pub async fn end(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot end {}", self.name))
    }
}

/// A port that nobody listens on. Somebody else may take it before it is used; a row then fails to start and says so.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
