//! What processes cost while nothing is asked of them.

use crate::bench::figure;
use crate::bench::process::{Memory, Ticks};
use anyhow::{Context, Result};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One process.
pub struct Usage {
    pub name: &'static str,
    pub memory: Memory,
    pub millicores: f64,
}

impl Usage {
    /// Resident memory in MiB.
    pub fn resident(&self) -> f64 {
        mebibytes(self.memory.resident)
    }

    /// Memory in MiB of which shared pages count by the share.
    pub fn proportional(&self) -> f64 {
        mebibytes(self.memory.proportional)
    }
}

/// Waits for `period` and tells what each process used in it, and holds at its end.
pub fn measure(processes: &[(&'static str, u32)], ticks: Ticks, period: Duration) -> Result<Vec<Usage>> {
    let used = |name: &str, pid| ticks.processor_time(pid).with_context(|| name.to_owned());
    let begun = Instant::now();
    let before = processes.iter().map(|(name, pid)| used(name, *pid)).collect::<Result<Vec<_>>>()?;
    sleep(period);
    let seconds = begun.elapsed().as_secs_f64();
    let mut usages = Vec::new();
    for ((name, pid), before) in processes.iter().zip(before) {
        let time = used(name, *pid)?.saturating_sub(before);
        usages.push(Usage { name, memory: Memory::of(*pid)?, millicores: time.as_secs_f64() / seconds * 1000.0 });
    }
    Ok(usages)
}

/// One line a process.
pub fn table<'a>(usages: impl Iterator<Item = &'a Usage>) -> String {
    let head = ["idle", "RSS MiB", "PSS MiB", "anonymous MiB", "CPU m"].map(str::to_owned);
    let rows = usages.map(|usage| {
        let memory = [usage.memory.resident, usage.memory.proportional, usage.memory.anonymous];
        let [resident, proportional, anonymous] = memory.map(|size| format!("{:.1}", mebibytes(size)));
        [usage.name.to_owned(), resident, proportional, anonymous, format!("{:.1}", usage.millicores)]
    });
    figure::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
