//! A simulated pool, and everybody who works on it: providers, reapers, and the eye that looks at its tables past all clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::{Fleet, FleetConfig, Knock, PoolSettings};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reaper::ground::Memories;
use reaper::memory::StateDir;
use reaper::once::Once;
use reaper::policy::Policy;
use serde_json::{Value as Json, json};
use sim::{ClockMode, Control, Options, RequestRecord, Simulator, World};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use xenapi::{Limits, PoolConfig};

/// How far the pool's clock is behind until the reaper comes: later than every lease that a case begins.
const BEHIND: SignedDuration = SignedDuration::from_hours(25);
/// Between two looks whether the pool is at anything still.
const LOOK: Duration = Duration::from_millis(250);
/// How many requests are told of where no end comes.
const LAST: usize = 12;
/// Longer than anything takes that a pool does by itself.
const QUIET: Duration = Duration::from_secs(1800);

pub(crate) const POOL: &str = "lab1";

/// A pool that starts each case as it was prepared.
pub(crate) struct Lab {
    pub(crate) control: Control,
    /// What the pool's clock showed at the start.
    began: Timestamp,
    behind: Mutex<SignedDuration>,
    /// Says whether the ports of guests answer.
    doors: Arc<Doors>,
    _simulator: Simulator,
}

/// The ports of all guests.
#[derive(Default)]
pub(crate) struct Doors {
    are_shut: AtomicBool,
}

impl Knock for Doors {
    fn knock(&self, _at: SocketAddr) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(!self.are_shut.load(Ordering::Relaxed)))
    }
}

impl Lab {
    /// A pool on the clock of the runtime, which is paused: it jumps to what is due next whenever nobody has anything to do.
    pub(crate) async fn new() -> Self {
        let options = Options {
            clock: ClockMode::Runtime,
            control: None,
        };
        let world = World::from_hcl(include_str!("small.hcl")).unwrap();
        let simulator = Simulator::start(world, options).await.unwrap();
        let mut lab = Self {
            control: simulator.control(),
            began: Timestamp::UNIX_EPOCH,
            behind: Mutex::default(),
            doors: Arc::default(),
            _simulator: simulator,
        };
        let hosts = lab.call("host.get_all", json!([])).await;
        let shown = lab.call("host.get_servertime", json!([hosts[0]])).await;
        let passed = SignedDuration::try_from(lab.control.now()).unwrap();
        lab.began = time(&shown) - passed;
        lab.set_clock(BEHIND);
        lab
    }

    fn set_clock(&self, behind: SignedDuration) {
        self.control.set_clock_offset(POOL, -behind.as_secs()).unwrap();
        *self.behind.lock().unwrap() = behind;
    }

    /// Twenty-five hours later.
    pub(crate) fn later(&self) {
        self.set_clock(SignedDuration::ZERO);
    }

