//! `cargo xtask clients`: programs of client-go, controller-runtime, kube-rs and the official Python client follow a collection
//! while it is written to and `coracle apiserver` is killed (SIGKILL) and started again under all of them.
//!
//! Every write that the server did and every event that a client saw is written down ([`record`]). At the end no client may have
//! lost an event or have been given one twice, and all must hold what the server holds. Once the clients are stopped for
//! longer than history is kept, so that they come back to a 410 and have to list again.

mod record;

use crate::bench::process::Process;
use crate::bench::server::{ApiServer, empty, give, load};
use crate::bench::upstream::{free_ports, keys::Keys};
use crate::image;
use crate::shell::{cmd, quiet, read, run as run_command};
use crate::upstream::{self, Set};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use record::{Truth, Verdict, judge};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

const NAMESPACE: &str = "clients";
/// So many of the objects are changed.
const CHANGED: usize = 1_000;
const CHANGES_PER_SECOND: u32 = 200;
/// How many times the server is killed while everybody runs, and for how long it lives in between.
const KILLS: usize = 4;
const LIFE: Duration = Duration::from_secs(3);
/// How often history is cut off. A list in pages has to be through in this time.
const COMPACTION: Duration = Duration::from_secs(4);
/// How long all may take to see everything.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(clap::Args)]
pub struct Options {
    /// How many objects there are
    #[arg(long, default_value_t = 50_000)]
    objects: usize,
    /// The program to test; what the last `cargo xtask image` built when it is not given
    #[arg(long, env = "CORACLE")]
    program: Option<PathBuf>,
}

impl Options {
    /// Of a size for every day.
    pub fn short() -> Options {
        Options { objects: 5_000, program: None }
    }
}

/// The server, which dies and comes back over the same data.
struct Server {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    keys: Keys,
    running: Option<ApiServer>,
}

/// A program that follows the collection, and where it writes what it sees.
struct Follower {
    name: &'static str,
    process: Process,
    record: PathBuf,
}

/// Fails with everything that a client saw and should not have, or did not see.
pub fn run(options: &Options) -> Result<()> {
    upstream::build(Set::Minimal)?;
    let cargo = ["build", "--quiet", "--locked", "--package=clients", "--package=load"];
    run_command(cmd("cargo", cargo).current_dir(workspace::root()))?;
    let python = python()?;
    let folder = workspace::target().join("clients");
    empty(&folder)?;
    let mut server = Server::new(options, &folder)?;
    server.restart()?;
    server.fill(options.objects)?;
    let before = server.list()?;
    ensure!(before.len() == options.objects, "{} objects were made", before.len());

    let kubeconfig = server.keys.kubeconfig("admin", &format!("https://127.0.0.1:{}", server.port))?;
    let mut followers = followers(&folder, &kubeconfig, &python)?;
    let begun = Instant::now();
    for follower in &mut followers {
        while !follower.text()?.contains("listed\n") {
            follower.process.check()?;
            ensure!(begun.elapsed() < PATIENCE, "{} has no list", follower.name);
            sleep(Duration::from_millis(100));
        }
    }
    println!("{} objects: all clients have listed after {} s", options.objects, begun.elapsed().as_secs());

    let journal = folder.join("journal.txt");
    let mut arguments = ours(&kubeconfig, &journal, "write");
    let changed = CHANGED.min(options.objects);
    arguments.extend([format!("--objects={changed}"), format!("--rate={CHANGES_PER_SECOND}")]);
    let writer = Process::start("writer", &built("clients"), &arguments, &folder)?;
    for _ in 0..KILLS {
        sleep(LIFE);
        server.restart()?;
    }
    signal("STOP", &followers)?;
    server.restart()?;
    sleep(3 * COMPACTION);
    signal("CONT", &followers)?;
    // Once more, into the lists that this makes.
    sleep(LIFE / 10);
    server.restart()?;
    sleep(LIFE);
    quiet(&mut cmd("kill", ["-TERM", &writer.pid().to_string()]))?;
    while !fs::read_to_string(&journal)?.contains("applied end ") {
        ensure!(begun.elapsed() < 2 * PATIENCE, "the writer does not end\n{}", writer.last_lines());
        sleep(Duration::from_millis(100));
    }
    let truth = Truth::new(&before, &fs::read_to_string(&journal)?);
    ensure!(truth.after() == server.list()?, "the server does not hold what it said it wrote");
    println!("{} changes, {} kills: the server holds what it said it wrote", truth.changes(), KILLS + 2);
    report(&truth, &mut followers)
}

