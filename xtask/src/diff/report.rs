//! What a run found: differences grouped by cause, the most frequent first, and what the checked-in list explains.

use anyhow::{Context, Result, bail};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Most entries that the list of explained differences may have.
const MOST_EXPLAINED: usize = 25;
/// Requests shown for a cause.
const EXAMPLES: usize = 3;

/// A difference that a user would accept, and why.
pub struct Explained {
    pattern: Regex,
    reason: String,
}

/// Reads the list: `PATTERN # REASON`, one a line. The pattern is looked for in `RESOURCE VERB: CAUSE`.
pub fn explained(file: &Path) -> Result<Vec<Explained>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut list = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let (pattern, reason) = line.rsplit_once(" # ").with_context(|| format!("no reason: {line}"))?;
        list.push(Explained { pattern: Regex::new(pattern.trim())?, reason: reason.trim().to_owned() });
    }
    if list.len() > MOST_EXPLAINED {
        bail!("{}: {} entries; {MOST_EXPLAINED} are allowed", file.display(), list.len());
    }
    Ok(list)
}

#[derive(Default)]
struct Group {
    count: usize,
    resources: BTreeSet<String>,
    examples: Vec<String>,
}

/// Collects the outcome of each request.
pub struct Report {
    explained: Vec<Explained>,
    used: Vec<usize>,
    same: usize,
    different: usize,
    groups: BTreeMap<String, Group>,
}

impl Report {
    pub fn new(explained: Vec<Explained>) -> Self {
        let used = vec![0; explained.len()];
        Self { explained, used, same: 0, different: 0, groups: BTreeMap::new() }
    }

    /// Takes in one request: the scenario's name, a line that shows the request, and its differences.
    pub fn add(&mut self, scenario: &str, request: &str, causes: &[String]) {
        let mut unexplained = false;
        for cause in causes {
            let subject = format!("{scenario} {request}: {cause}");
            if let Some(at) = self.explained.iter().position(|entry| entry.pattern.is_match(&subject)) {
                self.used[at] += 1;
                continue;
            }
            unexplained = true;
            let group = self.groups.entry(cause.clone()).or_default();
            group.count += 1;
            group.resources.insert(scenario.to_owned());
            if group.examples.len() < EXAMPLES {
                group.examples.push(format!("{scenario}: {request}"));
            }
        }
        if unexplained {
            self.different += 1;
        } else {
            self.same += 1;
        }
    }

    /// The whole report; its last line says how it went.
    pub fn text(&self) -> String {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(b.0)));
        let mut text = String::new();
        for (cause, group) in &groups {
            let resources: Vec<&str> = group.resources.iter().map(String::as_str).take(6).collect();
            let more = group.resources.len().saturating_sub(resources.len());
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            write_line(&mut text, &format!("{:5}  {cause}", group.count));
            write_line(&mut text, &format!("       in {}{more}", resources.join(", ")));
            for example in &group.examples {
                write_line(&mut text, &format!("       {example}"));
            }
        }
        for (entry, used) in self.explained.iter().zip(&self.used) {
            write_line(&mut text, &format!("explained {used} times: {} ({})", entry.pattern, entry.reason));
        }
        write_line(&mut text, &self.summary());
        text
    }

    /// The causes alone, most frequent first.
    pub fn ranking(&self, most: usize) -> String {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(b.0)));
        let lines = groups.iter().take(most).map(|(cause, group)| format!("{:5}  {cause}", group.count));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }

    /// Two lines: the counts, and whether that is good enough.
    pub fn summary(&self) -> String {
        let total = self.same + self.different;
        let counts = format!("same {}, different {}", self.same, self.different);
        if self.different == 0 {
            return format!("{counts}\nPASS {total} requests answered alike");
        }
        format!(
            "{counts}\nMISS {} of {total} requests answered differently, {} causes",
            self.different,
            self.groups.len()
        )
    }

    pub fn passes(&self) -> bool {
        self.different == 0
    }
}

fn write_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a text does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_ranked_and_explained_ones_are_no_difference() {
        let list = vec![Explained { pattern: Regex::new("field a:").unwrap(), reason: "so".to_owned() }];
        let mut report = Report::new(list);
        let cause = |text: &str| vec![text.to_owned()];
        report.add("pods/life", "GET /a", &cause("field a: 1 -> 2"));
        report.add("pods/life", "GET /b", &[]);
        assert!(report.passes() && report.summary().starts_with("same 2, different 0\nPASS"));
        report.add("pods/life", "GET /c", &cause("field b: 1 -> 2"));
        report.add("pods/life", "GET /d", &cause("field c: 1 -> 2"));
        report.add("jobs/life", "GET /e", &cause("field c: 1 -> 2"));
        assert_eq!(report.ranking(1), "    2  field c: 1 -> 2\n");
        assert!(report.text().ends_with("same 2, different 3\nMISS 3 of 5 requests answered differently, 2 causes\n"));
    }
}
