//! Waiting for a cluster to get somewhere: the only place where these tests look at the clock.

use anyhow::{Result, bail};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Tries until it holds. The error tells what was awaited and how the last try ended.
pub fn eventually(what: &str, seconds: u64, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let last = holds();
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > end {
            match last {
                Err(error) => bail!("not within {seconds} s: {what}: {error:#}"),
                Ok(_) => bail!("not within {seconds} s: {what}"),
            }
        }
        sleep(Duration::from_millis(250));
    }
}