/// Waits until all have seen everything, and says what is wrong with what they saw.
fn report(truth: &Truth, followers: &mut [Follower]) -> Result<()> {
    let begun = Instant::now();
    let mut wrong = Vec::new();
    for follower in followers {
        let Verdict { figures, wrong: mut found, behind } = loop {
            follower.process.check()?;
            let verdict = judge(truth, &follower.text()?);
            if verdict.behind.is_empty() || !verdict.wrong.is_empty() || begun.elapsed() > PATIENCE {
                break verdict;
            }
            sleep(Duration::from_millis(500));
        };
        if found.is_empty() {
            found.extend(behind.iter().map(|name| format!("{name}: the last state was never seen")));
        }
        println!(
            "{}: {} lists, {} events, {} refused, {} calls, {} wrong",
            follower.name,
            figures.lists,
            figures.events,
            figures.refused,
            figures.calls,
            found.len()
        );
        wrong.extend(found.into_iter().take(20).map(|what| format!("{}: {what}", follower.name)));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn followers(folder: &Path, kubeconfig: &Path, python: &Path) -> Result<Vec<Follower>> {
    let script = workspace::root().join("tests/upstream/clients/watch.py");
    // Streaming lists are what client-go does by default; before they were there it read pages.
    let go = |library: &str, streaming: bool, record: &Path| {
        let program = workspace::upstream_bin().join("clients");
        let options = [("kubeconfig", kubeconfig), ("namespace", Path::new(NAMESPACE)), ("record", record)];
        let mut words = vec![format!("KUBE_FEATURE_WatchListClient={streaming}"), program.display().to_string()];
        words.extend(options.map(|(name, value)| format!("-{name}={}", value.display())));
        words.push(format!("-library={library}"));
        (PathBuf::from("env"), words)
    };
    let start = |name: &'static str, line: &dyn Fn(&Path) -> (PathBuf, Vec<String>)| {
        let record = folder.join(format!("{name}.txt"));
        let (program, arguments) = line(&record);
        let process = Process::start(name, &program, &arguments, folder)?;
        // It may be looked for before the program has made it.
        fs::OpenOptions::new().create(true).append(true).open(&record)?;
        anyhow::Ok(Follower { name, process, record })
    };
    Ok(vec![
        start("client-go", &|record| go("client-go", false, record))?,
        start("client-go, streaming", &|record| go("client-go", true, record))?,
        start("controller-runtime", &|record| go("controller-runtime", true, record))?,
        start("kube-rs", &|record| (built("clients"), ours(kubeconfig, record, "watch")))?,
        start("kube-rs, streaming", &|record| {
            let mut arguments = ours(kubeconfig, record, "watch");
            arguments.push("--streaming".to_owned());
            (built("clients"), arguments)
        })?,
        start("python", &|record| {
            let words = [&script, kubeconfig, Path::new(NAMESPACE), record];
            (python.to_path_buf(), words.map(|word| word.display().to_string()).to_vec())
        })?,
    ])
}

/// What all programs of `tests/clients` are told.
fn ours(kubeconfig: &Path, record: &Path, work: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--namespace={NAMESPACE}"),
        format!("--record={}", record.display()),
        work.to_owned(),
    ]
}

/// A program of this workspace, as cargo builds it by default.
fn built(name: &str) -> PathBuf {
    workspace::target().join("debug").join(name)
}

/// The Python of an environment that holds what `requirements.txt` pins.
fn python() -> Result<PathBuf> {
    let pinned = workspace::root().join("tests/upstream/clients/requirements.txt");
    let folder = workspace::target().join("upstream/python");
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if !stamp.is_file() || fs::read(&stamp)? != fs::read(&pinned)? {
        quiet(cmd("python3", ["-m", "venv", "--clear"]).arg(&folder)).context("Python 3 with venv is needed")?;
        quiet(cmd(&python, ["-m", "pip", "install", "--quiet", "--requirement"]).arg(&pinned))?;
        fs::copy(&pinned, &stamp)?;
    }
    Ok(python)
}

fn signal(name: &str, followers: &[Follower]) -> Result<()> {
    let pids = followers.iter().map(|follower| follower.process.pid().to_string());
    quiet(cmd("kill", [format!("-{name}")]).args(pids))
}

impl Follower {
    /// What it has written so far, without a line that is not whole yet.
    fn text(&self) -> Result<String> {
        let mut text = fs::read_to_string(&self.record)?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        Ok(text)
    }
}

impl Server {
    fn new(options: &Options, folder: &Path) -> Result<Server> {
        let keys = Keys::make(&folder.join("keys"))?;
        give(&keys, folder)?;
        let [port] = free_ports()?;
        let program = options.program.clone().unwrap_or_else(image::binary);
        Ok(Server { program, folder: folder.to_path_buf(), port, keys, running: None })
    }

    /// Kills what runs and starts it over what that left.
    fn restart(&mut self) -> Result<()> {
        self.running = None;
        let flags = [format!("--etcd-compaction-interval={}s", COMPACTION.as_secs())];
        self.running = Some(ApiServer::again(&self.program, &self.folder, self.port, Some(&self.keys), &flags)?);
        Ok(())
    }

    fn fill(&self, objects: usize) -> Result<()> {
        let mut load = load(&built("load"), self.port, &self.keys);
        quiet(load.args(["fill", "configmaps", &objects.to_string(), "--namespace", NAMESPACE]))
    }

    /// Name and revision of every object, in one answer.
    fn list(&self) -> Result<BTreeMap<String, u64>> {
        let mut curl = cmd("curl", ["--silent", "--show-error", "--fail", "--noproxy", "*"]);
        for (option, file) in [("--cacert", "ca.crt"), ("--cert", "admin.crt"), ("--key", "admin.key")] {
            curl.arg(option).arg(self.keys.file(file));
        }
        curl.arg(format!("https://127.0.0.1:{}/api/v1/namespaces/{NAMESPACE}/configmaps", self.port));
        let list: Value = serde_json::from_str(&read(&mut curl)?)?;
        let objects = list["items"].as_array().context("a list has items")?.iter().map(|item| {
            let metadata = &item["metadata"];
            Some((metadata["name"].as_str()?.to_owned(), metadata["resourceVersion"].as_str()?.parse().ok()?))
        });
        objects.collect::<Option<_>>().context("an object has a name and a revision")
    }
}
