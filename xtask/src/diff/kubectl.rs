//! What upstream's kubectl prints of each server: `explain`, `get` and `describe` of every kind with an object there, and
//! what discovery makes of `api-resources` and `api-versions`.
//!
//! Tables are compared by their cells: the width of a column follows from the cells, and ages differ.

use super::Run;
use super::edit::{Edit, Place};
use super::exchange::{Body, JSON, Request};
use super::generate::stays;
use super::life;
use super::objects::Fixture;
use super::servers::Access;
use super::side::{Memories, Memory};
use crate::workspace;
use anyhow::{Context, Result};
use regex::Regex;
use std::sync::LazyLock;
use tokio::process::Command;

/// Lines of one text that are told apart.
const SHOWN: usize = 8;

static CELLS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s{2,}"));
static AGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^((\d+d)?(\d+h)?(\d+m)?\d+s|\dm)$"));
/// Times as kubectl prints them, ports that an allocator chose, versions.
static CHOSEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} (?P<year>\d{4}) [\d:]{8} [+-]\d{4}|\b3[0-2]\d{3}/(TCP|UDP)|^HealthCheck NodePort: .*|^\s*Resource Version: .*",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern is valid")
}

/// A resource's texts.
pub struct Texts<'a> {
    pub name: String,
    /// Of the first object of each resource only: what is the same for all of them.
    first: bool,
    fixture: &'a Fixture,
}

/// One entry for each object, and the name of what is asked of no resource.
pub const GENERAL: &str = "kubectl";

pub fn load(objects: &[Fixture]) -> Vec<Texts<'_>> {
    let mut texts: Vec<Texts<'_>> = Vec::new();
    for fixture in objects {
        let name = format!("{}/kubectl", fixture.title());
        let first = texts.iter().all(|other| other.name != name);
        texts.push(Texts { name, first, fixture });
    }
    texts
}

/// What kubectl prints of a server as a whole.
pub async fn general(run: &mut Run) -> Result<()> {
    for arguments in ["api-resources -o wide", "api-resources -o name --sort-by=name", "api-versions", "version"] {
        both(run, GENERAL, arguments).await?;
    }
    Ok(())
}

impl Texts<'_> {
    pub async fn compare(&self, run: &mut Run) -> Result<()> {
        let info = self.fixture.resource;
        let api_version = match info.group {
            "" => info.version.to_owned(),
            group => format!("{group}/{}", info.version),
        };
        if self.first {
            for more in ["", " --recursive"] {
                let explain = format!("explain {}{more} --api-version={api_version}", info.plural);
                both(run, &self.name, &explain).await?;
            }
        }
        if !stays(self.fixture) {
            return Ok(());
        }
        let mut sides = Memories::default();
        let mut requests = life::begin(self.fixture);
        if let (Some(_), Some(status)) = (info.subresource("status"), self.fixture.object.get("status")) {
            let edits = vec![Edit::Set(Place::of(&["status"]), status.clone())];
            let put = Request::new("PUT", format!("{}/status", self.fixture.path())).about("status");
            requests.push(put.body(JSON, Body::Live(edits)).keep());
        }
        for request in requests {
            run.ask(&self.name, &request, &mut sides).await?;
        }
        let kind = match info.group {
            "" => format!("{}.{}.", info.plural, info.version),
            group => format!("{}.{}.{group}", info.plural, info.version),
        };
        let object = format!("{kind} {} -n {}", self.fixture.name(), super::objects::NAMESPACE);
        for command in [
            format!("get {object}"),
            format!("get {object} -o wide --show-labels"),
            format!("get {object} -o name"),
            format!("describe {object}"),
        ] {
            both(run, &self.name, &command).await?;
        }
        if self.first {
            both(run, &self.name, &format!("get {kind} -A -o wide")).await?;
        }
        for request in life::end(self.fixture) {
            run.ask(&self.name, &request, &mut sides).await?;
        }
        Ok(())
    }
}

/// Runs one command against both servers and reports the differences.
async fn both(run: &mut Run, name: &str, arguments: &str) -> Result<()> {
    if run.only.as_ref().is_some_and(|only| !only.is_match(arguments)) {
        return Ok(());
    }
    let [upstream, coracle] = &run.servers.access;
    let (upstream, coracle) = tokio::try_join!(print(upstream, arguments), print(coracle, arguments))?;
    let causes = causes(&upstream, &coracle);
    if run.verbose && !causes.is_empty() {
        println!("{name}: kubectl {arguments}\n{}\n{}", upstream.join("\n"), coracle.join("\n"));
    }
    run.report.add(name, &format!("kubectl {arguments}"), &causes);
    Ok(())
}

/// The lines that kubectl writes, those of its errors last, with names for what is volatile.
async fn print(server: &Access, arguments: &str) -> Result<Vec<String>> {
    let kubeconfig = &server.kubeconfig;
    let mut command = Command::new(workspace::upstream_bin().join("kubectl"));
    command.args(arguments.split_whitespace()).env("KUBECONFIG", kubeconfig);
    command.arg("--cache-dir").arg(kubeconfig.with_extension("cache"));
    let output = command.output().await.with_context(|| format!("kubectl {arguments}"))?;
    let text = [output.stdout, output.stderr].concat();
    let (memory, own) = (Memory::default(), pattern(&format!(r"\b{}\b", server.port)));
    let text = String::from_utf8_lossy(&text);
    Ok(own.replace_all(&text, "own port").lines().map(|line| masked(line, &memory)).collect())
}

fn masked(line: &str, memory: &Memory) -> String {
    let line = CHOSEN.replace_all(line, |found: &regex::Captures<'_>| match found.name("year") {
        Some(year) if super::side::FIXTURE_YEARS.contains(&year.as_str()) => found[0].to_owned(),
        _ => "chosen".to_owned(),
    });
    let cells = CELLS.split(line.trim_end());
    let cells = cells.map(|cell| if AGE.is_match(cell) { "age".into() } else { memory.mask_text(cell, "") });
    cells.collect::<Vec<_>>().join("  ")
}

/// The lines that only one side has, beside each other.
fn causes(upstream: &[String], coracle: &[String]) -> Vec<String> {
    if upstream == coracle {
        return Vec::new();
    }
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).take(SHOWN).cloned().collect()
    };
    let (theirs, ours) = (only(upstream, coracle), only(coracle, upstream));
    let count = theirs.len().max(ours.len());
    if count == 0 {
        return vec!["text: the same lines, in another order or number".to_owned()];
    }
    let line = |lines: &[String], at: usize| lines.get(at).map_or("no line".to_owned(), |line| format!("{line:?}"));
    (0..count).map(|at| format!("text: {} -> {}", line(&theirs, at), line(&ours, at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_compared_by_their_cells() {
        let memory = Memory::default();
        let narrow = masked("a   80:31234/TCP   5s   <none>", &memory);
        assert_eq!(narrow, masked("a   80:30001/TCP   1m12s   <none>", &memory));
        assert_eq!(narrow, "a  80:chosen  age  <none>");
        assert_eq!(masked("Time: Mon, 01 Jan 2024 00:00:00 +0000", &memory), "Time: Mon, 01 Jan 2024 00:00:00 +0000");
    }

    #[test]
    fn lines_that_only_one_side_has_are_told() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(causes(&lines("a\nb\nc"), &lines("a\nd\nc\ne")), [r#"text: "b" -> "d""#, r#"text: no line -> "e""#]);
        assert_eq!(causes(&lines("a\nb"), &lines("b\na")), ["text: the same lines, in another order or number"]);
    }
}
