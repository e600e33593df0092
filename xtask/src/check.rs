//! `cargo xtask test`: every check, cheap ones first, ending with one line `N passed, N failed`.
//!
//! A failed step does not stop the next ones, except where they need what it makes. Each step that is no test run counts as
//! one test. Nothing is read from standard input; what is missing on the machine is installed or, for cargo-deny,
//! left out with a word.

use crate::clients;
use crate::conformance;
use crate::fuzz;
use crate::host;
use crate::image;
use crate::launch;
use crate::shell::{cmd, exists, run as run_command, succeeds};
use crate::tidy;
use crate::upstream::{self, Set};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Test {
    /// Only what needs no host cluster.
    #[arg(long)]
    pub fast: bool,
}

/// The conformance list takes up to twenty minutes (its programs included), and everything has 75; later than this it is not begun.
const LAST_CALL: Duration = Duration::from_mins(50);

/// Passed and failed.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

pub fn run(options: &Test) -> Result<()> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    tally.step("format", || run_command(&mut cargo(&["fmt", "--all", "--check"])));
    tally.step("tidy", tidy::run);
    tally.step("clippy", || {
        let lints = ["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
        run_command(&mut cargo(&lints))
    });
    tally.licences();
    tally.tests("workspace", &mut cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]));
    tally.step("fuzz", || fuzz::run(&fuzz::Options::short()));
    if !options.fast {
        let upstream = tally.step("upstream programs", || upstream::build(Set::Minimal));
        let mut archive = None;
        let image = tally.step("image", || {
            archive = Some(image::build(&image::Options { quick: false })?);
            Ok(())
        });
        if upstream && image {
            let mut swap = cargo(&["test", "--locked", "--package", "swap", "--no-fail-fast"]);
            tally.tests("swap", with_programs(swap.args(["--", "--ignored", "--test-threads=1"])));
            tally.step("clients", || clients::run(&clients::Options::short()));
        }
        if let Some(archive) = archive {
            tally.on_a_host(begun, &archive);
        }
    }
    for failure in &tally.failures {
        println!("FAILED {failure}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("{} failed", tally.failed);
    }
    Ok(())
}

impl Tally {
    /// Runs one step and says whether it passed.
    fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> bool {
        println!("== {name}");
        let begun = Instant::now();
        let result = step();
        println!("== {name}: {} s", begun.elapsed().as_secs());
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                println!("{error:#}");
                self.fail(name);
                return false;
            }
        }
        true
    }

    fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    /// Runs `cargo test` and adds up its summaries. A run that fails without one (a crate that does not compile) is one failure.
    fn tests(&mut self, name: &str, command: &mut Command) {
        println!("== tests: {name}");
        let begun = Instant::now();
        let mut failed = 0;
        let status = (|| -> Result<bool> {
            let mut child = command.stdout(Stdio::piped()).spawn().context("running cargo test")?;
            let output = child.stdout.take().context("cargo test has an output")?;
            for line in BufReader::new(output).lines() {
                let line = line?;
                println!("{line}");
                if let Some((passed, lost)) = summary(&line) {
                    self.passed += passed;
                    failed += lost;
                }
                if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
                    self.failures.push(test.to_owned());
                }
            }
            Ok(child.wait()?.success())
        })();
        self.failed += failed;
        if failed == 0 && !status.as_ref().is_ok_and(|success| *success) {
            self.fail(&format!("tests: {name}"));
        }
        println!("== tests: {name}: {} s", begun.elapsed().as_secs());
    }

    /// cargo-deny is not installed here: compiling it takes longer than the tests. The banned crates are in tidy too.
    fn licences(&mut self) {
        if !exists("cargo-deny") {
            println!("cargo-deny is not installed (cargo install cargo-deny): licences and advisories are not checked");
            return;
        }
        self.step("licences and bans", || run_command(&mut cargo(&["deny", "check", "bans", "licenses", "sources"])));
        // The advisories lie in a git repository of their own; without it there is nothing to compare with.
        if succeeds(&mut cargo(&["deny", "fetch"])) {
            self.step("advisories", || run_command(&mut cargo(&["deny", "check", "advisories"])));
        } else {
            println!("the advisory database cannot be fetched: advisories are not checked");
        }
    }

    /// The tests in tests/e2e, against a host with Coracle installed.
    fn on_a_host(&mut self, begun: Instant, archive: &Path) {
        let mut cluster = None;
        self.step("host", || {
            cluster = Some(host::up(Set::Minimal)?);
            Ok(())
        });
        let Some(cluster) = cluster else { return };
        let ready = self.step("images on the nodes", || cluster.load(archive))
            && self.step("chart", || launch::install(&cluster));
        if ready {
            let mut test = cargo(&["test", "--locked", "--package", "e2e", "--no-fail-fast"]);
            test.args(["--", "--ignored", "--test-threads=1"]).env("KUBECONFIG", &cluster.kubeconfig);
            self.tests("e2e", with_programs(&mut test));
            if begun.elapsed() < LAST_CALL {
                self.step("conformance", conformance::listed);
            } else {
                println!("no time is left for the conformance list");
            }
        }
        if cluster.host.is_some() {
            self.step("host down", host::down);
        }
    }
}

/// PATH with the pinned upstream programs first.
pub fn path_with_upstream() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(workspace::upstream_bin()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap_or(path)
}

/// Tests find upstream's programs in PATH and ours in CORACLE.
fn with_programs(command: &mut Command) -> &mut Command {
    command.env("PATH", path_with_upstream()).env("CORACLE", image::binary())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = cmd("cargo", arguments);
    command.current_dir(workspace::root());
    command
}

/// Passed and failed of a line `test result: ok. 3 passed; 0 failed; ...`.
fn summary(line: &str) -> Option<(usize, usize)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok());
    Some((number("passed")?, number("failed")?))
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn summaries_of_cargo_test_are_read() {
        let good = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s";
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";
        assert_eq!(summary(good), Some((12, 0)));
        assert_eq!(summary(bad), Some((3, 2)));
        assert_eq!(summary("running 3 tests"), None);
    }
}
