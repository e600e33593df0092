//! `cargo xtask conformance`: upstream's e2e.test against a tenant, compared with the checked-in list of specs that pass.
//!
//! The lists (`tests/conformance/passing.txt` for tenants that share the host's nodes, `passing-MODE.txt` for the other modes) may only grow: a spec on the list that fails
//! twice makes the run fail, and `--update` adds what passes but removes nothing. Specs that must run alone (`[Serial]`) are left out.

use crate::check::path_with_upstream;
use crate::host::{self, Cluster};
use crate::launch::{self, Tenant};
use crate::shell::{cmd, quiet, read, run as run_command};
use crate::upstream::{self, Set};
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// How the cluster under test gets its nodes.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// A cluster as it is, with no host below: by default ours with nodes that run nothing (`tests/swap`), which is enough for
    /// specs that need the API only.
    Direct,
    /// A tenant with kubelets of its own.
    Joined,
    /// A tenant whose pods run on the host's kubelets.
    Shared,
}

#[derive(Clone, clap::Args)]
pub struct Options {
    #[arg(long, value_enum, default_value_t = Mode::Shared)]
    mode: Mode,
    /// Which specs, as a regular expression over their full names.
    #[arg(long, default_value = r"\[Conformance\]")]
    focus: String,
    /// Which of these not; `[Serial]` ones are always left out.
    #[arg(long)]
    skip: Option<String>,
    /// The cluster under test; without it, the tenant of examples/tenant.yaml.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// How many processes run specs.
    #[arg(long, default_value_t = 8)]
    procs: usize,
    /// Only the specs on the checked-in list: what must not break.
    #[arg(long, conflicts_with = "focus")]
    listed: bool,
    /// Add what passes to the checked-in list.
    #[arg(long)]
    update: bool,
}

/// The outcome of one spec: none if it passed, else the first line of what went wrong.
type Outcomes = BTreeMap<String, Option<String>>;

pub fn run(options: &Options) -> Result<()> {
    upstream::build(Set::All)?;
    let (mode, list) = match options.mode {
        Mode::Direct => ("direct", "passing-direct.txt"),
        Mode::Joined => ("joined", "passing-joined.txt"),
        Mode::Shared => ("shared", "passing.txt"),
    };
    let output = workspace::target().join("conformance").join(mode);
    fs::create_dir_all(&output)?;
    let mut alone = None;
    let kubeconfig = match (&options.kubeconfig, options.mode) {
        (Some(file), _) => std::path::absolute(file)?,
        (None, Mode::Shared) => tenant_kubeconfig(&output)?,
        (None, Mode::Direct) => alone.insert(Alone::start(&output.join("cluster"))?).kubeconfig.clone(),
        (None, Mode::Joined) => bail!("--kubeconfig says which cluster"),
    };
    let list = workspace::root().join("tests/conformance").join(list);
    let listed = read_list(&list);
    let focus = if options.listed { exactly(&listed) } else { options.focus.clone() };
    execute(options, &focus, &kubeconfig, &output)?;
    let outcomes = outcomes(&fs::read_to_string(output.join("report.json"))?)?;
    report(&outcomes, &output)?;

    let passed: BTreeSet<String> = with(&outcomes, Option::is_none);
    if options.update {
        let all: BTreeSet<String> = listed.union(&passed).cloned().collect();
        fs::write(&list, write_list(&all))?;
        println!("{}: {} specs, {} of them new", list.display(), all.len(), all.len() - listed.len());
    }
    if passed.is_empty() {
        bail!("no spec passed");
    }
    let broken: BTreeSet<String> = listed.into_iter().filter(|name| failed(&outcomes, name)).collect();
    if broken.is_empty() {
        return Ok(());
    }
    // Specs race their own deadlines against everything else on the machine: what failed in company runs once more.
    println!("{} specs of {} failed and run once more:\n{}", broken.len(), list.display(), lines(&broken));
    let again = output.join("again");
    fs::create_dir_all(&again)?;
    execute(&Options { procs: 2, skip: None, ..options.clone() }, &exactly(&broken), &kubeconfig, &again)?;
    let outcomes = self::outcomes(&fs::read_to_string(again.join("report.json"))?)?;
    report(&outcomes, &again)?;
    let broken: BTreeSet<String> = broken.into_iter().filter(|name| failed(&outcomes, name)).collect();
    if !broken.is_empty() {
        bail!("{} specs of {} do not pass any more:\n{}", broken.len(), list.display(), lines(&broken));
    }
    Ok(())
}

