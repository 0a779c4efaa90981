//! The process that stays: a loop for each pool, the pages for monitoring, and what outlives a change of the configuration.
//!
//! ```text
//!  start --> loops run --SIGHUP, valid--> loops end after the step in hand --> loops run, as configured now
//!               |    \---SIGHUP, invalid: errors are logged, nothing changes
//!               \--SIGTERM, SIGINT--> loops end after the step in hand, history delivered --> exit 0
//!                                       \--a second one--> exit at once, 143 or 130
//! ```

mod pages;
mod supervise;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xenapi::{Pool, PoolConfig};

use crate::chronicle::Chronicle;
use crate::clock::OwnClock;
use crate::ground::Memories;
use crate::listen::Health;
use crate::memory::StateDir;
use crate::metrics::Metrics;
use crate::setup::{self, Setup, SetupError, Source};
use crate::signals::{Signal, Signals};
use crate::watch::{Shared, watch};

use self::pages::Pages;
use self::supervise::supervise;

/// How long the loops of an old configuration may take to end before those of the new one begin beside them. To reapers that meet
/// in one pool nothing happens; a step that never ends must not keep the other pools unwatched.
const HANDOVER: Duration = Duration::from_secs(30);

/// What outlives a change of the configuration.
struct Daemon {
    source: Source,
    metrics: Metrics,
    health: Health,
    pages: Option<Pages>,
    /// Loops of old configurations that have a step in hand still.
    ending: Vec<JoinSet<()>>,
}

/// What works as the configuration says; another one takes its place when that is read again.
struct Shift {
    setup: Setup,
    state: StateDir,
    memories: Arc<Memories>,
    chronicle: Chronicle,
    loops: JoinSet<()>,
    stop: CancellationToken,
}

/// What was asked for while something else had to be finished.
#[derive(Debug, Default)]
struct Heard {
    end: bool,
    reload: bool,
}

/// Runs until the end is asked for; gives the exit code.
///
/// # Errors
/// It cannot start as configured.
pub async fn run(source: Source, mut signals: Signals) -> Result<u8, SetupError> {
    let setup = source.read()?;
    setup.warn();
    let state = setup.open_state_dir()?;
    let mut daemon = Daemon {
        source,
        metrics: Metrics::default(),
        health: Health::default(),
        pages: None,
        ending: Vec::new(),
    };
    if let Some(address) = setup.config.listen {
        daemon.pages = Some(Pages::open(address, &daemon.metrics, &daemon.health).await?);
    }
    let mut shift = daemon.begin(setup, state);
    let mut heard = Heard::default();
    loop {
        if heard.end {
            return Ok(daemon.end(shift, heard, &mut signals).await);
        }
        if !std::mem::take(&mut heard.reload) {
            match signals.next().await {
                Some(Signal::Reload) => {}
                Some(Signal::End(_)) | None => {
                    heard.end = true;
                    continue;
                }
            }
        }
        shift = match daemon.reload(shift, &mut heard, &mut signals).await {
            Ok(shift) => shift,
            Err(code) => return Ok(code),
        };
    }
}

impl Daemon {
    /// Begins to work as a configuration says.
    fn begin(&self, setup: Setup, state: StateDir) -> Shift {
        let memories = Arc::new(Memories::load(state.clone()));
        let chronicle = setup.open_chronicle(&state);
        self.begin_with(setup, state, memories, chronicle)
    }

    fn begin_with(&self, setup: Setup, state: StateDir, memories: Arc<Memories>, chronicle: Chronicle) -> Shift {
        let stop = CancellationToken::new();
        let shared = Shared {
            policy: setup.policy.clone(),
            memories: Arc::clone(&memories),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            chronicle: chronicle.clone(),
            stop: stop.clone(),
            own_clock: OwnClock::Boot,
            met: Arc::new(Mutex::default()),
        };
        let mut loops = JoinSet::new();
        for (pool, client) in setup.config.pools.iter().zip(&setup.clients) {
            loops.spawn(tend(pool.connection.clone(), Arc::clone(client), shared.clone()));
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            pools = setup.clients.len(),
            state_dir = %state.path().display(),
            "watching"
        );
        Shift {
            setup,
            state,
            memories,
            chronicle,
            loops,
            stop,
        }
    }

