//! One pool under a reaper: its survey, its clock, what is remembered of it, and the plan that follows from all three.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fleet::lease::{Expiry, mint};
use fleet::reservation::{Desk, Tidied};
use fleet::ticket::Board;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;
use xenapi::{Pool, PoolObject, Ref, Uuid};

use crate::act::{Deed, Hands};
use crate::clock::{PoolClock, own_seconds, wall_ahead};
use crate::decide::{Circumstances, Decision, Lately, Plan, Target, decide};
use crate::memory::{Acknowledged, Memory, PoolMemory, StateDir};
use crate::policy::{Mode, Policy};
use crate::rails::{MASS_YOUNG_SECONDS, Rail, is_young};
use crate::sight::Sight;
use crate::steadiness::{Reading, Steadiness};
use crate::survey::{Stray, Survey, SurveyError, is_paused};

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
    /// The own claims that stand on VMs whose deletion broke off.
    claims: BTreeMap<Uuid, Ulid>,
    /// What was deleted lately: when, by the own clock, and whether by a young mark.
    lately: VecDeque<(i64, bool)>,
    /// The marks that a person has let go.
    acknowledged: Acknowledged,
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
    mode: Mode,
    pool: Ref<PoolObject>,
    desk: Arc<Desk>,
    /// A rail has come up since: nothing is begun any more.
    is_held: Arc<AtomicBool>,
}

/// A decision to delete, with what it is about.
#[derive(Debug, Clone)]
pub struct Job {
    /// The decision.
    pub decision: Decision,
    thing: Thing,
    /// The identity of the claim: the same for each attempt, so that claims do not pile up.
    claim: Ulid,
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
        let desk = Desk::new(Arc::clone(&client), survey.reference.clone(), TaskTracker::new());
        let crew = Crew {
            client,
            clock,
            desk,
            policy,
            stop,
            mode,
            pool: survey.reference.clone(),
            is_held: Arc::default(),
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
            claims: BTreeMap::new(),
            lately: VecDeque::new(),
            acknowledged: Acknowledged::new(),
        };
        ground.heed_acknowledgements();
        ground.see_leases();
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
        self.see_leases();
        self.follow_coordinator();
        // On an idle pool nothing else asks for the time.
        self.look().await?;
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
                mode: self.mode,
                pool: self.survey.reference.clone(),
                desk: Arc::clone(&crew.desk),
                is_held: Arc::clone(&crew.is_held),
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
        Ok((self.plan_at(now), now))
    }

    /// Decides by what the clock shows probably, without asking anybody: says whether it is worth a look. Nothing is to be
    /// deleted by it.
    pub fn estimate(&mut self) -> (Plan, Timestamp) {
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

    fn plan_at(&mut self, now: Timestamp) -> Plan {
        self.note(now);
        let at = Circumstances {
            now,
            policy: &self.crew.policy,
            mode: self.mode,
            memory: &self.memory,
            acknowledged: &self.acknowledged,
            steadiness: &self.rails(),
            allowance: self.crew.policy.max_deletions.saturating_sub(self.begun.len()),
            in_hand: &self.in_hand,
            lately: Lately {
                servers: self.lately.len(),
                by_young_marks: self.lately.iter().filter(|(_, is_young)| *is_young).count(),
            },
        };
        decide(&self.survey, &at)
    }

    /// Notes the leases of a whole pool; those that change are noted one by one.
    fn see_leases(&mut self) {
        for sight in self.survey.sights.values().filter(|sight| sight.marks.is_managed()) {
            self.memory.see_lease(&sight.marks);
        }
    }

    /// Notes what must be remembered of what is seen now.
    fn note(&mut self, now: Timestamp) {
        self.memory.see(self.survey.seen_twice(now), now);
        let own = own_seconds(self.mode);
        self.begun.retain(|begun| own.saturating_sub(*begun) < CYCLE_SECONDS);
        self.lately
            .retain(|(ended, _)| own.saturating_sub(*ended) < MASS_YOUNG_SECONDS);
    }

    /// Reads what a person has acknowledged since.
    pub fn heed_acknowledgements(&mut self) {
        self.acknowledged = self.memories.acknowledged();
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
            let claim = self.claims.get(&decision.uuid()).copied();
            Some(Job {
                decision: decision.clone(),
                thing,
                claim: claim.unwrap_or_else(|| mint(self.looked)),
            })
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

    /// Holds back what is not begun yet, also where a hand is reaching for it, or lets it go again.
    pub fn hold(&self, is_held: bool) {
        self.crew.is_held.store(is_held, Ordering::Release);
    }

    /// Notes how a deletion ended.
    pub fn ended(&mut self, job: &Job, deed: &Deed, now: Timestamp) {
        let uuid = job.decision.uuid();
        match deed {
            Deed::Failed { why } => {
                self.memory.failed(&uuid, why.clone(), now);
                self.claims.insert(uuid, job.claim);
            }
            Deed::Deleted { .. } | Deed::Gone => {
                let text = uuid.to_string();
                self.memory.keep_failures(|failed| failed != text);
                self.claims.remove(&uuid);
                self.forget(&job.decision.target);
            }
            Deed::GivenUp { .. } => {}
        }
        if let (Deed::Deleted { .. }, Some(sight)) = (deed, job.sight()) {
            let is_young = match sight.marks.expiry() {
                Expiry::Lease(expires) => is_young(expires.made_at(), now),
                Expiry::Creating(_) | Expiry::Never => false,
            };
            self.lately.push_back((own_seconds(self.mode), is_young));
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
        self.memory.keep_leases(|uuid| there.contains(uuid));
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
            is_held: &self.is_held,
        };
        match self.why_not_now().await {
            Ok(None) => {}
            Ok(Some(why)) => return Deed::GivenUp { why },
            Err(error) => return Deed::Failed { why: error.to_string() },
        }
        match &job.thing {
            Thing::Vm(sight) => hands.reap(sight, job.claim).await,
            Thing::Disk(stray) => hands.reap_disk(stray).await,
        }
    }

    /// Says whether this user may clear tickets away, as far as it is known.
    pub fn may_clear_tickets(&self) -> bool {
        !self.desk.is_denied()
    }

    /// Clears away tickets that hold nothing any more, as a plan of that moment says; gives how many. That the role is missing is
    /// said once, and is no failure.
    ///
    /// # Errors
    /// Why the pool could not be asked, or what it refused for.
    pub async fn clear_tickets(&self, board: &Board, now: Timestamp) -> Result<u32, String> {
        if self.why_not_now().await.map_err(|error| error.to_string())?.is_some() {
            return Ok(0);
        }
        match self.desk.clear(board, now).await {
            Ok(Tidied::Cleared(cleared)) => Ok(cleared),
            Ok(Tidied::NoRole) => Ok(0),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Says why nothing may be begun any more although it was decided upon. A daemon is told by events; whoever runs once asks.
    async fn why_not_now(&self) -> Result<Option<String>, xenapi::Error> {
        if self.is_held.load(Ordering::Acquire) {
            return Ok(Some("a rail has come up since".to_owned()));
        }
        match self.mode {
            Mode::Daemon(_) => Ok(None),
            Mode::Once => {
                let pool = self.client.pool().record(&self.pool).await?;
                if is_paused(&pool) {
                    return Ok(Some("the pool was paused since".to_owned()));
                }
                let is_other = pool.master != *self.clock.coordinator();
                Ok(is_other.then(|| "the pool has another coordinator since".to_owned()))
            }
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
