//! Background processes of the host: started detached, remembered by pid and start time, ended by exactly that.
//!
//! The start time guards against a pid that the kernel has given to somebody else since. No process is ever
//! ended by name.

use super::Host;
use crate::shell::{cmd, succeeds, tail};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the machine's environment must not tell the components: they talk to each other only.
const PROXY_VARIABLES: [&str; 6] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// A command prefix that enters namespaces; empty for none.
pub type Prefix = Vec<String>;

impl Host {
    /// Starts a program in the background unless it runs already. Its output goes to `logs/NAME.log`.
    pub fn start<A: AsRef<str>>(&self, name: &str, prefix: &[String], program: &[A]) -> Result<()> {
        if self.alive(name) {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.log(name))?;
        let mut command = Command::new("setsid");
        command.args(prefix).args(program.iter().map(AsRef::as_ref));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/");
        for variable in PROXY_VARIABLES {
            command.env_remove(variable);
        }
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let pid = child.id();
        let born = start_time(pid).unwrap_or_default();
        fs::write(self.pid_file(name), format!("{pid} {born}\n"))?;
        Ok(())
    }

    /// The pid of a running component.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let text = fs::read_to_string(self.pid_file(name)).ok()?;
        let (pid, born) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)? == born).then_some(pid)
    }

    /// Whether a component runs.
    pub fn alive(&self, name: &str) -> bool {
        self.pid(name).is_some()
    }

    /// Ends a component: politely first, after five seconds by force.
    pub fn stop(&self, name: &str) {
        for (signal, patience) in [("-TERM", 5), ("-KILL", 5)] {
            let Some(pid) = self.pid(name) else { break };
            succeeds(&mut cmd("kill", [signal, &pid.to_string()]));
            let end = Instant::now() + Duration::from_secs(patience);
            while self.alive(name) && Instant::now() < end {
                sleep(Duration::from_millis(50));
            }
        }
        fs::remove_file(self.pid_file(name)).ok();
    }

    /// Every component that was started, by name, and whether it still runs.
    pub fn components(&self) -> Vec<(String, bool)> {
        let files = fs::read_dir(self.run()).into_iter().flatten().flatten();
        let names = files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned));
        let mut components: Vec<_> = names.map(|name| (name.clone(), self.alive(&name))).collect();
        components.sort();
        components
    }

    /// Waits until `ready` holds. A component that ends before, or is too slow, is an error with its last log lines.
    pub fn wait(&self, component: &str, what: &str, seconds: u64, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if ready() {
                return Ok(());
            }
            if !self.alive(component) {
                bail!("{component} ended before {what}{}", self.last_lines(component));
            }
            if Instant::now() > end {
                bail!("{component}: not {what} after {seconds} s{}", self.last_lines(component));
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// The end of a component's log, for error messages.
    pub fn last_lines(&self, component: &str) -> String {
        let path = self.log(component);
        let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        format!("; last lines of {}:\n{}", path.display(), tail(&text, 20))
    }
}

/// When a process began, in the kernel's clock ticks, or None if it has ended (a zombie has).
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything; the state is the third, the start time the 22nd.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    fields.get(19).map(|field| (*field).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_dies_is_reported_with_its_last_words_and_nothing_else_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path().to_path_buf());
        host.make_folders().unwrap();
        host.start("broken", &[], &["sh", "-c", "echo no such flag; exit 1"]).unwrap();
        let error = host.wait("broken", "serving", 30, || false).unwrap_err().to_string();
        assert!(error.contains("broken ended before serving") && error.contains("no such flag"), "{error}");

        // A pid file whose start time is wrong names somebody else's process: it must survive.
        fs::write(host.pid_file("stale"), format!("{} 1\n", std::process::id())).unwrap();
        assert!(!host.alive("stale"));
        host.stop("stale");

        host.start("sleeper", &[], &["sleep", "1000"]).unwrap();
        assert!(host.alive("sleeper"));
        host.stop("sleeper");
        assert!(!host.alive("sleeper"));
    }
}