/// Whether a spec ran and did not pass.
fn failed(outcomes: &Outcomes, name: &str) -> bool {
    outcomes.get(name).is_some_and(Option::is_some)
}

fn lines(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("  {name}")).collect::<Vec<_>>().join("\n")
}

/// The specs on the list of shared tenants, as a part of `cargo xtask test`; nothing where the list is still empty.
pub fn listed() -> Result<()> {
    if read_list(&workspace::root().join("tests/conformance/passing.txt")).is_empty() {
        println!("no spec is listed yet");
        return Ok(());
    }
    let focus = String::new();
    run(&Options { mode: Mode::Shared, focus, skip: None, kubeconfig: None, procs: 8, listed: true, update: false })
}

/// Runs ginkgo; failing specs are no error here, a run without a report is.
fn execute(options: &Options, focus: &str, kubeconfig: &Path, output: &Path) -> Result<()> {
    let bin = workspace::upstream_bin();
    let mut skip = r"\[Serial\]".to_owned();
    if let Some(more) = &options.skip {
        skip = format!("{skip}|{more}");
    }
    let report = output.join("report.json");
    fs::remove_file(&report).ok();
    let log = output.join("e2e.log");
    println!("running e2e.test; follow {}", log.display());
    let file = File::create(&log)?;
    let mut ginkgo = cmd(bin.join("ginkgo"), ["--no-color", "--timeout=2h", "--json-report=report.json"]);
    ginkgo.args(["--junit-report=junit.xml", "--silence-skips"]).arg(format!("--output-dir={}", output.display()));
    ginkgo.args([format!("--procs={}", options.procs), format!("--focus={focus}"), format!("--skip={skip}")]);
    ginkgo.arg(bin.join("e2e.test")).args(["--", "--provider=skeleton", "--disable-log-dump"]);
    ginkgo.arg(format!("--kubeconfig={}", kubeconfig.display()));
    ginkgo.arg(format!("--kubectl-path={}", bin.join("kubectl").display()));
    ginkgo.current_dir(output).env("PATH", path_with_upstream()).env_remove("KUBECONFIG");
    let status = ginkgo.stdout(file.try_clone()?).stderr(file).status().context("running ginkgo")?;
    if !report.is_file() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        bail!("ginkgo wrote no report ({status}):\n{}", crate::shell::tail(&text, 30));
    }
    Ok(())
}

/// Every spec that ran, from ginkgo's JSON report.
fn outcomes(report: &str) -> Result<Outcomes> {
    let suites: Vec<Value> = serde_json::from_str(report).context("reading ginkgo's report")?;
    let mut outcomes = Outcomes::new();
    for spec in suites.iter().filter_map(|suite| suite["SpecReports"].as_array()).flatten() {
        let state = spec["State"].as_str().unwrap_or_default();
        if spec["LeafNodeType"] != "It" {
            if !matches!(state, "passed" | "skipped" | "pending" | "") {
                let name = format!("[{}]", spec["LeafNodeType"].as_str().unwrap_or_default());
                outcomes.insert(name, Some(failure(spec)));
            }
            continue;
        }
        if matches!(state, "skipped" | "pending" | "") {
            continue;
        }
        let texts = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().chain([&spec["LeafNodeText"]]);
        let name = texts.filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        outcomes.insert(name, (state != "passed").then(|| failure(spec)));
    }
    Ok(outcomes)
}

fn failure(spec: &Value) -> String {
    let message = spec["Failure"]["Message"].as_str().unwrap_or_default();
    message.lines().next().unwrap_or_default().to_owned()
}

fn report(outcomes: &Outcomes, output: &Path) -> Result<()> {
    let mut failing = String::new();
    for (name, failure) in outcomes {
        if let Some(failure) = failure {
            failing = format!("{failing}{name}\n    {failure}\n");
        }
    }
    fs::write(output.join("failed.txt"), &failing)?;
    print!("{failing}");
    let failed = with(outcomes, Option::is_some).len();
    println!("{} passed, {failed} failed, {} total", outcomes.len() - failed, outcomes.len());
    Ok(())
}

fn with(outcomes: &Outcomes, pick: impl Fn(&Option<String>) -> bool) -> BTreeSet<String> {
    outcomes.iter().filter(|(_, failure)| pick(failure)).map(|(name, _)| name.clone()).collect()
}

