//! What people see: results on stdout, progress and errors on stderr.

use std::io::Write as _;

/// A line of a result. A reader that went away (`| head`) is no failure.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line of progress.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

pub fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
}

/// A command of this program as people would type it, by the name that it was called by.
pub fn command(rest: &str) -> String {
    format!("{} {rest}", crate::args::called_as(std::env::args_os().next().as_ref()))
}

/// Rows under a header, padded to columns as kubectl pads them.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
        cells.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let render = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    let mut lines = vec![render(header.to_vec())];
    lines.extend(rows.iter().map(|row| render(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_align() {
        let rows = vec![vec!["a".into(), "True".into()], vec!["longer".into(), "False".into()]];
        assert_eq!(super::table(&["NAME", "READY"], &rows), "NAME     READY\na        True\nlonger   False");
    }
}