    /// What the pool's clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.control.now()).unwrap();
        self.began + passed - *self.behind.lock().unwrap()
    }

    /// Remembers how everything is now.
    pub(crate) fn remember(&self) {
        self.control.back_up(POOL).unwrap();
    }

    /// Makes everything as it was remembered, and the clock what it was.
    pub(crate) async fn rewind(&self, clock: Clock) {
        self.control.roll_back(POOL).unwrap();
        self.remember();
        match clock {
            Clock::Behind => self.set_clock(BEHIND),
            Clock::Later => self.later(),
        }
        // The connections that this cut come to their end before they are forgotten.
        tokio::time::sleep(LOOK).await;
        self.control.reset_requests();
    }

    pub(crate) fn shut_ports(&self, are_shut: bool) {
        self.doors.are_shut.store(are_shut, Ordering::Relaxed);
    }

    /// Another process of the provider.
    pub(crate) fn fleet(&self, template: &str) -> Arc<Fleet> {
        let settings = PoolSettings {
            templates: [("debian12".to_owned(), template.to_owned())].into(),
            ..PoolSettings::new(self.connection("dynvm-provider/0.1.0"))
        };
        let config = FleetConfig {
            pools: vec![settings],
            default_ttl: Duration::from_secs(12 * 3600),
            max_ttl: Duration::from_secs(24 * 3600),
            owner: "ci/nightly".to_owned(),
            version: "0.1.0".to_owned(),
        };
        Fleet::with_knock(config, Arc::clone(&self.doors) as Arc<dyn Knock>)
    }

    /// Another process of the reaper, which remembers nothing; its memory lasts as long as the folder.
    pub(crate) fn reaper(&self, memory: &TempDir) -> Once {
        let client = xenapi::Pool::new(self.connection("dynvm-reaper/0.1.0")).unwrap();
        Once {
            clients: vec![client],
            policy: Policy::default(),
            memories: Arc::new(Memories::load(StateDir::open(memory.path()).unwrap())),
            stop: CancellationToken::new(),
        }
    }

    fn connection(&self, originator: &str) -> PoolConfig {
        let pool = self.control.pools().into_iter().next().unwrap();
        // By the address that the pool had at first, whoever coordinates it now.
        let url = pool.member_urls.first().unwrap();
        PoolConfig {
            name: POOL.to_owned(),
            urls: vec![xenapi::Endpoint::parse(url).unwrap()],
            username: pool.username,
            password: pool.password.into(),
            tls: xenapi::TlsTrust::SystemRoots,
            wire: xenapi::WireChoice::Auto,
            originator: originator.to_owned(),
            limits: Limits::default(),
        }
    }

    /// Calls the pool as its superuser, in process.
    pub(crate) async fn call(&self, method: &str, params: Json) -> Json {
        let list = params.as_array().cloned().unwrap_or_default();
        let called = self.control.call(POOL, method, list).await;
        called.unwrap_or_else(|failure| panic!("{method}: {failure:?}"))
    }

    /// Waits until the pool has finished all that it was asked for, but for so many tasks to which nobody ever comes.
    ///
    /// # Errors
    /// What it does not come to an end with.
    pub(crate) async fn until_quiet(&self, strays: usize) -> Result<(), String> {
        let quiet = async {
            while self.is_busy(strays).await {
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(QUIET, quiet).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!(
                "the pool does not come to rest: {:?} {:?}",
                self.open(),
                self.pending().await
            )),
        }
    }

    async fn is_busy(&self, strays: usize) -> bool {
        !self.open().is_empty() || has_operations(&self.control.world()) || self.pending().await.len() > strays
    }

    /// Requests that the pool is at, long polls and those that nobody will ever answer apart.
    pub(crate) fn open(&self) -> Vec<RequestRecord> {
        let mut records = self.control.requests();
        records.retain(|request| {
            request.ended_us.is_none() && request.method != "event.from" && request.outcome != "HANGING"
        });
        records
    }

    /// What was asked last, for whoever looks for an end that does not come.
    pub(crate) fn last_requests(&self) -> String {
        let records = self.control.requests();
        let last = records.iter().rev().take(LAST).rev();
        last.map(|record| format!("{} {}, ", record.method, record.outcome))
            .collect()
    }

    /// Tasks that have not ended.
    async fn pending(&self) -> BTreeMap<String, Json> {
        let tasks = self.call("task.get_all_records", json!([])).await;
        let mut tasks: BTreeMap<String, Json> = serde_json::from_value(tasks).unwrap();
        tasks.retain(|_, task| ["pending", "cancelling"].iter().any(|&open| task["status"] == open));
        tasks
    }
}

/// Whether the pool works on anything.
fn has_operations(world: &Json) -> bool {
    let classes = world[POOL].as_object().unwrap().values();
    let rows = classes.flat_map(|rows| rows.as_object().unwrap().values());
    let mut operations = rows.filter_map(|row| row["current_operations"].as_object());
    operations.any(|operations| !operations.is_empty())
}

/// A time as the pool writes it.
fn time(shown: &Json) -> Timestamp {
    let shown = shown.as_str().unwrap();
    let whole = jiff::civil::DateTime::strptime("%Y%m%dT%H:%M:%SZ", shown).unwrap();
    whole.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
}

/// When a case begins, by the pool's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// All leases run.
    Behind,
    /// They are over.
    Later,
}
