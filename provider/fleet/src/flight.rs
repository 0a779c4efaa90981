//! One read for many: those who need the same answer at the same time share one flight, and its answer for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::error::Error;

type Answer<T> = Shared<BoxFuture<'static, Result<T, Error>>>;

/// A read that is shared by all who ask for it. Its future is driven by whoever waits, so that nobody's leaving stops it.
pub(crate) struct Flight<T> {
    slot: Mutex<Option<(Instant, Answer<T>)>>,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { slot: Mutex::new(None) }
    }
}

impl<T: Clone> Flight<T> {
    /// Gives the answer of a flight that began at most `max_age` ago, or makes a new one. A failed one is not given again.
    pub(crate) async fn get<F>(&self, max_age: Duration, make: impl FnOnce() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let answer = {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = slot
                .as_ref()
                .filter(|(begun, answer)| begun.elapsed() <= max_age && !matches!(answer.peek(), Some(Err(_))));
            match kept {
                Some((_, answer)) => answer.clone(),
                None => {
                    let answer = make().boxed().shared();
                    *slot = Some((Instant::now(), answer.clone()));
                    answer
                }
            }
        };
        answer.await
    }
}

/// Flights by key.
pub(crate) struct Flights<K, T> {
    slots: Mutex<HashMap<K, Arc<Flight<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self {
            slots: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    /// The flight of a key.
    pub(crate) fn of(&self, key: K) -> Arc<Flight<T>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_once_share_one_read() {
        let flight = Flight::default();
        let reads = Arc::new(AtomicU32::new(0));
        let ask = || {
            let reads = Arc::clone(&reads);
            flight.get(Duration::from_secs(5), move || async move {
                tokio::task::yield_now().await;
                Ok(reads.fetch_add(1, Ordering::Relaxed))
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (0, 0, 0));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_and_a_failed_one_are_not_given_again() {
        let flight = Flight::default();
        let ask = |answer: Result<u32, Error>| flight.get(Duration::from_secs(5), move || async move { answer });
        assert!(ask(Err(Error::NoPools)).await.is_err());
        assert_eq!(ask(Ok(1)).await.unwrap(), 1);
        assert_eq!(ask(Ok(2)).await.unwrap(), 1);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(ask(Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn who_leaves_does_not_stop_the_others() {
        let flight = Flight::default();
        let (send, receive) = tokio::sync::oneshot::channel::<u32>();
        let mut first = Box::pin(flight.get(Duration::from_secs(5), move || async move {
            receive.await.map_err(|_| Error::NoPools)
        }));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        send.send(7).unwrap();
        let second = flight.get(Duration::from_secs(5), || async { Err(Error::NoPools) });
        assert_eq!(second.await.unwrap(), 7);
    }
}