    /// Reads the configuration again and works by it; one that is wrong changes nothing. `Err` is the exit code of an end that
    /// was asked for twice.
    async fn reload(&mut self, old: Shift, heard: &mut Heard, signals: &mut Signals) -> Result<Shift, u8> {
        let read = self.source.read().and_then(|setup| {
            let state = setup.open_state_dir()?;
            Ok((setup, state))
        });
        let (setup, state) = match read {
            Ok(read) => read,
            Err(error) => {
                for line in error.to_string().lines() {
                    tracing::error!(error = line, "the configuration is wrong; the old one goes on");
                }
                return Ok(old);
            }
        };
        setup.warn();
        tracing::info!("the configuration is read again");
        heard.during(signals, self.move_pages(&setup)).await?;
        let mut old = old;
        let handover = tokio::time::timeout(HANDOVER, old.end_loops());
        if heard.during(signals, handover).await?.is_err() {
            tracing::warn!("steps in hand take long; the new configuration does not wait for them");
            self.ending.push(std::mem::take(&mut old.loops));
        }
        for pool in gone(&old.setup, &setup) {
            self.metrics.remove(&pool);
        }
        if old.state.path() == state.path() && old.setup.sink == setup.sink {
            return Ok(self.begin_with(setup, state, old.memories, old.chronicle));
        }
        heard.during(signals, old.chronicle.close()).await?;
        Ok(self.begin(setup, state))
    }

    /// Serves the pages where they are to be served now. An address that cannot be had changes nothing.
    async fn move_pages(&mut self, setup: &Setup) {
        let wanted = setup.config.listen;
        let moved = match (&self.pages, wanted) {
            (Some(pages), Some(address)) if pages.are_at(address) => return,
            (Some(_) | None, Some(address)) => match Pages::open(address, &self.metrics, &self.health).await {
                Ok(pages) => Some(pages),
                Err(error) => {
                    let error = SetupError::from(error);
                    tracing::error!(%error, "the pages stay where they are");
                    return;
                }
            },
            (Some(_) | None, None) => None,
        };
        if let Some(old) = std::mem::replace(&mut self.pages, moved) {
            old.close().await;
        }
    }

    /// Ends everything after the steps in hand; gives the exit code.
    async fn end(&mut self, mut shift: Shift, mut heard: Heard, signals: &mut Signals) -> u8 {
        tracing::info!("ending after the steps in hand");
        let (pages, ending) = (self.pages.take(), std::mem::take(&mut self.ending));
        let ended = heard.during(signals, async move {
            shift.end_loops().await;
            for mut loops in ending {
                while loops.join_next().await.is_some() {}
            }
            if let Some(pages) = pages {
                pages.close().await;
            }
            shift.chronicle.close().await;
        });
        match ended.await {
            Ok(()) => {
                tracing::info!("ended");
                0
            }
            Err(code) => {
                tracing::warn!("asked to end a second time: ending at once");
                code
            }
        }
    }
}

impl Shift {
    async fn end_loops(&mut self) {
        self.stop.cancel();
        while self.loops.join_next().await.is_some() {}
    }
}

impl Heard {
    /// Does what has to be finished and takes in what is asked for meanwhile. `Err` is the exit code of an end that is asked for
    /// a second time; the work is dropped then.
    async fn during<T>(&mut self, signals: &mut Signals, work: impl Future<Output = T>) -> Result<T, u8> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                Some(signal) = signals.next() => match signal {
                    Signal::End(code) if self.end => return Err(code),
                    Signal::End(_) => self.end = true,
                    Signal::Reload => self.reload = true,
                },
            }
        }
    }
}

/// The pools that a new configuration does not name any more.
fn gone(old: &Setup, new: &Setup) -> BTreeSet<String> {
    let names = |setup: &Setup| -> BTreeSet<String> {
        let names = setup.clients.iter().map(|client| client.name().to_owned());
        names.collect()
    };
    &names(old) - &names(new)
}

/// Watches one pool until the end is asked for, whatever becomes of single attempts.
async fn tend(settings: PoolConfig, client: Arc<Pool>, shared: Shared) {
    let (name, stop) = (settings.name.clone(), shared.stop.clone());
    let mut first = Some(client);
    let mut last: Option<Arc<Pool>> = None;
    let begin = || {
        // After a fault nothing is asked of the old client but that it logs out.
        let old = last.take();
        let client = first.take().map_or_else(|| setup::client(&settings), Ok);
        last = client.as_ref().ok().cloned();
        let shared = shared.clone();
        async move {
            if let Some(old) = old {
                old.logout(setup::LOGOUT).await;
            }
            match client {
                Ok(client) => watch(client, shared).await,
                Err(error) => tracing::error!(%error, "the pool cannot be watched"),
            }
        }
    };
    supervise(&name, &stop, begin).await;
}
