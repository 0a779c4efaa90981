//! The recorder: writes in the background what its owner sees, and loses nothing while the sink is down.
//!
//! ```text
//!             record            seal            write                remove
//! the owner ─────────> spool ─────────> batch ─────────> the sink ───────────> gone
//!                                         ^                  │ it is down
//!                                         └──── back-off <───┘
//! ```
//!
//! Everything passes through the spool, so what was recorded outlives the process from the moment `record` returns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::History;
use crate::error::Error;
use crate::row::Entry;
use crate::sink::blocking;
use crate::spool::{Segment, Spool};
use crate::storable::storable;

/// The pauses after deliveries that failed: the first one, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(120);

/// How many entries are held in memory when the spool cannot take them either. The oldest go first.
const HELD: usize = 10_000;

/// Writes entries to a history in the background.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    closing: CancellationToken,
    stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    history: History,
    spool: Spool,
    /// What the spool could not take.
    held: Mutex<VecDeque<Entry>>,
    news: Notify,
    waiting: watch::Sender<u64>,
}

impl Recorder {
    /// Starts to deliver what waits in the spool and what will be recorded.
    ///
    /// # Errors
    /// The spool cannot be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(history: History, spool: Spool) -> Result<Self, Error> {
        let (waiting, _) = watch::channel(spool.count()?);
        let shared = Arc::new(Shared {
            history,
            spool,
            held: Mutex::default(),
            news: Notify::new(),
            waiting,
        });
        let (tasks, closing, stop) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let delivering = deliver(Arc::clone(&shared), closing.clone());
        let until = stop.clone();
        tasks.spawn(async move { until.run_until_cancelled(delivering).await });
        tasks.close();
        Ok(Self {
            shared,
            tasks,
            closing,
            stop: stop.drop_guard(),
        })
    }

    /// Records an entry. It never fails and waits for no sink: the entry goes to a local file, or, if the disk is full too,
    /// is held in memory.
    pub fn record(&self, entry: Entry) {
        self.shared.keep(Some(storable(&entry)));
        self.shared.news.notify_one();
    }

    /// How many entries are not delivered yet, and how that changes.
    #[must_use]
    pub fn waiting(&self) -> watch::Receiver<u64> {
        self.shared.waiting.subscribe()
    }

    /// Tries once more to deliver all, and ends. What is left waits in the spool for the next start; says how much.
    pub async fn close(self, limit: Duration) -> u64 {
        self.closing.cancel();
        let in_time = timeout(limit, self.tasks.wait()).await;
        drop(self.stop);
        if in_time.is_err() {
            self.tasks.wait().await;
        }
        let shared = self.shared;
        let kept = blocking({
            let shared = Arc::clone(&shared);
            move || {
                shared.keep(None);
                shared.spool.sync()
            }
        });
        if let Err(error) = kept.await {
            tracing::warn!(error = error.full(), "entries of the history may be lost");
        }
        let left = *shared.waiting.borrow();
        if let Some(Err(error)) = closed(shared).await {
            tracing::debug!(error = error.full(), "closing the history failed");
        }
        left
    }
}

/// Closes the history, where nobody else has it any more.
async fn closed(shared: Arc<Shared>) -> Option<Result<(), Error>> {
    let shared = Arc::into_inner(shared)?;
    Some(shared.history.close().await)
}

impl Shared {
    /// Brings an entry, and those that are still held, to the spool; holds what it does not take.
    fn keep(&self, entry: Option<Entry>) {
        let mut held = self.held();
        if entry.is_some() {
            self.waiting.send_modify(|waiting| *waiting += 1);
        }
        held.extend(entry);
        while let Some(next) = held.pop_front() {
            if let Err(error) = self.spool.push(std::slice::from_ref(&next)) {
                tracing::warn!(error = error.full(), "an entry of the history is held in memory only");
                held.push_front(next);
                break;
            }
        }
        while held.len() > HELD {
            let lost = held.pop_front();
            self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
            tracing::error!(entry = ?lost, "an entry of the history is lost: neither the sink nor the spool takes it");
        }
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivered(&self, entries: u64) {
        self.waiting
            .send_modify(|waiting| *waiting = waiting.saturating_sub(entries));
    }
}

/// What there is to deliver.
enum Next {
    Nothing,
    Spooled(Segment),
    /// The spool is empty, or broken, and these are in memory.
    Held(Vec<Entry>),
}

/// Delivers until it is told to close and nothing is left, or the sink is down.
async fn deliver(shared: Arc<Shared>, closing: CancellationToken) {
    let mut pause = PAUSES.0;
    let mut is_down = false;
    loop {
        let is_last = closing.is_cancelled();
        match deliver_next(&shared).await {
            Ok(true) => {
                if is_down {
                    tracing::info!(sink = %shared.history.url(), "the history takes entries again");
                }
                (pause, is_down) = (PAUSES.0, false);
            }
            Ok(false) if is_last => break,
            Ok(false) => {
                tokio::select! {
                    () = shared.news.notified() => {}
                    () = closing.cancelled() => {}
                }
            }
            Err(error) => {
                if is_down {
                    tracing::debug!(error = error.full(), "the history is still down");
                } else {
                    tracing::warn!(error = error.full(), "the history is down; entries wait in the spool");
                }
                is_down = true;
                if is_last {
                    break;
                }
                wait(&shared, pause, &closing).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Waits before the next try. What is recorded meanwhile is made to outlive a power cut.
async fn wait(shared: &Arc<Shared>, pause: Duration, closing: &CancellationToken) {
    let end = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(end) => return,
            () = closing.cancelled() => return,
            () = shared.news.notified() => {}
        }
        let synced = blocking({
            let shared = Arc::clone(shared);
            move || shared.spool.sync()
        });
        if let Err(error) = synced.await {
            tracing::warn!(error = error.full(), "the spool cannot be written");
        }
    }
}

/// Delivers one batch; says whether there was any.
async fn deliver_next(shared: &Arc<Shared>) -> Result<bool, Error> {
    let next = blocking({
        let shared = Arc::clone(shared);
        move || next(&shared)
    });
    match next.await? {
        Next::Nothing => Ok(false),
        Next::Spooled(segment) => {
            write(shared, segment.entries()).await?;
            let shared = Arc::clone(shared);
            blocking(move || {
                shared.spool.remove(&segment)?;
                shared.delivered(segment.counted());
                Ok(true)
            })
            .await
        }
        Next::Held(entries) => {
            write(shared, &entries).await?;
            // Others may have come behind, and the oldest may have gone: only what was written is let go. (Entries are
            // storable, so each is like itself.)
            let mut held = shared.held();
            let before = held.len();
            held.retain(|entry| !entries.contains(entry));
            let gone = before.saturating_sub(held.len());
            shared.delivered(u64::try_from(gone).unwrap_or(u64::MAX));
            Ok(true)
        }
    }
}

async fn write(shared: &Shared, entries: &[Entry]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    shared.history.write_within(entries, DELIVERY).await
}

fn next(shared: &Shared) -> Result<Next, Error> {
    shared.keep(None);
    let spooled = shared.spool.oldest();
    let held: Vec<Entry> = shared.held().iter().take(500).cloned().collect();
    match spooled {
        Ok(Some(segment)) => Ok(Next::Spooled(segment)),
        Ok(None) if held.is_empty() => Ok(Next::Nothing),
        Err(error) if held.is_empty() => Err(error),
        Ok(None) | Err(_) => Ok(Next::Held(held)),
    }
}
