//! Measures how many creates per second a store takes from some tasks at once, how long each waits, and what the
//! objects cost in memory: `cargo run --profile quick -p storage --example writes -- [tasks] [writes] [bytes]`.

use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Bounds, Cache, Check, Key, Memory, Range, Sqlite, Storage, Unsealed, Write};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Processor time of the process so far, in clock ticks of 10 ms.
fn processor() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Anonymous resident memory in KiB.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

async fn write(store: Arc<dyn Storage>, task: usize, writes: usize, bytes: usize) -> Result<Vec<Duration>, Failure> {
    let mut waits = Vec::with_capacity(writes);
    for number in 0..writes {
        let key = Key::new("pods", format!("ns{}", task % 8), format!("pod-{task}-{number}"));
        let body = Unsealed { bytes: vec![b'x'; bytes], revision_at: 40 };
        let start = Instant::now();
        store.transact(vec![Check::Absent(key.clone())], vec![Write::Put(key, body)]).await?;
        waits.push(start.elapsed());
    }
    Ok(waits)
}

async fn measure(
    name: &str,
    store: Arc<dyn Storage>,
    tasks: usize,
    writes: usize,
    bytes: usize,
) -> Result<(), Failure> {
    let (before, spent) = (anonymous(), processor());
    let start = Instant::now();
    let running: Vec<_> =
        (0..tasks).map(|task| tokio::spawn(write(store.clone(), task, writes / tasks, bytes))).collect();
    let mut waits = Vec::new();
    for task in running {
        waits.extend(task.await??);
    }
    let (took, spent) = (start.elapsed(), processor() - spent);
    waits.sort_unstable();
    let rate = waits.len() as f64 / took.as_secs_f64();
    let percentile = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_micros();
    let grown = anonymous().saturating_sub(before);
    let start = Instant::now();
    let listed = store.list(&Range::all("pods")).await?.items.len();
    println!(
        "{name:18} {tasks:4} tasks {rate:8.0}/s  p50 {:6} us  p99 {:6} us  cpu {:4} us  grown {grown:7} KiB ({:5} B/object)  list of {listed}: {:?}",
        percentile(50),
        percentile(99),
        spent * 10_000 / waits.len() as u64,
        grown * 1024 / waits.len() as u64,
        start.elapsed(),
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let tasks = arguments.next().transpose()?.unwrap_or(64);
    let writes = arguments.next().transpose()?.unwrap_or(50_000);
    let bytes = arguments.next().transpose()?.unwrap_or(2_000);
    let directory = std::env::temp_dir().join(format!("storage-writes-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let bounds = Bounds::default();
    measure("sqlite", Arc::new(Sqlite::open(directory.join("a.db"))?), tasks, writes, bytes).await?;
    let cache = Cache::start(Arc::new(Sqlite::open(directory.join("b.db"))?), bounds).await?;
    measure("cache over sqlite", Arc::new(cache), tasks, writes, bytes).await?;
    let cache = Cache::start(Arc::new(Memory::new()), bounds).await?;
    measure("cache over memory", Arc::new(cache), tasks, writes, bytes).await?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
