//! One pool under a reaper: its survey, its clock, what is remembered of it, and the plan that follows from all three.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use xenapi::{Pool, Uuid};

use crate::act::{Deed, Hands};
use crate::clock::{PoolClock, own_seconds, wall_ahead};
use crate::decide::{Circumstances, Decision, Plan, Target, decide};
use crate::memory::{Acknowledged, Memory, PoolMemory, StateDir};
use crate::policy::{Mode, Policy};
use crate::rails::Rail;
use crate::sight::Sight;
use crate::steadiness::{Reading, Steadiness};
use crate::survey::{Stray, Survey, SurveyError};
use tokio_util::sync::CancellationToken;

/// How long a cycle is, in seconds: so many deletions as one cycle may see are begun within this time.
const CYCLE_SECONDS: i64 = 60;

/// What is remembered of all pools, and where.
#[derive(Debug)]
pub struct Memories {
    state: StateDir,
    memory: Mutex<Memory>,
}

/// A pool under a reaper.
pub struct Ground {
    /// The survey, kept true by events.
    pub survey: Survey,
    /// What is remembered, but for clocks.
    pub memory: PoolMemory,
    /// What the clocks and the coordinator did.
    pub steadiness: Steadiness,
    crew: Arc<Crew>,
    mode: Mode,
    memories: Arc<Memories>,
    /// When deletions were begun lately, by the own clock.
    begun: VecDeque<i64>,
    /// What is being deleted, or was let go a moment ago.
    in_hand: BTreeSet<Uuid>,
    /// What the coordinator's clock showed last.
    looked: Timestamp,
}

/// What it takes to delete something in a pool; shared by all deletions there.
pub struct Crew {
    /// The pool.
    pub client: Arc<Pool>,
    /// Its clock.
    pub clock: PoolClock,
    /// The rules.
    pub policy: Policy,
    /// Ends deletions after the step in hand.
    pub stop: CancellationToken,
}

/// A decision to delete, with what it is about.
#[derive(Debug, Clone)]
pub struct Job {
    /// The decision.
    pub decision: Decision,
    thing: Thing,
}

#[derive(Debug, Clone)]
enum Thing {
    Vm(Box<Sight>),
    Disk(Box<Stray>),
}

impl Memories {
    /// Reads what is remembered.
    pub fn load(state: StateDir) -> Self {
        let memory = Mutex::new(state.memory());
        Self { state, memory }
    }

    fn of(&self, pool: &Uuid) -> PoolMemory {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).of(pool)
    }

    fn acknowledged(&self) -> Acknowledged {
        self.state.acknowledged()
    }

    /// What cannot be written is remembered by this process alone: the next one holds back where this one would not.
    fn put(&self, pool: &Uuid, memory: PoolMemory) {
        let mut all = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        all.put(pool, memory);
        if let Err(error) = self.state.remember(&all) {
            tracing::warn!(folder = %self.state.path().display(), %error, "nothing can be remembered");
        }
    }
}

impl Ground {
    /// Surveys a pool for the first time.
    ///
    /// # Errors
    /// The pool was not read whole.
    pub async fn open(
        client: Arc<Pool>,
        policy: Policy,
        mode: Mode,
        memories: Arc<Memories>,
        stop: CancellationToken,
    ) -> Result<Self, SurveyError> {
        let survey = Survey::take(&client).await?;
        client.pin_identity(survey.uuid);
        let mut memory = memories.of(&survey.uuid);
        let steadiness = std::mem::take(&mut memory.steadiness).on_clock_ahead_by(-wall_ahead(mode));
        let clock = PoolClock::new(Arc::clone(&client), survey.coordinator.clone());
        let crew = Crew {
            client,
            clock,
            policy,
            stop,
        };
        let mut ground = Self {
            survey,
            memory,
            steadiness,
            crew: Arc::new(crew),
            mode,
            memories,
            begun: VecDeque::new(),
            in_hand: BTreeSet::new(),
            looked: Timestamp::UNIX_EPOCH,
        };
        ground.look().await?;
        Ok(ground)
    }

    /// Surveys the pool anew.
    ///
    /// # Errors
    /// The pool was not read whole; the old survey stays, and is not to be acted on.
    pub async fn survey(&mut self) -> Result<(), SurveyError> {
        let survey = Survey::take(&self.crew.client).await?;
        if survey.uuid != self.survey.uuid {
            return Err(SurveyError::OtherPool {
                expected: self.survey.uuid,
                found: survey.uuid,
            });
        }
        self.survey = survey;
        self.follow_coordinator();
        Ok(())
    }

    /// The clock of another coordinator is another clock.
    pub fn follow_coordinator(&mut self) {
        let crew = &self.crew;
        if crew.clock.coordinator() != &self.survey.coordinator {
            self.crew = Arc::new(Crew {
                client: Arc::clone(&crew.client),
                clock: PoolClock::new(Arc::clone(&crew.client), self.survey.coordinator.clone()),
                policy: crew.policy.clone(),
                stop: crew.stop.clone(),
            });
        }
    }

