//! An API server alone: ours, or upstream's over its store ([`super::upstream`]).

use super::poll::first_ok;
use super::process::Process;
use super::upstream::free_ports;
use super::upstream::keys::Keys;
use crate::image;
use crate::shell::cmd;
use anyhow::Result;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How often a server is asked whether it is ready.
const PAUSE: Duration = Duration::from_millis(10);

/// A running one.
pub struct ApiServer {
    /// The store, where that is a process, then the server.
    pub processes: Vec<Process>,
    pub port: u16,
    /// From the start of the server to its first /readyz 200.
    pub readyz: Duration,
}

impl ApiServer {
    /// Starts `coracle apiserver` in a folder that it empties first: with these keys, or with those that it makes.
    pub fn ours(folder: &Path, keys: Option<&Keys>) -> Result<ApiServer> {
        empty(folder)?;
        if let Some(keys) = keys {
            give(keys, folder)?;
        }
        let [port] = free_ports()?;
        ApiServer::again(&image::binary(), folder, port, keys, &[])
    }

    /// Starts `coracle apiserver` over what it left in a folder.
    pub fn again(program: &Path, folder: &Path, port: u16, keys: Option<&Keys>, flags: &[String]) -> Result<ApiServer> {
        let data = format!("--data-dir={}", folder.join("data").display());
        let mut arguments = vec!["apiserver".to_owned(), data, format!("--listen=127.0.0.1:{port}")];
        arguments.extend_from_slice(flags);
        let process = Process::start("coracle", program, &arguments, folder)?;
        ApiServer::ready(vec![process], port, keys)
    }

    /// Waits until the last of the processes is ready.
    pub fn ready(mut processes: Vec<Process>, port: u16, keys: Option<&Keys>) -> Result<ApiServer> {
        let readyz = match processes.last_mut() {
            Some(server) => {
                let url = format!("https://127.0.0.1:{port}/readyz");
                first_ok(server, &url, keys.map(Keys::admin).as_ref(), PAUSE)?.duration_since(server.begun)
            }
            None => Duration::ZERO,
        };
        Ok(ApiServer { processes, port, readyz })
    }
}

/// Puts keys where `coracle apiserver` looks for them.
pub fn give(keys: &Keys, folder: &Path) -> Result<()> {
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    for name in ["ca.crt", "ca.key", "sa.key"] {
        fs::copy(keys.file(name), data.join(name))?;
    }
    Ok(())
}

/// The program of `tests/load` against the server at a port, as its administrator; what it does is still to be said.
pub fn load(program: &Path, port: u16, keys: &Keys) -> Command {
    let admin = keys.admin();
    let mut command = cmd(program, [format!("--server=127.0.0.1:{port}")]);
    command.arg("--authority").arg(keys.file("ca.crt"));
    command.arg("--certificate").arg(admin.certificate).arg("--key").arg(admin.key);
    command
}

/// A folder with nothing in it.
pub fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}
