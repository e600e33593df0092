//! A value that goes when nobody has used it for a while.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// See the module. What goes is replaced by the default.
pub struct Passing<T> {
    state: Arc<Mutex<State<T>>>,
    keep: Duration,
}

#[derive(Default)]
struct State<T> {
    value: T,
    /// When the value goes; none while nobody waits for that.
    until: Option<Instant>,
}

fn locked<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Default + Send + 'static> Passing<T> {
    /// The value goes `keep` after its last use.
    pub fn new(keep: Duration) -> Self {
        Self { state: Arc::default(), keep }
    }

    /// Uses the value, which then stays for another while.
    pub fn with<R>(&self, take: impl FnOnce(&mut T) -> R) -> R {
        let mut state = locked(&self.state);
        // Without a runtime nobody waits, and the value stays.
        let runtime = tokio::runtime::Handle::try_current().ok();
        let waiting = state.until.is_some();
        state.until = runtime.as_ref().map(|_| Instant::now() + self.keep);
        if let (false, Some(runtime)) = (waiting, runtime) {
            runtime.spawn(forget(Arc::downgrade(&self.state)));
        }
        take(&mut state.value)
    }

    /// Changes the value without prolonging its stay.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut locked(&self.state).value)
    }
}

impl<T> fmt::Debug for Passing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing").field("keep", &self.keep).finish_non_exhaustive()
    }
}

async fn forget<T: Default>(state: Weak<Mutex<State<T>>>) {
    loop {
        let Some(until) = state.upgrade().and_then(|state| locked(&state).until) else { return };
        tokio::time::sleep_until(until).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = locked(&state);
        if state.until.is_none_or(|until| until <= Instant::now()) {
            *state = State::default();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_goes_after_its_last_use() {
        let keep = Duration::from_secs(30);
        let passing = Passing::<u32>::new(keep);
        passing.with(|value| *value = 1);
        tokio::time::sleep(keep / 2).await;
        assert_eq!(passing.with(|value| *value), 1);
        tokio::time::sleep(keep * 3 / 4).await;
        assert_eq!(passing.change(|value| *value), 1, "each use prolongs it");
        tokio::time::sleep(keep).await;
        assert_eq!(passing.with(|value| std::mem::replace(value, 2)), 0);
        tokio::time::sleep(keep * 2).await;
        assert_eq!(passing.change(|value| *value), 0, "again and again");
    }
}
