//! Time and randomness as parameters, so that everything above is deterministic in tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time. Timers use tokio's clock, which tests pause; this is for timestamps that are written down.
pub trait Clock: Send + Sync {
    fn now(&self) -> jiff::Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        jiff::Timestamp::from_nanosecond(since.as_nanos() as i128).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

/// A clock that stands still until told otherwise.
#[derive(Debug)]
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// Starts at `seconds` since 1970.
    pub fn new(seconds: u64) -> Self {
        Self(AtomicU64::new(seconds * 1_000))
    }

    pub fn advance(&self, by: std::time::Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.load(Ordering::SeqCst) as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

/// Source of random bits for names, uids, jitter and shuffles; not for keys, which come from the crypto provider.
pub trait Rng: Send + Sync {
    fn next_u64(&self) -> u64;

    /// A number below `bound` (0 when `bound` is 0). The bias is below 2^-32 for the small bounds it serves.
    fn below(&self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next_u64() % bound as u64) as usize }
    }

    /// Five characters of upstream's alphabet without vowels: the suffix of `generateName`
    /// (k8s.io/apimachinery `pkg/util/rand`).
    fn name_suffix(&self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(ALPHABET[self.below(ALPHABET.len())])).collect()
    }

    /// A version 4 UUID.
    fn uuid(&self) -> String {
        let (a, b) = (self.next_u64(), self.next_u64());
        let b = (b & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
    }
}

/// SplitMix64: the same sequence for the same seed.
#[derive(Debug)]
pub struct SeededRng(AtomicU64);

impl SeededRng {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeded from the standard library's per-process random keys and the clock.
    pub fn from_entropy() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_i128(SystemClock.now().as_nanosecond());
        Self::new(hasher.finish())
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_carry_version_and_variant() {
        let uuid = SeededRng::new(7).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = FixedClock::new(10);
        assert_eq!(clock.now().as_second(), 10);
        clock.advance(std::time::Duration::from_secs(5));
        assert_eq!(clock.now().as_second(), 15);
    }
}
