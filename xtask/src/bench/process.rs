//! Processes that a bench starts and measures. A started one ends with its value, and with this program however that ends.
//!
//! Others (a tenant in its pod) are found by their command lines and only looked at.

use crate::shell::{cmd, read, tail};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// A running program of ours or upstream's.
pub struct Process {
    pub name: &'static str,
    /// When it was started.
    pub begun: Instant,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes its output to `FOLDER/NAME.log`. The kernel ends it when this program's main
    /// thread ends (`setpriv --pdeathsig`), so that an interrupted bench leaves nothing behind.
    pub fn start(name: &'static str, program: &Path, arguments: &[String], folder: &Path) -> Result<Process> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = cmd("setpriv", ["--pdeathsig", "KILL", "--"]);
        command.arg(program).args(arguments).stdout(file.try_clone()?).stderr(file);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Process { name, begun, child, log })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the last log lines when it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status})\n{}", self.name, self.last_lines());
        }
        Ok(())
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        tail(&String::from_utf8_lossy(&text), 15)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The process whose command line has all of these arguments.
pub fn find(arguments: &[&str]) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split('\0').collect();
        arguments.iter().all(|argument| words.contains(argument))
    })
}

/// What a process holds, in KiB: `/proc/PID/smaps_rollup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub resident: u64,
    /// Shared pages count by the share.
    pub proportional: u64,
    /// Not backed by a file: heap and stacks.
    pub anonymous: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Result<Memory> {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        Memory::parse(&text).with_context(|| format!("{file} lacks a line"))
    }

    fn parse(text: &str) -> Option<Memory> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Memory { resident: field("Rss")?, proportional: field("Pss")?, anonymous: field("Anonymous")? })
    }
}

/// The kernel's clock ticks, in which it counts the time of processes.
#[derive(Clone, Copy)]
pub struct Ticks {
    per_second: f64,
}

impl Ticks {
    pub fn of_this_machine() -> Result<Ticks> {
        let answer = read(&mut cmd("getconf", ["CLK_TCK"]))?;
        Ok(Ticks { per_second: answer.trim().parse().context("getconf CLK_TCK is a number")? })
    }

    /// Processor time used so far, by all its threads.
    pub fn processor_time(self, pid: u32) -> Result<Duration> {
        let stat = Stat::of(pid)?;
        Ok(Duration::from_secs_f64(stat.used as f64 / self.per_second))
    }

    /// When it was started, to a tick.
    pub fn birth(self, pid: u32) -> Result<Instant> {
        let stat = Stat::of(pid)?;
        let uptime = fs::read_to_string("/proc/uptime")?;
        let now = Instant::now();
        let uptime: f64 =
            uptime.split(' ').next().and_then(|word| word.parse().ok()).context("reading /proc/uptime")?;
        let age = Duration::try_from_secs_f64(uptime - stat.born as f64 / self.per_second).unwrap_or_default();
        now.checked_sub(age).context("a process is younger than the machine")
    }
}

/// Of `/proc/PID/stat`, in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// User and system time.
    used: u64,
    /// After the machine's start.
    born: u64,
}

impl Stat {
    fn of(pid: u32) -> Result<Stat> {
        let file = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {file}: the process has ended"))?;
        Stat::parse(&text).with_context(|| format!("{file} lacks a field"))
    }

    fn parse(text: &str) -> Option<Stat> {
        // The second field is the program's name in brackets and may hold anything; fields 14, 15 and 22 are wanted.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat { used: field(14)? + field(15)?, born: field(22)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_lines() {
        let text = "55d0-7ffe ---p 00000000 00:00 0  [rollup]\nRss:    33280 kB\nPss:    33216 kB\nPss_Dirty: 5 kB\nAnonymous:  12000 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { resident: 33280, proportional: 33216, anonymous: 12000 }));
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let rest: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let line = format!("7 (a) b (c)) {}", rest.join(" "));
        assert_eq!(Stat::parse(&line), Some(Stat { used: 14 + 15, born: 22 }));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn a_process_ends_with_its_value_and_tells_why_it_ended_before() {
        let folder = tempfile::tempdir().unwrap();
        let sleeper = Process::start("sleep", Path::new("sleep"), &["1000".to_owned()], folder.path()).unwrap();
        let pid = sleeper.pid();
        assert!(Memory::of(pid).is_ok());
        drop(sleeper);
        assert!(Memory::of(pid).is_err());

        let arguments = ["-c".to_owned(), "echo no such flag; exit 3".to_owned()];
        let mut broken = Process::start("sh", Path::new("sh"), &arguments, folder.path()).unwrap();
        broken.child.wait().unwrap();
        let error = broken.check().unwrap_err().to_string();
        assert!(error.contains("no such flag") && error.contains("exit status: 3"), "{error}");
    }
}
