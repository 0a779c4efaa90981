//! Two reapers that know nothing of each other, each of which dies now and then and begins anew with what it remembers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use reaper::chronicle::Chronicle;
use reaper::clock::OwnClock;
use reaper::ground::Memories;
use reaper::listen::Health;
use reaper::memory::StateDir;
use reaper::metrics::Metrics;
use reaper::policy::Policy;
use reaper::watch::{Shared, watch};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::process::connection;
use crate::world::Lab;

/// The first one's number, beside those of the pipelines.
const ACTOR: u64 = 2000;

/// A reaper, over all its lives.
pub(crate) struct Reaper {
    number: u64,
    lab: Arc<Lab>,
    dice: Dice,
    folder: TempDir,
    lives: u64,
    own_clock: OwnClock,
}

/// One life.
struct Life {
    originator: String,
    stop: CancellationToken,
    loops: JoinSet<()>,
}

impl Reaper {
    pub(crate) fn new(number: u64, seed: u64, lab: Arc<Lab>) -> Result<Self> {
        let own_clock = OwnClock::Runtime {
            since: Instant::now(),
            wall: Timestamp::now().as_second(),
        };
        Ok(Self {
            number,
            dice: Dice::new(seed, ACTOR + number),
            folder: tempfile::tempdir()?,
            lives: 0,
            own_clock,
            lab,
        })
    }

    /// Lives and dies until a time; from then on lives until it is told to end.
    ///
    /// # Errors
    /// It cannot begin.
    pub(crate) async fn work(&mut self, until: Duration, end: CancellationToken) -> Result<()> {
        let mut due = Duration::ZERO;
        loop {
            let span = Duration::from_secs(self.dice.between(120, 1800));
            self.lab.diary.planned(ACTOR + self.number, &format!("{span:?}"));
            let life = self.begin()?;
            due += span;
            if due >= until {
                end.cancelled().await;
                return life.end().await;
            }
            self.lab.until(due).await;
            self.lab.note("reaper", &format!("{} is killed", life.originator));
            self.lab.diary.count("reapers killed");
            life.kill(&self.lab);
        }
    }

    fn begin(&mut self) -> Result<Life> {
        self.lives += 1;
        let originator = format!("dynvm-reaper/{}-{}", self.number, self.lives);
        let stop = CancellationToken::new();
        let shared = Shared {
            policy: Policy::default(),
            memories: Arc::new(Memories::load(StateDir::open(self.folder.path())?)),
            metrics: Metrics::default(),
            health: Health::default(),
            chronicle: Chronicle::default(),
            stop: stop.clone(),
            own_clock: self.own_clock,
            met: Arc::default(),
        };
        let mut loops = JoinSet::new();
        for pool in &self.lab.addresses {
            let client = xenapi::Pool::new(connection(pool, &originator)?)?;
            loops.spawn(watch(client, shared.clone()));
        }
        Ok(Life {
            originator,
            stop,
            loops,
        })
    }

    /// What it remembers is about things that are there: it does not grow with what was.
    ///
    /// # Errors
    /// It remembers something that is gone.
    pub(crate) fn check_memory(&self) -> Result<()> {
        let there = self.lab.things();
        let memory = serde_json::to_value(StateDir::for_reading(self.folder.path()).memory())?;
        let mut gone = BTreeSet::new();
        for of_pool in memory
            .get("pools")
            .and_then(Json::as_object)
            .into_iter()
            .flat_map(|pools| pools.values())
        {
            for table in ["first_seen", "failures", "leases"] {
                let rows = of_pool.get(table).and_then(Json::as_object);
                let uuids = rows.into_iter().flatten().map(|(uuid, _)| uuid);
                gone.extend(uuids.filter(|uuid| !there.contains(*uuid)).cloned());
            }
        }
        ensure!(
            gone.is_empty(),
            "reaper {} remembers what is gone: {gone:?}",
            self.number
        );
        Ok(())
    }
}

impl Life {
    async fn end(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.loops.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// Its tasks end where they are, and nothing of them arrives any more.
    fn kill(self, lab: &Lab) {
        lab.control.sever(&self.originator);
    }
}
