//! The history, written while servers come, are renewed and go.
//!
//! A history that is down fails nothing and holds up nothing for long. The user hears of it once, with the first write that fails; each that
//! fails is in the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::diagnostics::Diagnostic;
use history::{Entry, History, SinkUrl};
use tokio_util::sync::CancellationToken;

/// How long a write may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same after one that failed: a run of many servers must not wait for each.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);
/// How long an interrupted run waits: enough for a sink that is well to take what there is to tell.
const LAST_WORD: Duration = Duration::from_millis(250);

/// Writes the history, or nothing if none is set.
#[derive(Default)]
pub(crate) struct Chronicle(Option<Inner>);

struct Inner {
    history: History,
    /// The last write failed.
    is_down: AtomicBool,
    /// The user has heard of it.
    is_said: AtomicBool,
}

impl Chronicle {
    /// Writes to this sink, which is opened by the first write.
    pub(crate) fn new(url: &SinkUrl) -> Self {
        Self(Some(Inner {
            history: History::new(url),
            is_down: AtomicBool::new(false),
            is_said: AtomicBool::new(false),
        }))
    }

    /// Writes entries, which are not asked for when no history is set. The warning says that they could not be written.
    pub(crate) async fn tell(
        &self,
        entries: impl Future<Output = Vec<Entry>>,
        cancel: &CancellationToken,
    ) -> Option<Diagnostic> {
        self.0.as_ref()?.tell(entries, cancel).await
    }

    /// Closes the sink.
    pub(crate) async fn close(self) {
        if let Some(inner) = self.0
            && let Err(error) = inner.history.close().await
        {
            tracing::warn!(error = error.full(), "the history could not be closed in order");
        }
    }
}

impl Inner {
    async fn tell(&self, entries: impl Future<Output = Vec<Entry>>, cancel: &CancellationToken) -> Option<Diagnostic> {
        let write = async {
            let entries = entries.await;
            let written = self.history.write_within(&entries, self.patience()).await;
            written.map_err(|error| error.full())
        };
        let written = tokio::select! {
            biased;
            written = write => written,
            () = last_word(cancel) => Err("the run was interrupted".to_owned()),
        };
        self.is_down.store(written.is_err(), Ordering::Relaxed);
        self.warning(&written.err()?)
    }

    fn patience(&self) -> Duration {
        if self.is_down.load(Ordering::Relaxed) {
            LITTLE_PATIENCE
        } else {
            PATIENCE
        }
    }

    /// Logs it, and words it for the user the first time.
    fn warning(&self, why: &str) -> Option<Diagnostic> {
        let sink = self.history.url();
        tracing::warn!(history = %sink, why, "the history is not written");
        let is_first = !self.is_said.swap(true, Ordering::Relaxed);
        is_first.then(|| {
            Diagnostic::warning(
                "History not written",
                format!(
                    "What became of this server could not be written to the `history` {sink}: {why}.\n\nThe server itself is as it should be, and \
                     nothing fails because of it. This is said once; what else is not written is in the log (`TF_LOG=WARN`)."
                ),
            )
        })
    }
}

/// Ends a moment after an interrupt.
async fn last_word(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(LAST_WORD).await;
}

#[cfg(test)]
mod tests {
    use history::{Filter, ServerRow};

    use super::*;

    fn row() -> Vec<Entry> {
        let vm = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().expect("a UUID");
        vec![ServerRow::new(vm).into()]
    }

    fn sqlite(file: std::path::PathBuf) -> SinkUrl {
        SinkUrl::sqlite(file)
    }

    #[tokio::test]
    async fn without_a_history_nothing_is_asked_for() {
        let asked = async { panic!("nobody wants to know") };
        assert_eq!(Chronicle::default().tell(asked, &CancellationToken::new()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_is_there_and_nothing_told_opens_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = sqlite(folder.path().join("history.db"));
        let chronicle = Chronicle::new(&url);
        let cancel = CancellationToken::new();
        assert_eq!(chronicle.tell(async { Vec::new() }, &cancel).await, None);
        assert!(!folder.path().join("history.db").exists());
        cancel.cancel();
        assert_eq!(
            chronicle.tell(async { row() }, &cancel).await,
            None,
            "interrupted, and in time"
        );
        chronicle.close().await;
        let history = History::open(&url).await.expect("a history");
        assert_eq!(history.rows(&Filter::default(), 9).await.expect("rows").len(), 1);
    }

    #[tokio::test]
    async fn a_sink_that_is_down_is_said_once() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("file"), "").expect("a file");
        let chronicle = Chronicle::new(&sqlite(folder.path().join("file/history.db")));
        let cancel = CancellationToken::new();
        let said = chronicle.tell(async { row() }, &cancel).await.expect("a warning");
        assert_eq!(said.summary, "History not written");
        assert!(said.detail.contains("file/history.db: "), "{}", said.detail);
        assert_eq!(chronicle.tell(async { row() }, &cancel).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_does_not_answer_is_waited_for_once() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("an address");
        let url = format!("postgres://ci@{address}/lab").parse().expect("a URL");
        let chronicle = Chronicle::new(&url);
        let cancel = CancellationToken::new();
        let mut waits = Vec::new();
        for _ in 0..2 {
            let begun = tokio::time::Instant::now();
            chronicle.tell(async { row() }, &cancel).await;
            waits.push(begun.elapsed().as_secs());
        }
        assert_eq!(waits, [PATIENCE.as_secs(), LITTLE_PATIENCE.as_secs()]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_ends_the_wait() {
        let chronicle = Chronicle::new(&sqlite("/nowhere/history.db".into()));
        let cancel = CancellationToken::new();
        cancel.cancel();
        let begun = tokio::time::Instant::now();
        let said = chronicle
            .tell(std::future::pending(), &cancel)
            .await
            .expect("a warning");
        assert!(said.detail.contains("interrupted"), "{}", said.detail);
        assert!(begun.elapsed() <= Duration::from_millis(300), "{:?}", begun.elapsed());
    }
}