/// One name a line; lines that begin with `#` are comments.
fn read_list(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn write_list(names: &BTreeSet<String>) -> String {
    let head =
        "# The specs of e2e.test that pass, one a line. `cargo xtask conformance --update` adds; nothing is removed.\n";
    names.iter().fold(head.to_owned(), |text, name| format!("{text}{name}\n"))
}

/// A regular expression (Go's syntax) that matches these names and no others.
fn exactly(names: &BTreeSet<String>) -> String {
    let quote = |name: &String| {
        name.chars().fold(String::new(), |mut quoted, letter| {
            if !letter.is_alphanumeric() && letter != ' ' && !letter.is_whitespace() && letter.is_ascii() {
                quoted.push('\\');
            }
            quoted.push(letter);
            quoted
        })
    };
    format!("({})$", names.iter().map(quote).collect::<Vec<_>>().join("|"))
}

/// A control plane with nodes that run nothing; it ends with this.
struct Alone {
    program: Child,
    kubeconfig: PathBuf,
}

impl Alone {
    fn start(folder: &Path) -> Result<Self> {
        run_command(&mut cmd("cargo", ["build", "--quiet", "--package=coracle", "--package=swap"]))?;
        let debug = workspace::target().join("debug");
        let mut program = cmd(debug.join("swap"), [folder]);
        program.env("CORACLE", debug.join("coracle")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = program.spawn().context("running swap")?;
        let output = program.stdout.take().context("swap has no output")?;
        let mut alone = Self { program, kubeconfig: PathBuf::new() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the cluster did not start; its logs are in {}", folder.display());
        }
        alone.kubeconfig = line.trim_end().into();
        Ok(alone)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // The end of its input ends the program and what it started.
        drop(self.program.stdin.take());
        self.program.wait().ok();
    }
}

/// The kubeconfig of the example tenant, made to point at its ClusterIP: this machine has a route to it, but not the host's DNS.
fn tenant_kubeconfig(output: &Path) -> Result<PathBuf> {
    let cluster = host::up(Set::All)?;
    launch::ensure_installed(&cluster)?;
    let tenant = launch::apply_tenant(&cluster)?;
    let file = output.join("kubeconfig");
    write_kubeconfig(&cluster, &tenant, &file)?;
    Ok(file)
}

fn write_kubeconfig(cluster: &Cluster, Tenant { namespace, name }: &Tenant, file: &Path) -> Result<()> {
    let field =
        |resource: &str, output: &str| read(&mut cluster.kubectl(["-n", namespace, "get", resource, "-o", output]));
    let address = field(&format!("service/{name}"), "jsonpath={.spec.clusterIP}")?;
    let secret = format!("secret/{name}-kubeconfig");
    fs::write(file, field(&secret, "go-template={{.data.value | base64decode}}")?)?;
    let path = file.display().to_string();
    let config = |arguments: &[&str]| cluster.kubectl([&["--kubeconfig", &path, "config"], arguments].concat());
    let entry = read(&mut config(&["view", "-o", "jsonpath={.clusters[0].name}"]))?;
    quiet(&mut config(&["set-cluster", &entry, &format!("--server=https://{address}:443")]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_each_spec_that_ran_its_outcome() {
        let report = r#"[{"SpecReports": [
            {"LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "", "State": "passed"},
            {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-a] A", "b"], "LeafNodeText": "works [Conformance]", "State": "passed"},
            {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-a] A"], "LeafNodeText": "breaks", "State": "failed",
             "Failure": {"Message": "no pod\nat all"}},
            {"LeafNodeType": "It", "ContainerHierarchyTexts": null, "LeafNodeText": "is left out", "State": "skipped"}
        ]}]"#;
        let outcomes = outcomes(report).unwrap();
        assert_eq!(outcomes.len(), 2);
        assert_eq!(outcomes["[sig-a] A b works [Conformance]"], None);
        assert_eq!(outcomes["[sig-a] A breaks"], Some("no pod".to_owned()));
    }

    #[test]
    fn lists_survive_writing_and_reading_and_become_exact_expressions() {
        let names = BTreeSet::from(["[sig-a] A works (really) [Conformance]".to_owned(), "b.c".to_owned()]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        fs::write(&file, write_list(&names)).unwrap();
        assert_eq!(read_list(&file), names);
        assert_eq!(exactly(&names), r"(\[sig\-a\] A works \(really\) \[Conformance\]|b\.c)$");
    }
}
