//! What is known of one pool, and how it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How one deletion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deletion {
    /// The VM is gone, by this reaper.
    Deleted,
    /// The pool would not do it, or could not be asked.
    Failed,
    /// The last look before the first destructive call forbade it: renewed, kept, busy.
    Refused,
    /// Somebody else was faster: as good as deleted.
    Gone,
}

impl Deletion {
    /// Every result; all are exported from the first scrape on, so that a rate sees the first one of each.
    pub const ALL: [Self; 4] = [Self::Deleted, Self::Failed, Self::Refused, Self::Gone];

    /// The value of the label `result`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Gone => "gone",
        }
    }
}

/// Whether a rail holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RailState {
    /// It does.
    Active,
    /// It does not.
    Clear,
}

/// When the VM whose turn is first is to be deleted: the end of its lease plus the grace, quarantined VMs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// No VM is to be deleted at any time.
    Nothing,
    /// The first one is due after this time.
    In(Duration),
    /// One has been due for so long, and is still there.
    Since(Duration),
}

impl Due {
    /// How long the VM has been overdue when this much time has passed.
    fn overdue(self, passed: Duration) -> Duration {
        match self {
            Self::Nothing => Duration::ZERO,
            Self::In(left) => passed.saturating_sub(left),
            Self::Since(age) => age.saturating_add(passed),
        }
    }
}

/// What came of the attempts to read a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// There was none yet.
    #[default]
    Untried,
    /// None has succeeded.
    Unreadable,
    /// The last one succeeded.
    Read,
    /// One has succeeded, the last one has not.
    Lost,
}

impl Reading {
    /// Says whether an attempt has ever succeeded.
    pub fn was_read(self) -> bool {
        match self {
            Self::Read | Self::Lost => true,
            Self::Untried | Self::Unreadable => false,
        }
    }
}

/// The values of one pool.
#[derive(Clone, Default)]
pub(super) struct Series {
    pub(super) reading: Reading,
    pub(super) managed: BTreeMap<&'static str, u64>,
    pub(super) deletions: BTreeMap<Deletion, u64>,
    pub(super) last_success: Option<Timestamp>,
    pub(super) rails: BTreeMap<&'static str, RailState>,
    pub(super) quarantined: Option<u64>,
    pub(super) tickets: BTreeMap<&'static str, u64>,
    pub(super) cleared_tickets: u64,
    pub(super) clock_skew: Option<SignedDuration>,
    pub(super) client: Option<Arc<xenapi::Pool>>,
    due: Option<(Due, Instant)>,
}

impl Series {
    /// How long the first VM has been overdue by now. What was said at the last cycle goes on ageing: a reaper that is stuck, or cut
    /// off from the pool, does not look as if nothing waited.
    pub(super) fn overdue(&self) -> Option<Duration> {
        self.due.map(|(due, said)| due.overdue(said.elapsed()))
    }
}

/// Tells what happens in one pool. Once the pool is removed from the metrics, what its old handles tell is shown nowhere: a loop that
/// is still ending does not bring back what was cleared.
#[derive(Clone)]
pub struct PoolMetrics {
    series: Arc<Mutex<Series>>,
}

impl PoolMetrics {
    pub(super) fn new(series: Arc<Mutex<Series>>) -> Self {
        Self { series }
    }

    /// Counts the requests of this client, in place of an earlier one. The client's own counters are read at each scrape.
    pub fn counts_requests_of(&self, client: &Arc<xenapi::Pool>) {
        self.change(|series| series.client = Some(Arc::clone(client)));
    }

    /// The pool was read.
    pub fn read(&self) {
        self.change(|series| series.reading = Reading::Read);
    }

    /// The pool could not be read. Its other figures stay what they were.
    pub fn unreadable(&self) {
        self.change(|series| {
            series.reading = if series.reading.was_read() {
                Reading::Lost
            } else {
                Reading::Unreadable
            };
        });
    }

    /// Counts the managed VMs anew: verdict -> number. A verdict that is not named here is no longer shown.
    pub fn managed(&self, counts: impl IntoIterator<Item = (&'static str, u64)>) {
        let counts = counts.into_iter().collect();
        self.change(|series| series.managed = counts);
    }

    /// Says when the first VM is to be deleted, as of now and by the pool's clock. It goes on ageing by itself.
    pub fn oldest_due(&self, due: Due) {
        let now = Instant::now();
        self.change(|series| series.due = Some((due, now)));
    }

    /// Counts one deletion.
    pub fn deletion(&self, result: Deletion) {
        self.change(|series| *series.deletions.entry(result).or_default() += 1);
    }

    /// A cycle that read the pool completely ended at this instant of the reaper's own clock.
    pub fn succeeded(&self, at: Timestamp) {
        self.change(|series| series.last_success = Some(at));
    }

    /// Says whether a rail holds back. Meant to be told of every rail in each cycle.
    pub fn rail(&self, rail: &'static str, state: RailState) {
        self.change(|series| {
            series.rails.insert(rail, state);
        });
    }

    /// Counts the VMs in quarantine.
    pub fn quarantined(&self, vms: u64) {
        self.change(|series| series.quarantined = Some(vms));
    }

    /// Counts the tickets anew: state -> number.
    pub fn tickets(&self, counts: impl IntoIterator<Item = (&'static str, u64)>) {
        let counts = counts.into_iter().collect();
        self.change(|series| series.tickets = counts);
    }

    /// Counts tickets that were cleared away.
    pub fn cleared_tickets(&self, tickets: u64) {
        self.change(|series| series.cleared_tickets += tickets);
    }

    /// The coordinator's clock less the reaper's own.
    pub fn clock_skew(&self, skew: SignedDuration) {
        self.change(|series| series.clock_skew = Some(skew));
    }

    fn change(&self, change: impl FnOnce(&mut Series)) {
        change(&mut self.series.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
