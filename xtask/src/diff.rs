//! `cargo xtask diff`: the same requests to upstream's kube-apiserver and to `coracle apiserver`, and every difference
//! between the answers, grouped by cause.
//!
//! Requests are generated from the type tables and the objects in `tests/diff/objects` (`generate.rs`), made of upstream's
//! serialized fixtures (`fixtures.rs`), and read from `tests/diff/requests` (`script.rs`). kubectl is asked for its texts
//! (`kubectl.rs`), and `tests/crud` for the life of every resource (`cycles.rs`). Both sides go through each scenario in lock step; what each server may choose by
//! itself is named before the comparison (`side.rs`). Differences that a user would accept stand in
//! `tests/diff/explained.txt` with their reasons. The report goes to `target/diff/report.txt`.

mod client;
mod compare;
mod cycles;
mod edit;
mod exchange;
mod fixtures;
mod generate;
mod kubectl;
mod life;
mod lists;
mod mend;
mod report;
mod script;
mod servers;
mod side;
mod variants;

use crate::workspace;
use anyhow::{Context, Result, bail};
use crud::objects;
use exchange::{Answer, Request};
use generate::{Amount, Scenario};
use regex::Regex;
use report::Report;
use servers::Servers;
use side::Memories;
use std::fs;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Options {
    /// Only scenarios whose name (`apps/v1/deployments/update`) matches this pattern
    #[arg(long, value_name = "REGEX")]
    focus: Option<String>,
    /// Only requests whose description matches; creations, deletions and kept answers are sent all the same
    #[arg(long, value_name = "REGEX")]
    request: Option<String>,
    /// At most so many variants of one object and verb
    #[arg(long, default_value_t = 60)]
    limit: usize,
    /// Which variants are taken where there are more
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many causes are printed; the report has all
    #[arg(long, default_value_t = 60)]
    top: usize,
    /// Print both answers of every request that differs
    #[arg(long)]
    verbose: bool,
    /// The program to compare, instead of target/debug/coracle
    #[arg(long)]
    program: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare_all(options))
}

async fn compare_all(options: &Options) -> Result<()> {
    let tests = workspace::root().join("tests/diff");
    let report = Report::new(report::explained(&tests.join("explained.txt"))?);
    let setup = objects::load(&tests.join("objects"), true)?;
    let amount = Amount { seed: options.seed, variants: options.limit };
    let mut scenarios = script::load(&tests.join("requests"))?;
    let objects = objects::load(&tests.join("objects"), false)?;
    scenarios.extend(objects.iter().flat_map(|fixture| generate::scenarios(fixture, amount)));
    scenarios.extend(objects.iter().map(fixtures::scenario));
    let mut texts = kubectl::load(&objects);
    let mut golden = fixtures::load(&objects)?;
    let focus = options.focus.as_deref().unwrap_or_default();
    let focus = Regex::new(focus).with_context(|| format!("--focus {focus}"))?;
    scenarios.retain(|scenario| focus.is_match(&scenario.name));
    golden.retain(|golden| focus.is_match(&golden.name));
    texts.retain(|texts| focus.is_match(&texts.name));
    let general = focus.is_match(kubectl::GENERAL);
    let folder = workspace::target().join("diff");
    fs::create_dir_all(&folder)?;
    let servers = servers::start(&folder, options.program.as_deref()).await?;
    let only = options.request.as_deref().map(Regex::new).transpose()?;
    let mut run = Run { servers, report, only, verbose: options.verbose };
    let made = Scenario { name: "setup".to_owned(), requests: setup.iter().flat_map(life::begin).collect() };
    for scenario in std::iter::once(&made).chain(&scenarios) {
        run.scenario(scenario).await?;
    }
    for golden in &golden {
        golden.compare(&mut run).await?;
    }
    if general {
        kubectl::general(&mut run).await?;
    }
    for texts in &texts {
        texts.compare(&mut run).await?;
    }
    let folder_of_objects = tests.join("objects");
    let cycles =
        cycles::compare(&mut run.servers, &mut run.report, &folder_of_objects, |name| focus.is_match(name)).await?;
    if scenarios.is_empty() && golden.is_empty() && texts.is_empty() && !general && cycles == 0 {
        bail!("no scenario matches");
    }
    let file = folder.join("report.txt");
    fs::write(&file, run.report.text())?;
    print!("{}", run.report.ranking(options.top));
    println!("{}\n{}", file.display(), run.report.summary());
    if run.report.passes() { Ok(()) } else { bail!("the answers differ") }
}

struct Run {
    servers: Servers,
    report: Report,
    only: Option<Regex>,
    verbose: bool,
}

impl Run {
    async fn scenario(&mut self, scenario: &Scenario) -> Result<()> {
        let mut sides = Memories::default();
        for request in &scenario.requests {
            self.ask(&scenario.name, request, &mut sides).await?;
        }
        Ok(())
    }

    /// Sends one request to both sides and reports the differences. Upstream's answer, with names for what is volatile;
    /// an empty one where the request was not to be sent.
    async fn ask(&mut self, scenario: &str, request: &Request, sides: &mut Memories) -> Result<Answer> {
        let needed = request.keep || request.method == "DELETE";
        if !needed && self.only.as_ref().is_some_and(|only| !only.is_match(&request.about)) {
            return Ok(Answer::default());
        }
        let Servers { upstream, coracle, .. } = &mut self.servers;
        let (upstream, coracle) =
            tokio::join!(upstream.send(request, &sides.upstream), coracle.send(request, &sides.coracle));
        let line = format!("{} {} ({})", request.method, request.path, request.about);
        let mut upstream = upstream.with_context(|| format!("upstream, {scenario}: {line}"))?;
        let mut coracle = match coracle {
            Ok(answer) => answer,
            Err(error) => {
                self.report.add(scenario, &line, &[format!("no answer: {error:#}")]);
                return Ok(upstream);
            }
        };
        for (answer, memory) in [(&mut upstream, &mut sides.upstream), (&mut coracle, &mut sides.coracle)] {
            let body = answer.body.clone();
            memory.mask(&mut answer.body);
            memory.learn(&body, request.keep);
            for (_, value) in &mut answer.headers {
                *value = memory.mask_text(value, "");
            }
        }
        let causes = compare::causes(&upstream, &coracle);
        if self.verbose && !causes.is_empty() {
            println!("{scenario}: {line}");
            for answer in [&upstream, &coracle] {
                println!("  {} {:?}\n  {}", answer.status, answer.headers, answer.body);
            }
        }
        self.report.add(scenario, &line, &causes);
        Ok(upstream)
    }
}
