//! Time that passes for latencies: scaled real time, the time of the runtime that all share, or virtual time that moves only when told
//! or when all wait for it.
//!
//! Every task of the simulator that may sleep is *entered*. In virtual time the clock knows how many entered tasks are
//! busy: sleeping and parked ones are not. In automatic mode it jumps to the next wake-up when none is busy. Sleeps of
//! [`Pace::Idle`] (time-outs of parked polls, ticks of idle guests) never make it jump by themselves.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, oneshot};

/// Real time without any arrival before an automatic clock jumps.
const QUIET: Duration = Duration::from_millis(1);

/// Whether a sleep is work that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Work,
    Idle,
}

/// The simulator's clock. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    started_at: SystemTime,
    /// The same start on the runtime's clock, which a test may have paused.
    running: tokio::time::Instant,
    wall: Wall,
    scale: f64,
    virtual_time: Option<Virtual>,
    busy: AtomicI64,
    activity: AtomicU64,
    sleeper_added: Notify,
}

/// What the wall clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wall {
    System,
    Runtime,
}

#[derive(Debug)]
struct Virtual {
    state: Mutex<Sleepers>,
    automatic: bool,
}

#[derive(Debug, Default)]
struct Sleepers {
    now: Duration,
    next: u64,
    waiting: BTreeMap<(Duration, u64), Sleeper>,
}

#[derive(Debug)]
struct Sleeper {
    pace: Pace,
    wake: oneshot::Sender<()>,
}

/// An entered task; it counts as busy until this is dropped, except while it sleeps.
#[derive(Debug)]
pub(crate) struct Entered(Clock);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.0.sleeper_added.notify_one();
    }
}

impl Clock {
    pub(crate) fn scaled(scale: f64) -> Self {
        Self::new(scale, Wall::System, None)
    }

    /// The clock of the runtime, for latencies and wall clocks alike; the latter begin at a whole second, as every run does then.
    pub(crate) fn runtime() -> Self {
        Self::new(1.0, Wall::Runtime, None)
    }

    pub(crate) fn virtual_time(automatic: bool) -> Self {
        Self::new(
            1.0,
            Wall::System,
            Some(Virtual {
                state: Mutex::default(),
                automatic,
            }),
        )
    }

    fn new(scale: f64, wall: Wall, virtual_time: Option<Virtual>) -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            started_at: SystemTime::now(),
            running: tokio::time::Instant::now(),
            wall,
            scale,
            virtual_time,
            busy: AtomicI64::new(0),
            activity: AtomicU64::new(0),
            sleeper_added: Notify::new(),
        }))
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.0.virtual_time.is_some()
    }

    pub(crate) fn scale(&self) -> f64 {
        self.0.scale
    }

    /// Simulated time since the start.
    pub(crate) fn now(&self) -> Duration {
        match &self.0.virtual_time {
            Some(v) => v.lock().now,
            None => self.0.running.elapsed().mul_f64(self.0.scale),
        }
    }

    /// Real microseconds since the start.
    pub(crate) fn real_us(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The wall clock in seconds since 1970, before a pool's own offset: real, or moved by the runtime's or virtual time only.
    pub(crate) fn wall(&self) -> f64 {
        let since = |t: SystemTime| {
            t.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64()
        };
        match &self.0.virtual_time {
            Some(v) => since(self.0.started_at) + v.lock().now.as_secs_f64(),
            None if self.0.wall == Wall::Runtime => {
                since(self.0.started_at).floor() + self.0.running.elapsed().as_secs_f64()
            }
            None => since(SystemTime::now()),
        }
    }

    /// Counts the caller as busy.
    pub(crate) fn enter(&self) -> Entered {
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        self.0.activity.fetch_add(1, Ordering::SeqCst);
        Entered(self.clone())
    }

    /// Waits for something that is not time, without counting as busy.
    pub(crate) async fn park<T>(&self, wait: impl Future<Output = T>) -> T {
        struct Parked<'a>(&'a Clock);
        impl Drop for Parked<'_> {
            fn drop(&mut self) {
                self.0.0.busy.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.sleeper_added.notify_one();
        let _parked = Parked(self);
        wait.await
    }

    /// Sleeps in simulated time. The caller is entered.
    pub(crate) async fn sleep(&self, time: Duration, pace: Pace) {
        let Some(v) = &self.0.virtual_time else {
            if !time.is_zero() {
                tokio::time::sleep(time.div_f64(self.0.scale)).await;
            }
            return;
        };
        if time.is_zero() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        let key = {
            let mut state = v.lock();
            let key = (state.now + time, state.next);
            state.next += 1;
            state.waiting.insert(key, Sleeper { pace, wake });
            key
        };
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.sleeper_added.notify_one();
        let _asleep = Asleep { clock: self, key };
        // The sender goes only by firing: then the time has come.
        let _fired = woken.await;
    }

    /// Moves virtual time on, firing what is due on the way in order. False if time is not virtual.
    pub(crate) async fn advance(&self, by: Duration) -> bool {
        let Some(v) = &self.0.virtual_time else { return false };
        let target = v.lock().now + by;
        self.settle().await;
        while v.fire_next(self, target) {
            self.settle().await;
        }
        let mut state = v.lock();
        state.now = state.now.max(target);
        true
    }

    /// Moves an automatic clock until the simulator ends.
    pub(crate) async fn drive(&self) {
        let Some(v) = self.0.virtual_time.as_ref().filter(|v| v.automatic) else {
            return;
        };
        loop {
            let Some(target) = v.next_work() else {
                self.0.sleeper_added.notified().await;
                continue;
            };
            let activity = self.0.activity.load(Ordering::SeqCst);
            tokio::time::sleep(QUIET).await;
            let quiet = activity == self.0.activity.load(Ordering::SeqCst);
            if quiet && self.0.busy.load(Ordering::SeqCst) <= 0 {
                v.fire_next(self, target);
            }
        }
    }

    /// Waits until no entered task is busy.
    async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.0.busy.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        tokio::task::yield_now().await;
    }
}

