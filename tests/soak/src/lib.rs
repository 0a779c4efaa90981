//! Hours of a busy lab in virtual time: thirty pipelines that apply, change, are killed and destroy at random, two reapers, people with
//! their own tools, and faults. In the end nothing of dynvm is left, nothing foreign is touched, and no promise was broken.
//!
//! ```text
//!  seed -> dice of each pipeline --turns--> Terraform's runs: a process (fleet) each ---+
//!          dice of the weather ----faults--------------------------------------------+  |
//!          dice of each reaper ----lives---> watch, watch                            v  v
//!                                              |                                  simulator
//!                                              +--------------------------------->   |
//!  invariants <---- the simulator's own tables, not through any code of dynvm's -----+
//! ```
//!
//! Everything runs in one thread on one clock, which is paused: it jumps to the next thing that is due whenever nobody has anything to
//! do. So a run takes as long as its work, not as its time.
//!
//! What a seed reproduces is the **schedule**: who does what after which pause, which run is killed how long after its begin, which
//! calls are struck, by their count. Each actor throws for itself and never looks at what came of it. What a seed does not fix is how
//! calls of different actors that are due in the same instant follow each other: `select!`, maps and identifiers have a randomness of
//! their own. A rare order of things may take several runs of the same seed to come back.

mod diary;
mod dice;
mod people;
mod pipeline;
mod process;
mod promises;
mod reapers;
mod turn;
mod verdict;
mod weather;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::pipeline::Pipeline;
use crate::reapers::Reaper;
use crate::world::Lab;

/// How long after the last turn all must be over: the longest lease that can be, what the reaper waits for, and the six hours after
/// which it tries again what failed six times.
const PATIENCE: Duration = Duration::from_secs(9 * 3600);
/// Between two looks at what must hold.
const LOOK: Duration = Duration::from_secs(600);

/// A run.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// Gives the schedule.
    pub seed: u64,
    /// How many pipelines there are.
    pub pipelines: u64,
    /// How long they work, in virtual time.
    pub time: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// What went wrong, if something did.
    pub outcome: Result<()>,
    /// A number that is the same for the same schedule.
    pub schedule: u64,
    /// How often what happened.
    pub counts: String,
    /// The end of the diary.
    pub tail: String,
    /// The whole diary.
    pub diary: String,
    /// Virtual time that has passed.
    pub passed: Duration,
}

impl Soak {
    /// Runs it.
    ///
    /// # Errors
    /// It could not begin.
    pub fn run(self) -> Result<Report> {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(async {
            let lab = Arc::new(Lab::start(self.seed).await?);
            let outcome = self.drive(&lab).await;
            Ok(Report {
                outcome,
                schedule: lab.diary.schedule(),
                counts: lab.diary.counts(),
                tail: lab.diary.tail(),
                diary: lab.diary.text(),
                passed: lab.passed(),
            })
        })
    }

    async fn drive(self, lab: &Arc<Lab>) -> Result<()> {
        let end = CancellationToken::new();
        let mut reapers = JoinSet::new();
        for number in 0..2 {
            let mut reaper = Reaper::new(number, self.seed, Arc::clone(lab))?;
            let end = end.clone();
            reapers.spawn(async move {
                reaper.work(self.time, end).await?;
                Ok::<_, anyhow::Error>(reaper)
            });
        }
        let mut always = JoinSet::new();
        always.spawn(verdict::watch_promises(Arc::clone(lab)));
        let worked = tokio::select! {
            broken = always.join_next() => broken.context("the watch")?.context("the watch ended")?,
            died = reapers.join_next() => died.context("a reaper")?.context("a reaper ended")?.map(drop),
            worked = self.work(lab) => worked,
        };
        worked?;
        end.cancel();
        let mut ended = Vec::new();
        while let Some(reaper) = reapers.join_next().await {
            ended.push(reaper??);
        }
        ended.iter().try_for_each(Reaper::check_memory)?;
        verdict::at_the_end(lab).await
    }

    /// The busy hours, then the calm in which everything ends.
    async fn work(self, lab: &Arc<Lab>) -> Result<()> {
        let mut busy = JoinSet::new();
        for number in 0..self.pipelines {
            let mut pipeline = Pipeline::new(number, self.seed, Arc::clone(lab));
            busy.spawn(async move {
                pipeline.work(self.time).await?;
                Ok::<_, anyhow::Error>(pipeline)
            });
        }
        let mut weather = JoinSet::new();
        weather.spawn(weather::make(Arc::clone(lab), self.seed, self.time));
        let mut pipelines = Vec::new();
        while pipelines.len() < usize::try_from(self.pipelines)? {
            tokio::select! {
                done = busy.join_next() => pipelines.push(done.context("a pipeline")???),
                () = tokio::time::sleep(LOOK) => verdict::meanwhile(lab)?,
            }
        }
        while let Some(calm) = weather.join_next().await {
            calm??;
        }
        // What was held up by the last fault ends by its own limits.
        tokio::time::sleep(LOOK).await;
        for mut pipeline in pipelines {
            pipeline.finish().await?;
        }
        self.wait_for_the_end(lab).await
    }

    async fn wait_for_the_end(self, lab: &Lab) -> Result<()> {
        let until = lab.passed() + PATIENCE;
        loop {
            let left = lab.left_over();
            if left.is_empty() {
                lab.note("all", "nothing is left");
                return Ok(());
            }
            ensure!(lab.passed() < until, "left over: {left:#?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}
