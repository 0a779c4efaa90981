//! Queues of depth one, first come first served, one per storage repository.
//!
//! Operations of one storage repository exclude each other in xapi, and the losers sleep up to 20 s inside the call. Whoever clones,
//! creates or destroys a disk therefore waits here instead, where the order is fair and the wait ends at once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Queues by key; a key exists while somebody holds or awaits its place.
#[derive(Debug)]
pub struct Fifo<K> {
    places: Mutex<BTreeMap<K, Arc<Semaphore>>>,
}

/// The right to act; the next in the queue comes when this is dropped.
#[derive(Debug)]
#[must_use = "dropping the guard lets the next one act"]
pub struct FifoGuard {
    permits: Vec<OwnedSemaphorePermit>,
    waited: Duration,
}

impl FifoGuard {
    /// Tells how long this waited for its turn.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Tells how many queues this holds.
    pub fn held(&self) -> usize {
        self.permits.len()
    }
}

impl<K: Ord + Clone + Hash> Default for Fifo<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Clone + Hash> Fifo<K> {
    /// Makes a set of empty queues.
    pub fn new() -> Self {
        Self {
            places: Mutex::new(BTreeMap::new()),
        }
    }

    /// Waits for the turn at `key`. Gives `None` when `cancel` comes first; dropping the future leaves the queue as well.
    pub async fn acquire(&self, key: &K, cancel: &CancellationToken) -> Option<FifoGuard> {
        self.acquire_all(&BTreeSet::from([key.clone()]), cancel).await
    }

    /// Waits for the turn at every key of `keys`, always in the same order, so that two callers never block each other for ever.
    pub async fn acquire_all(&self, keys: &BTreeSet<K>, cancel: &CancellationToken) -> Option<FifoGuard> {
        let began = Instant::now();
        let mut permits = Vec::with_capacity(keys.len());
        for key in keys {
            let place = self.place(key);
            let permit = tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                permit = place.acquire_owned() => permit.ok()?,
            };
            permits.push(permit);
        }
        Some(FifoGuard {
            permits,
            waited: began.elapsed(),
        })
    }

    fn place(&self, key: &K) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // A queue that only this map knows is empty: nobody holds a permit and nobody waits for one.
        places.retain(|_, place| Arc::strong_count(place) > 1);
        Arc::clone(places.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::Fifo;

    #[tokio::test(start_paused = true)]
    async fn serves_in_order_of_arrival() {
        let fifo = Arc::new(Fifo::new());
        let cancel = CancellationToken::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = fifo.acquire(&"sr", &cancel).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..5 {
            let (queue, cancel, order) = (Arc::clone(&fifo), cancel.clone(), Arc::clone(&order));
            tasks.spawn(async move {
                let guard = queue.acquire(&"sr", &cancel).await.unwrap();
                order.lock().unwrap().push(number);
                tokio::time::sleep(Duration::from_secs(1)).await;
                guard.waited()
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        let waited: Vec<Duration> = tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(waited.iter().max(), Some(&Duration::from_secs(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_does_not_keep_its_place() {
        let fifo = Fifo::new();
        let cancel = CancellationToken::new();
        let held = fifo.acquire(&1, &cancel).await.unwrap();
        let stop = CancellationToken::new();
        let waiting = fifo.acquire(&1, &stop);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        stop.cancel();
        assert!(waiting.await.is_none());
        {
            let dropped = fifo.acquire(&1, &cancel);
            tokio::pin!(dropped);
            assert!(futures::poll!(dropped.as_mut()).is_pending());
        }
        drop(held);
        assert_eq!(fifo.acquire(&1, &cancel).await.unwrap().held(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_do_not_hinder_each_other_and_idle_ones_are_forgotten() {
        let fifo = Fifo::new();
        let cancel = CancellationToken::new();
        let one = fifo.acquire(&1, &cancel).await.unwrap();
        let rest = fifo.acquire_all(&BTreeSet::from([2, 3]), &cancel).await.unwrap();
        assert_eq!(rest.held(), 2);
        drop((one, rest));
        drop(fifo.acquire(&9, &cancel).await);
        assert_eq!(fifo.places.lock().unwrap().len(), 1);
    }
}
