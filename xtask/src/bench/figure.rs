//! What a bench found: figures of ours beside upstream's, some with a bar, and the verdict over them. Pure.
//!
//! A ratio says how many times better ours is: less of everything, but more per second.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    /// 2^20 bytes: memory.
    MiB,
    /// 10^6 bytes: files.
    MB,
    Millicores,
    /// Requests, or other work done: the only unit of which more is better.
    PerSecond,
}

/// What ours is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// Ours must stay under it.
    Below(f64),
    /// Ours must be so many times better than upstream's.
    Times(f64),
}

impl Unit {
    /// A value as people read it; seconds below one in enough digits to compare them.
    fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds if value < 1.0 => format!("{value:.3} s"),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::MiB => format!("{value:.1} MiB"),
            Unit::MB => format!("{value:.1} MB"),
            Unit::Millicores => format!("{value:.1} m"),
            Unit::PerSecond => format!("{value:.0}/s"),
        }
    }
}

/// One thing measured on both sides.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub unit: Unit,
    pub ours: f64,
    pub theirs: f64,
    pub bar: Option<Bar>,
}

impl Figure {
    fn holds(&self) -> bool {
        match self.bar {
            None => true,
            Some(Bar::Below(bar)) => self.ours < bar,
            Some(Bar::Times(bar)) => self.times().is_some_and(|times| times >= bar),
        }
    }

    /// How many times better ours is; `None` where one side has nothing.
    fn times(&self) -> Option<f64> {
        let (more, less) = match self.unit {
            Unit::PerSecond => (self.ours, self.theirs),
            _ => (self.theirs, self.ours),
        };
        (less > 0.0).then(|| more / less)
    }

    fn ratio(&self) -> String {
        self.times().map_or_else(|| "-".to_owned(), |times| format!("{times:.1}x"))
    }

    fn bar(&self) -> Option<String> {
        Some(match self.bar? {
            Bar::Below(bar) => format!("< {}", self.unit.show(bar)),
            Bar::Times(bar) => format!(">= {bar:.1}x"),
        })
    }

    /// The figure against its bar, for the verdict.
    fn judged(&self) -> Option<String> {
        let held = match self.bar? {
            Bar::Below(_) => self.unit.show(self.ours),
            Bar::Times(_) => self.ratio(),
        };
        let not = if self.holds() { "" } else { "NOT " };
        Some(format!("{} {held} {not}{}", self.name, self.bar()?))
    }
}

/// Everything a bench has to say; its text ends with the verdict.
pub struct Report {
    pub bench: &'static str,
    pub figures: Vec<Figure>,
    /// Lines below the table: what the sums are made of, how it was measured, what is known from elsewhere.
    pub notes: Vec<String>,
}

impl Report {
    pub fn passes(&self) -> bool {
        self.figures.iter().all(Figure::holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let head = ["", "ours", "upstream", "better", "bar"].map(str::to_owned);
        let rows = self.figures.iter().map(|figure| {
            let bar = figure.bar().unwrap_or_default();
            let show = |value| figure.unit.show(value);
            [figure.name.to_owned(), show(figure.ours), show(figure.theirs), figure.ratio(), bar]
        });
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        f.write_str(&table(&rows))?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        let word = if self.passes() { "PASS" } else { "MISS" };
        let judged: Vec<String> = self.figures.iter().filter_map(Figure::judged).collect();
        writeln!(f, "{word} {}: {}", self.bench, judged.join(", "))
    }
}

/// Columns as wide as their widest cell: the first to the left, the others to the right. Each line ends with a newline.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(i, (cell, w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// The middle one (the mean of the middle two), which one slow try does not move; zero for none.
pub fn median(times: impl IntoIterator<Item = Duration>) -> f64 {
    let mut seconds: Vec<f64> = times.into_iter().map(|time| time.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    match seconds.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(seconds[middle - 1], seconds[middle]),
        _ => seconds[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &'static str, unit: Unit, ours: f64, bar: Option<Bar>) -> Figure {
        Figure { name, unit, ours, theirs: 10.0, bar }
    }

    #[test]
    fn the_verdict_names_every_bar_with_its_figure() {
        let under = figure("Ready", Unit::Seconds, 3.9, Some(Bar::Below(4.0)));
        let free = figure("PSS", Unit::MiB, 900.0, None);
        for (third, passes, verdict) in [
            (
                figure("CPU", Unit::Millicores, 9.94, Some(Bar::Below(10.0))),
                true,
                "PASS tenant: Ready 3.90 s < 4.00 s, CPU 9.9 m < 10.0 m",
            ),
            (
                figure("CPU", Unit::Millicores, 10.0, Some(Bar::Below(10.0))),
                false,
                "MISS tenant: Ready 3.90 s < 4.00 s, CPU 10.0 m NOT < 10.0 m",
            ),
        ] {
            let report = Report { bench: "tenant", figures: vec![under.clone(), free.clone(), third], notes: vec![] };
            assert_eq!(report.passes(), passes);
            assert_eq!(report.to_string().lines().last(), Some(verdict));
        }
    }

    #[test]
    fn a_bar_may_be_a_ratio() {
        let rate = Figure { name: "get", unit: Unit::PerSecond, ours: 39.0, theirs: 10.0, bar: Some(Bar::Times(4.0)) };
        assert_eq!(rate.judged().unwrap(), "get 3.9x NOT >= 4.0x");
        let faster = Figure { ours: 40.0, ..rate };
        assert_eq!(faster.judged().unwrap(), "get 4.0x >= 4.0x");
        let time = figure("list", Unit::Seconds, 2.5, Some(Bar::Times(4.0)));
        assert_eq!(time.judged().unwrap(), "list 4.0x >= 4.0x");
        let nothing = figure("list", Unit::Seconds, 0.0, Some(Bar::Times(4.0)));
        assert!(!nothing.holds());
    }

    #[test]
    fn a_report_is_a_table_then_its_notes_then_the_verdict() {
        let figures =
            vec![figure("Ready", Unit::Seconds, 0.25, Some(Bar::Below(4.0))), figure("PSS", Unit::MiB, 0.0, None)];
        let text = Report { bench: "x", figures, notes: vec!["a note".to_owned()] }.to_string();
        let expected = "\
       ours     upstream   better       bar
Ready  0.250 s   10.00 s  40.0x  < 4.00 s
PSS    0.0 MiB  10.0 MiB      -
a note
PASS x: Ready 0.250 s < 4.00 s
";
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&text), squeeze(expected), "{text}");
        assert!(text.contains("Ready  0.250 s   10.00 s   40.0x  < 4.00 s\n"), "{text}");
    }

    #[test]
    fn one_slow_try_does_not_move_the_median() {
        let seconds = |times: &[u64]| median(times.iter().copied().map(Duration::from_secs));
        for (times, expected) in [(&[][..], 0.0), (&[3], 3.0), (&[9, 1, 2], 2.0), (&[4, 1, 60, 2], 3.0)] {
            assert!((seconds(times) - expected).abs() < f64::EPSILON, "{times:?}");
        }
    }
}
