//! Answers of webhooks, remembered for a while: by the digest of what was asked, so that no token is kept.

use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// When it is full it forgets everything: the next questions are asked again.
const MOST: usize = 4096;

pub type Question = [u8; 32];

/// See the module.
pub struct Remembered<T>(Mutex<HashMap<Question, (Instant, T)>>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Remembered<T> {
    pub fn question(text: &[u8]) -> Question {
        Sha256::digest(text).into()
    }

    pub fn get(&self, question: &Question) -> Option<T> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(question).filter(|(until, _)| Instant::now() < *until).map(|(_, answer)| answer.clone())
    }

    /// Nothing is kept for no time.
    pub fn keep(&self, question: Question, answer: T, time: Duration) {
        if time.is_zero() {
            return;
        }
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            let now = Instant::now();
            answers.retain(|_, (until, _)| now < *until);
            if answers.len() >= MOST {
                answers.clear();
            }
        }
        answers.insert(question, (Instant::now() + time, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_have_an_end() {
        let remembered = Remembered::default();
        let question = Remembered::<u8>::question(b"q");
        remembered.keep(question, 1, Duration::from_secs(10));
        remembered.keep(Remembered::<u8>::question(b"other"), 1, Duration::ZERO);
        assert_eq!((remembered.get(&question), remembered.get(&Remembered::<u8>::question(b"other"))), (Some(1), None));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(remembered.get(&question), None);
        for n in 0..(MOST as u32 + 10) {
            remembered.keep(Remembered::<u8>::question(&n.to_be_bytes()), 1, Duration::from_secs(10));
        }
        assert!(remembered.0.lock().unwrap().len() <= MOST);
    }
}