    /// Looks at the coordinator's clock, and notes how it stands against the own one.
    ///
    /// # Errors
    /// The call failed.
    pub async fn look(&mut self) -> Result<Timestamp, xenapi::Error> {
        let now = self.crew.clock.look().await?;
        self.looked = now;
        let reading = Reading::new(own_seconds(self.mode), now);
        self.steadiness.observe(reading, self.survey.coordinator_uuid);
        Ok(now)
    }

    /// Decides about everything, by a look at the clock.
    ///
    /// # Errors
    /// The clock could not be read.
    pub async fn plan(&mut self) -> Result<(Plan, Timestamp), xenapi::Error> {
        let now = self.look().await?;
        self.memory.see(self.survey.seen_twice(now), now);
        let own = own_seconds(self.mode);
        self.begun.retain(|begun| own.saturating_sub(*begun) < CYCLE_SECONDS);
        Ok((self.plan_at(now), now))
    }

    /// Decides by what the clock shows probably, without asking anybody: says whether it is worth a look. Nothing is to be
    /// deleted by it.
    pub fn estimate(&self) -> (Plan, Timestamp) {
        let now = self.now();
        (self.plan_at(now), now)
    }

    /// Says whether the present coordinator's clock was never looked at.
    pub fn is_timeless(&self) -> bool {
        self.crew.clock.estimate().is_none()
    }

    /// What the coordinator's clock shows probably.
    pub fn now(&self) -> Timestamp {
        self.crew.clock.estimate().unwrap_or(self.looked)
    }

    fn plan_at(&self, now: Timestamp) -> Plan {
        let at = Circumstances {
            now,
            policy: &self.crew.policy,
            mode: self.mode,
            memory: &self.memory,
            acknowledged: &self.memories.acknowledged(),
            steadiness: &self.rails(),
            allowance: self.crew.policy.max_deletions.saturating_sub(self.begun.len()),
            in_hand: &self.in_hand,
        };
        decide(&self.survey, &at)
    }

    /// What the clocks and the coordinator say at this moment.
    pub fn rails(&self) -> Vec<Rail> {
        self.steadiness.rails(own_seconds(self.mode))
    }

    /// What a plan says is to be deleted, what has waited longest first.
    pub fn jobs(&self, plan: &Plan) -> Vec<Job> {
        let jobs = plan.deletions().into_iter().filter_map(|decision| {
            let thing = match &decision.target {
                Target::Vm(vm) => Thing::Vm(Box::new(self.survey.sights.get(vm)?.clone())),
                Target::Disk(vdi, _) => {
                    let stray = self.survey.strays.iter().find(|stray| stray.vdi == *vdi)?;
                    Thing::Disk(Box::new(stray.clone()))
                }
            };
            let decision = decision.clone();
            Some(Job { decision, thing })
        });
        jobs.collect()
    }

    /// Notes that a deletion begins.
    pub fn begin(&mut self, job: &Job) {
        self.begun.push_back(own_seconds(self.mode));
        self.in_hand.insert(job.decision.uuid());
    }

    /// Says whether something is being deleted, or was let go a moment ago.
    pub fn is_in_hand(&self, uuid: &Uuid) -> bool {
        self.in_hand.contains(uuid)
    }

    /// Lets something be decided upon again.
    pub fn release(&mut self, uuid: &Uuid) {
        self.in_hand.remove(uuid);
    }

    /// Notes how a deletion ended.
    pub fn ended(&mut self, job: &Job, deed: &Deed, now: Timestamp) {
        let uuid = job.decision.uuid();
        match deed {
            Deed::Failed { why } => self.memory.failed(&uuid, why.clone(), now),
            Deed::Deleted { .. } | Deed::Gone => {
                let text = uuid.to_string();
                self.memory.keep_failures(|failed| failed != text);
                self.forget(&job.decision.target);
            }
            Deed::GivenUp { .. } => {}
        }
    }

    fn forget(&mut self, target: &Target) {
        match target {
            Target::Vm(vm) => {
                self.survey.sights.remove(vm);
            }
            Target::Disk(vdi, _) => self.survey.strays.retain(|stray| stray.vdi != *vdi),
        }
    }

    /// Writes down what must be remembered.
    pub fn remember(&mut self) {
        let there = self.survey.everything();
        self.memory.keep_failures(|uuid| there.contains(uuid));
        let mut memory = self.memory.clone();
        memory.steadiness = self.steadiness.clone().on_clock_ahead_by(wall_ahead(self.mode));
        self.memories.put(&self.survey.uuid, memory);
    }

    /// What it takes to delete something here.
    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }
}

impl Crew {
    /// Deletes one thing.
    pub async fn carry_out(&self, job: &Job) -> Deed {
        let hands = Hands {
            client: &self.client,
            clock: &self.clock,
            policy: &self.policy,
            stop: &self.stop,
        };
        match &job.thing {
            Thing::Vm(sight) => hands.reap(sight).await,
            Thing::Disk(stray) => hands.reap_disk(stray).await,
        }
    }
}

impl Job {
    /// The VM as it was when it was decided upon, if it is one.
    pub fn sight(&self) -> Option<&Sight> {
        match &self.thing {
            Thing::Vm(sight) => Some(sight),
            Thing::Disk(_) => None,
        }
    }
}
