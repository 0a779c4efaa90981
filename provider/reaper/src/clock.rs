//! Clocks: the coordinator's, by which leases are judged, and the reaper's own, by which it sees whether that one jumps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use xenapi::{Host, Pool, Ref};

use crate::policy::Mode;

/// How long one look at the coordinator's clock is carried forward.
const CARRIED: Duration = Duration::from_secs(60);

/// The coordinator's clock: one look, carried forward by a clock that never jumps.
#[derive(Debug)]
pub struct PoolClock {
    client: Arc<Pool>,
    coordinator: Ref<Host>,
    look: Mutex<Option<Look>>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    said: Timestamp,
    at: Instant,
}

impl Look {
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::MAX);
        self.said.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

impl PoolClock {
    /// The clock of this coordinator.
    pub fn new(client: Arc<Pool>, coordinator: Ref<Host>) -> Self {
        Self {
            client,
            coordinator,
            look: Mutex::new(None),
        }
    }

    /// Whose clock it is.
    pub fn coordinator(&self) -> &Ref<Host> {
        &self.coordinator
    }

    /// Looks at the clock. It shows whole seconds, so that the answer may be up to a second behind, and is never ahead.
    ///
    /// # Errors
    /// The call failed.
    pub async fn look(&self) -> Result<Timestamp, xenapi::Error> {
        let said = self.client.host().servertime(&self.coordinator).await?;
        let look = Look {
            said,
            at: Instant::now(),
        };
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
        Ok(said)
    }

    /// What the clock shows, by a look that is at most a minute old.
    ///
    /// # Errors
    /// The call failed.
    pub async fn now(&self) -> Result<Timestamp, xenapi::Error> {
        match self.carried().filter(|look| look.at.elapsed() <= CARRIED) {
            Some(look) => Ok(look.now()),
            None => self.look().await,
        }
    }

    /// What the clock probably shows, however old the look is: for deciding when to look again, and nothing else.
    pub fn estimate(&self) -> Option<Timestamp> {
        self.carried().map(|look| look.now())
    }

    fn carried(&self) -> Option<Look> {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of a reaper that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnClock {
    /// Since boot: no setting of the time moves it, and it counts while the machine sleeps.
    #[default]
    Boot,
    /// That of the runtime, which stands for the wall clock as well: whoever pauses it simulates all the time there is.
    Runtime {
        /// A moment on it.
        since: Instant,
        /// What the wall showed then, in seconds since 1970.
        wall: i64,
    },
}

/// The reaper's own clock in seconds: one of its own for one that stays; of the wall for one that runs once and is compared with
/// runs before.
pub fn own_seconds(mode: Mode) -> i64 {
    match mode {
        Mode::Daemon(OwnClock::Boot) => clock_gettime(ClockId::Boottime).tv_sec,
        Mode::Daemon(OwnClock::Runtime { since, wall }) => {
            wall.saturating_add(i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX))
        }
        Mode::Once => Timestamp::now().as_second(),
    }
}

/// How many seconds the wall clock is ahead of the own one.
pub fn wall_ahead(mode: Mode) -> i64 {
    match mode {
        Mode::Daemon(OwnClock::Boot) => Timestamp::now().as_second().saturating_sub(own_seconds(mode)),
        Mode::Daemon(OwnClock::Runtime { .. }) | Mode::Once => 0,
    }
}
