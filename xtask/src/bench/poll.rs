//! Asking a server again and again over one connection until it answers 200.
//!
//! One `curl` does it, with a fixed pause between the starts of two questions, so that asking costs the server and the machine as little as can be.

use super::process::Process;
use crate::shell::cmd;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Who asks.
pub struct Client {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The moment of the first 200, asked for every `pause`. A refused connection counts as a no; the end of the server's process is an error.
pub fn first_ok(server: &mut Process, url: &str, client: Option<&Client>, pause: Duration) -> Result<Instant> {
    const LIMIT: Duration = Duration::from_mins(2);
    let per_second = (1000 / pause.as_millis().max(1)).max(1);
    let questions = LIMIT.as_millis() / pause.as_millis().max(1);
    let mut curl =
        cmd("curl", ["--silent", "--insecure", "--noproxy", "*", "--max-time", "5", "--output", "/dev/null"]);
    // The answers go to standard error, which curl does not buffer.
    curl.args(["--write-out", "%{stderr}%{http_code}\n", "--rate", &format!("{per_second}/s")]);
    if let Some(Client { certificate, key }) = client {
        curl.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    curl.arg(format!("{url}?[1-{questions}]"));
    let mut child = curl.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("running curl")?;
    let answers = BufReader::new(child.stderr.take().context("curl has an output")?);
    let mut last = String::new();
    let mut moment = None;
    for answer in answers.lines() {
        last = answer?;
        if last == "200" {
            moment = Some(Instant::now());
            break;
        }
        if server.check().is_err() {
            break;
        }
    }
    child.kill().ok();
    child.wait()?;
    server.check()?;
    let Some(moment) = moment else {
        bail!("{url} answers {last:?} and not 200; {}\n{}", server.name, server.last_lines());
    };
    Ok(moment)
}
