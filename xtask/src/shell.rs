//! Running other programs, with errors that name the command and carry what it said.
//!
//! No shell is involved: arguments are passed as they are, so paths may hold anything.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// A command with its arguments and no standard input.
pub fn cmd<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command whose output the user should see.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command silently and returns what it wrote; a failure carries its last lines.
pub fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{} failed ({})\n{}", line(command), output.status, tail(&String::from_utf8_lossy(&said), 20));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command silently for its effect.
pub fn quiet(command: &mut Command) -> Result<()> {
    read(command).map(drop)
}

/// Whether a command runs and succeeds; what it says is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    output(command).is_ok_and(|output| output.status.success())
}

/// Whether a program is in PATH or in the administrator's folders.
pub fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// The full path of a program in PATH or in the administrator's folders.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrator = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(administrator).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The last lines of a text, indented, for error messages.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot run {}", line(command)))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = read(&mut cmd("sh", ["-c", "echo first; echo second >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("sh -c"), "{error}");
        assert!(error.contains("exit status: 3") && error.contains("    first\n    second"), "{error}");
    }

    #[test]
    fn tail_keeps_the_last_lines_that_say_something() {
        assert_eq!(tail("a\nb\n\nc\n \n", 2), "    b\n    c");
        assert_eq!(tail("", 3), "");
    }
}
