//! A pool's living state: the database and everything that is not in it, behind one lock that is never held across a wait.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Pace};
use crate::control::{EventCounters, SrOperation, VmInstants};
use crate::db::{Cls, Db, Ref};
use crate::guest::{Disk, Leases};
use crate::ops::Waiters;
use crate::random::Random;
use crate::session::Sessions;
use crate::tls::Identity;
use crate::world::{Latencies, PoolSpec, Span};

/// A pool with its hosts.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) spec: PoolSpec,
    pub(crate) seed: u64,
    pub(crate) latencies: Latencies,
    pub(crate) clock: Clock,
    pub(crate) hosts: Vec<Endpoint>,
    /// Background work that outlives the request that began it.
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
    clock_offset: AtomicI64,
    state: Mutex<State>,
    changed: watch::Sender<(u64, u64)>,
}

/// Where a host listens.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    /// `127.0.0.1:40001`.
    pub(crate) address: String,
    pub(crate) identity: Mutex<Option<Identity>>,
    pub(crate) reachable: AtomicBool,
    /// Cut to drop every connection of the host.
    pub(crate) connections: Mutex<CancellationToken>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) db: Db,
    pub(crate) random: Random,
    pub(crate) sessions: Sessions,
    /// What is on disks that hold an operating system.
    pub(crate) disks: HashMap<Ref, Disk>,
    pub(crate) leases: Leases,
    pub(crate) waiters: Waiters,
    /// Cancelled by `task.cancel`, and by operations that pre-empt others.
    pub(crate) cancels: HashMap<Ref, CancellationToken>,
    /// Tasks that were destroyed while they were pending.
    pub(crate) doomed: HashSet<Ref>,
    /// Where guests on a network get their addresses from.
    pub(crate) cidrs: HashMap<Ref, ipnet::IpNet>,
    /// Bytes in use on an SR; the field follows when the backend reports.
    pub(crate) used: HashMap<Ref, i64>,
    /// The copy that a new coordinator would start from.
    pub(crate) backup: Option<Box<Backup>>,
    /// Hosts that answer nobody.
    pub(crate) unreachable: HashSet<Ref>,
    /// Bytes written through `/import_raw_vdi`.
    pub(crate) contents: HashMap<Ref, bytes::Bytes>,
    /// VMs whose guest keeps silent because a test said so.
    pub(crate) muted: HashSet<Ref>,
    /// Four operations at once per host.
    pub(crate) workers: HashMap<Ref, Arc<Semaphore>>,
    /// References of hosts, in the order of [`Pool::hosts`].
    pub(crate) host_refs: Vec<Ref>,
    /// Cancelled when xapi restarts: everything under way dies.
    pub(crate) epoch: CancellationToken,
    pub(crate) next_domid: i64,
    /// The latest boot of each running VM.
    pub(crate) boots: HashMap<Ref, u64>,
    pub(crate) counters: EventCounters,
    pub(crate) sr_operations: Vec<SrOperation>,
    pub(crate) instants: HashMap<String, VmInstants>,
    /// The coordinator's wall clock when the lock was taken.
    pub(crate) wall: i64,
}

/// What the members hold of the coordinator's database, and what was on disks then.
#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) db: Db,
    pub(crate) disks: HashMap<Ref, Disk>,
    pub(crate) used: HashMap<Ref, i64>,
}

impl Pool {
    #[expect(clippy::too_many_arguments, reason = "one place puts a pool together")]
    pub(crate) fn new(
        name: &str,
        spec: PoolSpec,
        seed: u64,
        latencies: Latencies,
        clock: Clock,
        hosts: Vec<Endpoint>,
        state: State,
        stop: CancellationToken,
    ) -> Self {
        let generations = (state.db.generation(), state.db.message_generation());
        Self {
            name: name.to_owned(),
            spec,
            seed,
            latencies,
            clock,
            hosts,
            tracker: TaskTracker::new(),
            stop,
            clock_offset: AtomicI64::new(0),
            state: Mutex::new(state),
            changed: watch::Sender::new(generations),
        }
    }

    /// Works on the state, and tells waiting event polls if anything was written.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.wall = self.now();
        let before = (state.db.generation(), state.db.message_generation());
        let result = work(&mut state);
        let after = (state.db.generation(), state.db.message_generation());
        drop(state);
        if before != after {
            self.changed.send_replace(after);
        }
        result
    }

    /// Sees every change of the database.
    pub(crate) fn watch(&self) -> watch::Receiver<(u64, u64)> {
        self.changed.subscribe()
    }

    /// The coordinator's wall clock in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
        let real = self.clock.wall().floor() as i64;
        real + self.clock_offset.load(Ordering::SeqCst)
    }

    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::SeqCst);
    }

    /// Picks from a span with the pool's own randomness.
    pub(crate) fn pick(&self, span: Span) -> Duration {
        self.with(|state| state.random.span(span))
    }

    /// Sleeps for a while picked from a span.
    pub(crate) async fn pause(&self, span: Span) {
        let time = self.pick(span);
        self.clock.sleep(time, Pace::Work).await;
    }

    /// The address of the coordinator, and whether the host at this index is it.
    pub(crate) fn coordinator(&self) -> (usize, String) {
        let index = self.with(|state| {
            let master = state
                .db
                .get(Cls::Pool, &state.db.pool(), "master")
                .map(crate::value::Value::as_ref);
            let position = |master: Ref| state.host_refs.iter().position(|r| *r == master);
            master.ok().and_then(position).unwrap_or(0)
        });
        (
            index,
            self.hosts.get(index).map(|h| h.address.clone()).unwrap_or_default(),
        )
    }

    /// Runs background work that ends with the pool, and with the toolstack that began it.
    pub(crate) fn background(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let entered = self.clock.enter();
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let _entered = entered;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }
}
