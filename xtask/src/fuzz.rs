//! `cargo xtask fuzz`: every target of `tests/fuzz` for a while, guided by coverage, from upstream's own fixtures and tests.
//!
//! The program is built by the pinned compiler with LLVM's coverage counters and libFuzzer. What a target learns stays in
//! `target/fuzz/corpus`; an input that it fails on is written to `target/fuzz/findings/TARGET` and the run fails.

use crate::bench::server::empty;
use crate::shell::{cmd, read, run as run_command, tail};
use crate::upstream::source;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// What counts the edges that an input reaches, and shows libFuzzer the values that are compared. The last one keeps
/// the linker from taking functions away and leaving their counters.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code";

/// An input that takes longer is a finding; on a machine that is busy with other things, innocent ones take seconds.
const SLOW: &str = "-timeout=120";

#[derive(clap::Args)]
pub struct Options {
    /// Of these targets only
    targets: Vec<String>,
    /// For how long each target runs
    #[arg(long, default_value_t = SECONDS)]
    seconds: u64,
    /// How many run beside each other
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

const SECONDS: u64 = 30;
const JOBS: usize = 2;

impl Options {
    /// All targets for as long as a test may take.
    pub fn short() -> Options {
        Options { targets: Vec::new(), seconds: SECONDS, jobs: JOBS }
    }
}

/// Where a target's first inputs come from.
enum Seeds {
    /// The serialized objects of k8s.io/api, those with this ending.
    Objects(&'static [&'static str]),
    /// The string literals of one Go test: module and file.
    Literals(&'static [(&'static str, &'static str)]),
}

/// A target, its seeds and the longest input that it is given.
struct Target {
    name: &'static str,
    seeds: Seeds,
    longest: usize,
}

const TARGETS: [Target; 8] = [
    Target {
        name: "continue_token",
        seeds: Seeds::Literals(&[("k8s.io/apiserver", "pkg/storage/continue_test.go")]),
        longest: 256,
    },
    Target { name: "json", seeds: Seeds::Objects(&["json"]), longest: 40 * 1024 },
    Target { name: "patch", seeds: Seeds::Objects(&["json"]), longest: 40 * 1024 },
    Target { name: "protobuf", seeds: Seeds::Objects(&["pb", "json"]), longest: 40 * 1024 },
    Target {
        name: "quantity",
        seeds: Seeds::Literals(&[("k8s.io/apimachinery", "pkg/api/resource/quantity_test.go")]),
        longest: 64,
    },
    Target {
        name: "request",
        seeds: Seeds::Literals(&[("k8s.io/apiserver", "pkg/endpoints/request/requestinfo_test.go")]),
        longest: 256,
    },
    Target {
        name: "selector",
        seeds: Seeds::Literals(&[
            ("k8s.io/apimachinery", "pkg/labels/selector_test.go"),
            ("k8s.io/apimachinery", "pkg/fields/selector_test.go"),
        ]),
        longest: 256,
    },
    Target { name: "yaml", seeds: Seeds::Objects(&["yaml"]), longest: 2 * 1024 },
];

/// Fails when a target found something, and names the input.
pub fn run(options: &Options) -> Result<()> {
    if let Some(name) = options.targets.iter().find(|name| TARGETS.iter().all(|target| target.name != **name)) {
        bail!("there is no target {name}: {}", TARGETS.map(|target| target.name).join(", "));
    }
    let folder = workspace::target().join("fuzz");
    let program = build(&folder)?;
    let wanted =
        |target: &&Target| options.targets.is_empty() || options.targets.iter().any(|name| name == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(wanted).collect();
    let mut failed = Vec::new();
    for beside in targets.chunks(options.jobs.max(1)) {
        let mut running = Vec::new();
        for target in beside {
            running.push(target.start(&program, &folder, options.seconds)?);
        }
        for (target, mut child) in beside.iter().zip(running) {
            let well = child.wait()?.success();
            println!("{}: {}", target.name, target.summary(&folder)?);
            if !well {
                failed.push(target.name);
                println!("{}", tail(&String::from_utf8_lossy(&fs::read(target.log(&folder))?), 30));
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} found something: target/fuzz/findings", failed.join(", "));
    }
    Ok(())
}

/// Builds the program apart from everything else, as its flags differ; build scripts and macros, which belong to no target
/// platform, are left without counters.
fn build(folder: &Path) -> Result<PathBuf> {
    let compiler = read(&mut cmd("rustc", ["-vV"]))?;
    let platform = compiler.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names its host")?;
    let mut cargo = cmd("cargo", ["build", "--locked", "--package=fuzz", "--features=libfuzzer", "--profile=fuzz"]);
    cargo.args(["--target", platform, "--target-dir"]).arg(folder);
    run_command(cargo.current_dir(workspace::root()).env("RUSTFLAGS", COVERAGE))?;
    Ok(folder.join(platform).join("fuzz/fuzz"))
}

impl Target {
    fn start(&self, program: &Path, folder: &Path, seconds: u64) -> Result<Child> {
        let (seeds, corpus, findings) = (
            folder.join("seeds").join(self.name),
            folder.join("corpus").join(self.name),
            folder.join("findings").join(self.name),
        );
        for folder in [&corpus, &findings] {
            fs::create_dir_all(folder)?;
        }
        empty(&seeds)?;
        self.seeds.write(&seeds).with_context(|| format!("seeds of {}", self.name))?;
        let mut command = cmd(program, [SLOW, "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=1"]);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={}", self.longest));
        command.arg(format!("-artifact_prefix={}/", findings.display())).args([corpus, seeds]);
        let log = fs::File::create(self.log(folder))?;
        command.env("FUZZ_TARGET", self.name).stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("starting {}", self.name))
    }

    fn log(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.log", self.name))
    }

    /// libFuzzer's own figures.
    fn summary(&self, folder: &Path) -> Result<String> {
        let log = fs::read(self.log(folder))?;
        let log = String::from_utf8_lossy(&log);
        let stat = |name: &str| {
            let line = log.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.map_or("?", |line| line.trim_start_matches(':').trim()).to_owned()
        };
        let edges = log.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next()).unwrap_or("?");
        let (inputs, added) = (stat("number_of_executed_units"), stat("new_units_added"));
        Ok(format!("{inputs} inputs, {edges} edges, {added} inputs kept, {} MB", stat("peak_rss_mb")))
    }
}

impl Seeds {
    fn write(&self, folder: &Path) -> Result<()> {
        let mut inputs = BTreeSet::new();
        match self {
            Self::Objects(endings) => {
                for entry in fs::read_dir(source("k8s.io/api")?.join("testdata/HEAD"))? {
                    let path = entry?.path();
                    if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                        let object = fs::read(&path)?;
                        // Without the spaces between tokens, which are half of it.
                        let json = serde_json::from_slice::<Value>(&object).ok();
                        inputs.insert(json.map_or(object, |json| json.to_string().into_bytes()));
                    }
                }
            }
            Self::Literals(tests) => {
                for (module, file) in *tests {
                    let path = source(module)?.join(file);
                    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                    inputs.extend(literals(&text).into_iter().map(String::into_bytes));
                }
            }
        }
        for input in inputs {
            fs::write(folder.join(format!("{:.16x}", Sha256::digest(&input))), input)?;
        }
        Ok(())
    }
}

/// The strings in double quotes of a Go file, with the escapes that JSON has too.
fn literals(go: &str) -> Vec<String> {
    let literal = regex::Regex::new(r#""(?:[^"\\\n]|\\.)*""#);
    let found = literal.iter().flat_map(|literal| literal.find_iter(go));
    found.filter_map(|found| serde_json::from_str(found.as_str()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::literals;

    #[test]
    fn the_strings_of_a_go_file_are_its_seeds() {
        let go = "{\"/api/v1\", \"a\\\\,b\", 1, \"\\x00\"}, // it's\n{\"\", \"x=\\\"y\\\"\"}";
        assert_eq!(literals(go), ["/api/v1", "a\\,b", "", "x=\"y\""]);
    }
}
