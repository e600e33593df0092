//! An API server alone: ours, or upstream's over its store ([`super::upstream`]).

use super::poll::first_ok;
use super::process::Process;
use super::upstream::free_ports;
use super::upstream::keys::Keys;
use crate::image;
use anyhow::Result;
use std::fs;
use std::path::Path;
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
        let data = folder.join("data");
        if let Some(keys) = keys {
            fs::create_dir_all(&data)?;
            for name in ["ca.crt", "ca.key", "sa.key"] {
                fs::copy(keys.file(name), data.join(name))?;
            }
        }
        let [port] = free_ports()?;
        let arguments =
            ["apiserver".to_owned(), format!("--data-dir={}", data.display()), format!("--listen=127.0.0.1:{port}")];
        let process = Process::start("coracle", &image::binary(), &arguments, folder)?;
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

/// A folder with nothing in it.
pub fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}
