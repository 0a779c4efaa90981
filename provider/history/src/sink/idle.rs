//! Connections that wait for their next use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many connections of one history are in use at once; who comes later waits.
const AT_ONCE: usize = 4;

/// Connections that wait for their next use. A broken one is not given back, so the next user makes a new one.
#[derive(Debug)]
pub(super) struct Idle<C> {
    waiting: Mutex<Vec<C>>,
    turns: Semaphore,
}

impl<C> Idle<C> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Waits for one's turn to use a connection; `None` never comes, for nobody closes the queue.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    pub(super) fn take(&self) -> Option<C> {
        self.lock().pop()
    }

    pub(super) fn give_back(&self, connection: C) {
        self.lock().push(connection);
    }

    pub(super) fn into_all(self) -> Vec<C> {
        self.waiting.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<C>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