impl Virtual {
    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next sleep ends that is work.
    fn next_work(&self) -> Option<Duration> {
        let state = self.lock();
        state
            .waiting
            .iter()
            .find(|(_, s)| s.pace == Pace::Work)
            .map(|((at, _), _)| *at)
    }

    /// Fires all sleeps of the earliest instant up to `limit`.
    fn fire_next(&self, clock: &Clock, limit: Duration) -> bool {
        let mut state = self.lock();
        let Some((&(at, _), _)) = state.waiting.first_key_value() else {
            return false;
        };
        if at > limit {
            return false;
        }
        state.now = state.now.max(at);
        while let Some(entry) = state.waiting.first_entry() {
            if entry.key().0 > at {
                break;
            }
            clock.0.busy.fetch_add(1, Ordering::SeqCst);
            // A sleeper that was dropped has taken itself out; a send fails only in that instant.
            let _lost = entry.remove().wake.send(());
        }
        true
    }
}

struct Asleep<'a> {
    clock: &'a Clock,
    key: (Duration, u64),
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        if let Some(v) = &self.clock.0.virtual_time
            && v.lock().waiting.remove(&self.key).is_some()
        {
            // Dropped before its time: the caller goes on and is busy again.
            self.clock.0.busy.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn virtual_time_fires_in_order() {
        let clock = Clock::virtual_time(false);
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for seconds in [3u64, 1, 2] {
            let (clock, log) = (clock.clone(), log.clone());
            let entered = clock.enter();
            tasks.spawn(async move {
                let _entered = entered;
                clock.sleep(Duration::from_secs(seconds), Pace::Work).await;
                log.lock().unwrap().push((seconds, clock.now()));
            });
        }
        clock.advance(Duration::from_secs(2)).await;
        assert_eq!(
            *log.lock().unwrap(),
            [(1, Duration::from_secs(1)), (2, Duration::from_secs(2))]
        );
        clock.advance(Duration::from_secs(10)).await;
        tasks.join_all().await;
        assert_eq!(clock.now(), Duration::from_secs(12));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_the_runtime_moves_latencies_and_wall_alike() {
        let clock = Clock::runtime();
        let before = clock.wall();
        clock.sleep(Duration::from_secs(7200), Pace::Work).await;
        assert_eq!(clock.now().as_secs(), 7200);
        assert!((clock.wall() - before - 7200.0).abs() < 1.0);
    }

    #[tokio::test]
    async fn an_automatic_clock_jumps_over_work_but_not_over_idleness() {
        let clock = Clock::virtual_time(true);
        let driver = clock.clone();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { driver.drive().await });
        let _entered = clock.enter();
        clock.sleep(Duration::from_secs(3600), Pace::Work).await;
        assert_eq!(clock.now(), Duration::from_secs(3600));
        let idle = clock.sleep(Duration::from_secs(60), Pace::Idle);
        assert!(tokio::time::timeout(Duration::from_millis(50), idle).await.is_err());
        assert_eq!(clock.now(), Duration::from_secs(3600));
    }
}
