//! One look at every pool: what `plan` prints, and what `run --once` does. Both decide alike.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::future::{join, join_all};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use xenapi::{Pool, Uuid};

use crate::act::Deed;
use crate::decide::{Decision, Plan};
use crate::ground::{Ground, Job, Memories};
use crate::policy::{Mode, Policy};
use crate::survey::{Survey, SurveyError};

/// How many deletions are under way in one pool at once; those on one SR stand in line by themselves.
pub const AT_ONCE: usize = 25;

/// What one look takes.
pub struct Once {
    /// The pools.
    pub clients: Vec<Arc<Pool>>,
    /// The rules.
    pub policy: Policy,
    /// What is remembered.
    pub memories: Arc<Memories>,
    /// Ends everything after the steps in hand.
    pub stop: CancellationToken,
}

/// A pool, looked at.
pub struct Looked {
    /// The pool's name, as configured.
    pub pool: String,
    /// What it holds and what is decided, or why it was not read.
    pub outcome: Result<Seen, SurveyError>,
}

/// A pool that was read, and what was decided about it.
pub struct Seen {
    /// The pool.
    pub ground: Ground,
    /// The decisions.
    pub plan: Plan,
    /// The coordinator's clock at that moment.
    pub now: Timestamp,
}

/// What became of the decisions about one pool.
pub struct Done {
    /// The pool's name.
    pub pool: String,
    /// The decisions and what came of each deletion, or why the pool was not read.
    pub outcome: Result<(Plan, Vec<(Decision, Deed)>), SurveyError>,
    /// How many tickets were cleared away.
    pub cleared_tickets: u32,
}

/// How a run ended: its exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was due is gone.
    Done,
    /// Some deletions or pools failed.
    Partly,
    /// A rail held something back.
    HeldBack,
    /// No pool could be reached.
    Unreachable,
}

/// Hears how a run goes.
pub trait Listener: Sync {
    /// A pool was looked at.
    fn looked(&self, _ground: &Ground, _now: Timestamp) {}

    /// A deletion ended.
    fn ended(&self, _ground: &Ground, _job: &Job, _deed: &Deed) {}
}

/// Nobody listens.
impl Listener for () {}

/// Says whether no other entry has led to this pool.
pub(crate) fn is_first(met: &Mutex<BTreeMap<Uuid, String>>, survey: &Survey) -> bool {
    let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
    let first = met.entry(survey.uuid).or_insert_with(|| survey.pool.clone());
    if *first == survey.pool {
        return true;
    }
    tracing::warn!(
        pool = survey.pool,
        same_as = *first,
        "the same pool under another name: looked after once"
    );
    false
}

impl Once {
    /// Looks at all pools at once and decides. A pool that is configured twice is looked at once.
    pub async fn look(&self) -> Vec<Looked> {
        let looks = self.clients.iter().map(|client| async move {
            let outcome = self.look_at(client).await;
            Looked {
                pool: client.name().to_owned(),
                outcome,
            }
        });
        let met = Mutex::default();
        let mut looked = join_all(looks).await;
        looked.retain(|looked| match &looked.outcome {
            Ok(seen) => is_first(&met, &seen.ground.survey),
            Err(_) => true,
        });
        looked
    }

    async fn look_at(&self, client: &Arc<Pool>) -> Result<Seen, SurveyError> {
        let open = Ground::open(
            Arc::clone(client),
            self.policy.clone(),
            Mode::Once,
            Arc::clone(&self.memories),
            self.stop.clone(),
        );
        let mut ground = open.await?;
        let (plan, now) = ground.plan().await?;
        Ok(Seen { ground, plan, now })
    }

    /// Looks at all pools and does what is decided; pools do not wait for each other, nor for one that does not answer. A pool that
    /// is configured twice is run over once.
    pub async fn run(&self, told: &dyn Listener) -> Vec<Done> {
        let met = Mutex::default();
        let runs = self.clients.iter().map(|client| self.run_over(client, &met, told));
        join_all(runs).await.into_iter().flatten().collect()
    }

    async fn run_over(
        &self,
        client: &Arc<Pool>,
        met: &Mutex<BTreeMap<Uuid, String>>,
        told: &dyn Listener,
    ) -> Option<Done> {
        let mut cleared_tickets = 0;
        let outcome = match self.look_at(client).await {
            Ok(seen) if is_first(met, &seen.ground.survey) => {
                told.looked(&seen.ground, seen.now);
                let clearing = clear_tickets(&seen);
                let (done, cleared) = join(Self::carry_out(seen, told), clearing).await;
                cleared_tickets = cleared;
                Ok(done)
            }
            Ok(_) => return None,
            Err(error) => Err(error),
        };
        let pool = client.name().to_owned();
        Some(Done {
            pool,
            outcome,
            cleared_tickets,
        })
    }

    async fn carry_out(seen: Seen, told: &dyn Listener) -> (Plan, Vec<(Decision, Deed)>) {
        let Seen { mut ground, plan, now } = seen;
        let jobs = ground.jobs(&plan);
        let crew = Arc::clone(ground.crew());
        let crew = &crew;
        let deeds = futures::stream::iter(jobs).map(|job| async move {
            let deed = crew.carry_out(&job).await;
            (job, deed)
        });
        let mut deeds = deeds.buffer_unordered(AT_ONCE);
        let mut done = Vec::new();
        while let Some((job, deed)) = deeds.next().await {
            ground.ended(&job, &deed, now);
            told.ended(&ground, &job, &deed);
            done.push((job.decision, deed));
        }
        ground.remember();
        (plan, done)
    }
}

/// Clears tickets away beside the deletions. That some stay harms nobody, and is no failure of the run.
fn clear_tickets(seen: &Seen) -> impl Future<Output = u32> + use<> {
    let has_leftovers = seen.plan.has_leftover_tickets();
    let (crew, board, now) = (
        Arc::clone(seen.ground.crew()),
        seen.ground.survey.tickets.clone(),
        seen.now,
    );
    async move {
        if !has_leftovers {
            return 0;
        }
        let cleared = crew.clear_tickets(&board, now).await;
        cleared.unwrap_or_else(|why| {
            tracing::warn!(pool = crew.client.name(), why, "tickets are not cleared away");
            0
        })
    }
}

impl Ending {
    /// Sums up a run.
    pub fn of(done: &[Done]) -> Self {
        let is_unread = |done: &Done| {
            matches!(
                done.outcome,
                Err(SurveyError::Call(_) | SurveyError::Nameless | SurveyError::OtherPool { .. })
            )
        };
        let is_held = |done: &Done| match &done.outcome {
            Ok((plan, _)) => plan.held_back > 0,
            Err(SurveyError::Incomplete { .. }) => true,
            Err(SurveyError::Call(_) | SurveyError::Nameless | SurveyError::OtherPool { .. }) => false,
        };
        let has_failed = |done: &Done| match &done.outcome {
            Ok((_, deeds)) => deeds.iter().any(|(_, deed)| matches!(deed, Deed::Failed { .. })),
            Err(_) => true,
        };
        if !done.is_empty() && done.iter().all(is_unread) {
            Ending::Unreachable
        } else if done.iter().any(is_held) {
            Ending::HeldBack
        } else if done.iter().any(has_failed) {
            Ending::Partly
        } else {
            Ending::Done
        }
    }

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::Partly => 3,
            Ending::HeldBack => 4,
            Ending::Unreachable => 6,
        }
    }
}
