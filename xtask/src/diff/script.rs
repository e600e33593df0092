//! Hand-written scenarios: `tests/diff/requests/*.txt`, one scenario a file.
//!
//! Blocks are separated by empty lines. A block is a request line, header lines, and a body of any number of lines:
//!
//! ```text
//! # A comment, shown in the report as what the next request is about.
//! keep PUT /api/v1/namespaces/diff/configmaps/a?dryRun=All
//! content-type: application/json
//! {"metadata": {"name": "a", "resourceVersion": "{{rv}}"}}
//! ```
//!
//! `keep` makes the answer the live object, which `{{rv}}` and `{{uid}}` speak of; `{{continue}}` is the last list's token.
//! A body without a Content-Type is JSON. `*N` before a request line repeats the block N times with `{{n}}` counting from 0.

use super::exchange::{Body, JSON, Request};
use super::generate::Scenario;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Reads every scenario of a folder in the order of the file names.
pub fn load(folder: &Path) -> Result<Vec<Scenario>> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut scenarios = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let requests = parse(&fs::read_to_string(&file)?).with_context(|| file.display().to_string())?;
        scenarios.push(Scenario { name: format!("written/{name}"), requests });
    }
    Ok(scenarios)
}

fn parse(text: &str) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    for block in text.split("\n\n") {
        requests.extend(block_of(block)?);
    }
    Ok(requests)
}

fn block_of(block: &str) -> Result<Vec<Request>> {
    let (mut about, mut lines) = (String::new(), block.lines().peekable());
    while let Some(comment) = lines.next_if(|line| line.starts_with('#') || line.is_empty()) {
        comment.trim_start_matches('#').trim().clone_into(&mut about);
    }
    let Some(line) = lines.next() else { return Ok(Vec::new()) };
    let mut words = line.split_whitespace().peekable();
    let repeat = match words.next_if(|word| word.starts_with('*')) {
        Some(count) => Some(count[1..].parse::<usize>().with_context(|| line.to_owned())?),
        None => None,
    };
    let keep = words.next_if_eq(&"keep").is_some();
    let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
        bail!("{line:?} is not `[*N] [keep] METHOD PATH`");
    };
    let mut request = Request { keep, ..Request::new(method, path).about(about) };
    let is_header = |line: &&str| {
        line.split_once(": ").is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
    };
    while let Some((name, value)) = lines.next_if(is_header).and_then(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let body: Vec<&str> = lines.collect();
    if !body.is_empty() {
        if !request.headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", JSON);
        }
        request.body = Body::Text(body.join("\n"));
    }
    let Some(count) = repeat else { return Ok(vec![request]) };
    let numbered = |n: usize| {
        let fill = |text: &str| text.replace("{{n}}", &n.to_string());
        let mut request = request.clone();
        request.path = fill(&request.path);
        if let Body::Text(text) = &mut request.body {
            *text = fill(text);
        }
        request
    };
    Ok((0..count).map(numbered).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_requests() {
        let text = "# About it.\nkeep PUT /a?b=c\naccept: x/y\n{\"a\":\n1}\n\n*2 GET /{{n}}\n";
        let requests = parse(text).unwrap();
        assert_eq!(requests.len(), 3);
        let first = &requests[0];
        assert_eq!((first.about.as_str(), first.method.as_str(), first.path.as_str()), ("About it.", "PUT", "/a?b=c"));
        assert!(first.keep);
        assert_eq!(first.headers, [("accept".into(), "x/y".into()), ("content-type".into(), JSON.to_owned())]);
        assert!(matches!(&first.body, Body::Text(text) if text == "{\"a\":\n1}"));
        assert_eq!(requests[2].path, "/1");
        assert!(parse("GET").is_err());
    }
}
