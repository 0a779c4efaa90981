//! A pool under the daemon's eyes: surveyed once, then told by events, until it is asked to end.
//!
//! ```text
//!            +--------------------------- every ten minutes, or events were lost ---------------------------+
//!            v                                                                                              |
//!  start -> blind --surveyed--> watching --something due, by the carried clock--> a look at the clock -> deletions
//!            ^                     |  ^------------------ an event, a deletion ended, the next due time --------+
//!            +--- not readable ----+
//! ```
//! While blind nothing is decided. A pool with nothing due costs one long poll a minute and, every ten minutes, a survey.

mod figures;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use xenapi::{EventClass, Interest, Loss, Notice, Pool, Ref, Subscription, Uuid, Vm};

use crate::act::Deed;
use crate::chronicle::Chronicle;
use crate::clock::OwnClock;
use crate::ground::{Crew, Ground, Job, Memories};
use crate::listen::{Health, Pulse};
use crate::metrics::{Deletion, Metrics, PoolMetrics, RailState};
use crate::once::{AT_ONCE, is_first};
use crate::policy::{Mode, Policy};
use crate::report;
use crate::survey::{Applied, SurveyError};

/// How often everything is listed anew although events told of each change.
const RELIST: Duration = Duration::from_secs(600);
/// How long a loop may be without a sign of life: a survey of a large pool takes its time.
const SILENCE: Duration = Duration::from_secs(1300);
/// How often a loop looks at what it knows, without asking anybody.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// The same while a rail holds something back: a person may have let it go.
const HELD: Duration = Duration::from_secs(5);
/// How often the clock is looked at while a rail waits for it to stand still.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Between an event and a decision: an operation makes several.
const SETTLE: Duration = Duration::from_millis(30);
/// At most this part of the time goes into looks at what is known: that of a large pool takes milliseconds, and events may come all the time.
const SHARE: u32 = 20;
/// How late a decision may be because of that.
const LATEST: Duration = Duration::from_secs(1);
/// How often tickets are cleared away: the next one that is taken clears too, and those that are left harm nobody.
const CLEAR: Duration = Duration::from_secs(60);
/// How long something is left alone whose deletion was given up.
const REST: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the history may take to tell what it knows; it goes on beside.
const RECOLLECTION: Duration = Duration::from_secs(60);
/// How long logging out may take.
const LOGOUT: Duration = Duration::from_millis(1500);

/// What all loops of a daemon share.
#[derive(Clone)]
pub struct Shared {
    /// The rules.
    pub policy: Policy,
    /// What is remembered.
    pub memories: Arc<Memories>,
    /// The figures.
    pub metrics: Metrics,
    /// The signs of life.
    pub health: Health,
    /// What is written down for later.
    pub chronicle: Chronicle,
    /// Ends all loops after the steps in hand.
    pub stop: CancellationToken,
    /// The clock by which jumps of the pools' clocks are noticed.
    pub own_clock: OwnClock,
    /// Which pool was met under which name.
    pub met: Arc<Mutex<BTreeMap<Uuid, String>>>,
}

/// A loop over one pool.
struct Watch {
    shared: Shared,
    client: Arc<Pool>,
    metrics: PoolMetrics,
    pulse: Pulse,
}

/// The state of the loop while the pool is under its eyes.
struct Tended {
    ground: Ground,
    crew: JoinSet<(Job, Deed)>,
    /// What each task of the crew deletes: a task that breaks off does not say.
    at_work: HashMap<Id, Uuid>,
    /// Jobs that wait for a free hand.
    waiting: Vec<Job>,
    /// What goes on beside, and is dropped at the end.
    asides: JoinSet<()>,
    /// What was given up, and until when it is left alone.
    resting: BTreeMap<Uuid, Instant>,
    /// When to look at what is known.
    wake: Instant,
    /// And not before this.
    rested: Instant,
    /// When to list everything anew.
    relist: Instant,
    /// When tickets may be cleared away again.
    clear: Instant,
    /// When the clock was looked at.
    looked: Instant,
    /// The survey is not to be acted on.
    is_blind: bool,
}

/// Watches a pool until it is asked to end; logs out then.
pub async fn watch(client: Arc<Pool>, shared: Shared) {
    let metrics = shared.metrics.pool(client.name());
    metrics.counts_requests_of(&client);
    let pulse = shared.health.watch(format!("pool {}", client.name()), SILENCE);
    let watch = Watch {
        metrics,
        pulse,
        client,
        shared,
    };
    watch.run().await;
    watch.client.logout(LOGOUT).await;
    watch.pulse.retire();
}

impl Watch {
    async fn run(&self) {
        let stop = &self.shared.stop;
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            self.pulse.tick();
            let opened = Ground::open(
                Arc::clone(&self.client),
                self.shared.policy.clone(),
                Mode::Daemon(self.shared.own_clock),
                Arc::clone(&self.shared.memories),
                stop.clone(),
            );
            let opened = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                opened = opened => opened,
            };
            match opened {
                Ok(ground) if is_first(&self.shared.met, &ground.survey) => return self.tend(ground).await,
                Ok(_) => return self.stand_by().await,
                Err(error) => {
                    self.unreadable(&error);
                    self.rest(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The pool is another loop's, and so are its figures.
    async fn stand_by(&self) {
        self.shared.metrics.remove(self.client.name());
        while !self.shared.stop.is_cancelled() {
            self.pulse.tick();
            self.rest(LONGEST_PAUSE).await;
        }
    }

    /// Waits, or until the end is asked for.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.shared.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn unreadable(&self, error: &SurveyError) {
        tracing::warn!(pool = self.client.name(), %error, "the pool was not read; nothing is deleted there");
        self.metrics.unreadable();
        self.metrics.rail(error.rail(), RailState::Active);
    }

    async fn tend(&self, ground: Ground) {
        // The listing was taken from a token on which the first call goes on: nothing falls between.
        let interest = Interest::classes(&[EventClass::Vm, EventClass::Pool]);
        let mut events = self.client.watcher().subscribe(interest);
        let now = Instant::now();
        let mut tended = Tended {
            ground,
            crew: JoinSet::new(),
            at_work: HashMap::new(),
            waiting: Vec::new(),
            asides: JoinSet::new(),
            resting: BTreeMap::new(),
            wake: now,
            rested: now,
            relist: now + RELIST,
            clear: now,
            looked: now,
            is_blind: false,
        };
        self.surveyed(&mut tended);
        let recollection = self
            .shared
            .chronicle
            .recollect(&tended.ground.survey, tended.ground.now());
        // A history that is slow to answer holds up no deletion.
        tended.asides.spawn(async move {
            let _ = tokio::time::timeout(RECOLLECTION, recollection).await;
        });
        while self.step(&mut tended, &mut events).await {
            self.pulse.tick();
        }
        while let Some(ended) = tended.crew.join_next_with_id().await {
            self.ended(&mut tended, ended);
        }
        tended.asides.shutdown().await;
        tended.ground.remember();
    }

    /// Waits for one thing to happen and does what follows; says whether to go on.
    async fn step(&self, tended: &mut Tended, events: &mut Subscription) -> bool {
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return false,
            Some(ended) = tended.crew.join_next_with_id(), if !tended.crew.is_empty() => {
                self.ended(tended, ended);
                self.send(tended);
                tended.wake = Instant::now();
            }
            () = sleep_until(tended.relist) => self.survey(tended).await,
            () = sleep_until(tended.wake.max(tended.rested)), if !tended.is_blind => self.pass(tended).await,
            notice = events.next() => return self.heard(tended, notice).await,
            Some(_) = tended.asides.join_next(), if !tended.asides.is_empty() => {}
        }
        true
    }

    /// Holds back what is not begun yet while anything about the pool is in doubt; what waits is decided upon anew.
    fn hold(&self, tended: &mut Tended) {
        let ground = &mut tended.ground;
        let is_held = tended.is_blind || ground.survey.is_paused || !ground.rails().is_empty();
        ground.hold(is_held);
        if is_held {
            for job in tended.waiting.drain(..) {
                ground.release(&job.decision.uuid());
            }
        }
    }

    /// Lists everything anew; while that fails, the loop is blind.
    async fn survey(&self, tended: &mut Tended) {
        let surveyed = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return,
            surveyed = tended.ground.survey() => surveyed,
        };
        match surveyed {
            Ok(()) => self.surveyed(tended),
            Err(error) => {
                self.unreadable(&error);
                self.be_blind(tended);
            }
        }
    }

    fn be_blind(&self, tended: &mut Tended) {
        tended.is_blind = true;
        tended.relist = Instant::now() + LOOK_AGAIN;
        self.hold(tended);
    }

    fn surveyed(&self, tended: &mut Tended) {
        let now = Instant::now();
        tended.is_blind = false;
        tended.relist = now + RELIST;
        tended.wake = now;
        self.metrics.read();
        self.metrics.succeeded(Timestamp::now());
        for rail in figures::OF_LISTINGS {
            self.metrics.rail(rail, RailState::Clear);
        }
        self.hold(tended);
        self.shared
            .chronicle
            .surveyed(&tended.ground.survey, tended.ground.now());
    }

    async fn heard(&self, tended: &mut Tended, notice: Notice) -> bool {
        match notice {
            Notice::Change(change) => {
                let applied = tended.ground.survey.apply(&change);
                self.applied(tended, applied).await;
            }
            Notice::Reached(_) => {}
            Notice::Lost(Loss::Closed) => return false,
            Notice::Lost(Loss::Unreachable(error)) => {
                tracing::warn!(pool = self.client.name(), %error, "the pool cannot be listened to");
                self.metrics.unreadable();
                self.be_blind(tended);
            }
            Notice::Lost(Loss::Fresh | Loss::Overflow | Loss::Interrupted) => {
                // Whose database it is now is not known before the survey.
                self.be_blind(tended);
                self.survey(tended).await;
            }
        }
        true
    }

    async fn applied(&self, tended: &mut Tended, applied: Applied) {
        match applied {
            Applied::Nothing => return,
            Applied::Changed(vm) => self.told(tended, &vm),
            Applied::Gone(sight) => {
                if !tended.ground.is_in_hand(&sight.uuid) {
                    self.shared.chronicle.vanished(&sight, tended.ground.now());
                }
            }
            Applied::Unreadable(vm) => {
                if let Ok(record) = self.client.vm().record(&vm).await {
                    tended.ground.survey.put(&vm, &record);
                    self.told(tended, &vm);
                }
            }
            Applied::Pool => {
                tended.ground.follow_coordinator();
                self.hold(tended);
            }
        }
        tended.wake = tended.wake.min(Instant::now() + SETTLE);
    }

    fn told(&self, tended: &mut Tended, vm: &Ref<Vm>) {
        let ground = &mut tended.ground;
        if let Some(sight) = ground.survey.sights.get(vm) {
            ground.memory.see_lease(&sight.marks);
            self.shared.chronicle.seen(&ground.survey, sight);
        }
    }

    /// Looks at what is known; asks for the time only if something may be due, and then acts.
    async fn pass(&self, tended: &mut Tended) {
        let begun = Instant::now();
        self.wake_the_resting(tended);
        tended.ground.heed_acknowledgements();
        let (mut plan, mut now) = tended.ground.estimate();
        tended.rested = Instant::now() + (begun.elapsed() * (SHARE - 1)).min(LATEST);
        let waits_for_clock = !tended.ground.rails().is_empty() && tended.looked.elapsed() >= LOOK_AGAIN;
        let clears =
            plan.has_leftover_tickets() && tended.clear <= Instant::now() && tended.ground.crew().may_clear_tickets();
        if !plan.deletions().is_empty() || clears || waits_for_clock || tended.ground.is_timeless() {
            tended.looked = begun;
            match tended.ground.plan().await {
                Ok(looked) => (plan, now) = looked,
                Err(error) => {
                    tracing::warn!(pool = self.client.name(), %error, "the coordinator's clock was not read; nothing is deleted");
                    self.metrics.unreadable();
                    tended.wake = begun + LOOK_AGAIN;
                    return;
                }
            }
            self.metrics.read();
            self.hold(tended);
            let jobs = tended.ground.jobs(&plan);
            for job in &jobs {
                tended.ground.begin(job);
            }
            tended.waiting.extend(jobs);
            self.send(tended);
            if clears && plan.has_leftover_tickets() {
                self.clear_tickets(tended, now);
            }
            self.shared.metrics.cycle(begun.elapsed());
            tended.ground.remember();
        }
        figures::show(&self.metrics, &plan, now);
        let quarantined = tended.ground.memory.quarantined();
        self.metrics.quarantined(u64::try_from(quarantined).unwrap_or_default());
        self.shared.metrics.history_queue(self.shared.chronicle.waiting());
        let until_next = plan.next.map_or(HEARTBEAT, |next| figures::until(next, now));
        let most = if plan.held_back > 0 { HELD } else { HEARTBEAT };
        tended.wake = Instant::now() + until_next.min(most);
    }

    /// Clears tickets away beside everything else: no deletion waits for that.
    fn clear_tickets(&self, tended: &mut Tended, now: Timestamp) {
        tended.clear = Instant::now() + CLEAR;
        let (crew, metrics) = (Arc::clone(tended.ground.crew()), self.metrics.clone());
        let board = tended.ground.survey.tickets.clone();
        tended.asides.spawn(async move {
            match crew.clear_tickets(&board, now).await {
                Ok(cleared) => metrics.cleared_tickets(cleared.into()),
                Err(why) => tracing::warn!(pool = crew.client.name(), why, "tickets are not cleared away"),
            }
        });
    }

    fn wake_the_resting(&self, tended: &mut Tended) {
        let now = Instant::now();
        let awake: Vec<Uuid> = tended
            .resting
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(uuid, _)| *uuid)
            .collect();
        for uuid in awake {
            tended.resting.remove(&uuid);
            tended.ground.release(&uuid);
        }
    }

    /// Gives waiting jobs to free hands.
    fn send(&self, tended: &mut Tended) {
        while tended.crew.len() < AT_ONCE && !tended.waiting.is_empty() {
            let job = tended.waiting.remove(0);
            let uuid = job.decision.uuid();
            let task = tended.crew.spawn(carry_out(Arc::clone(tended.ground.crew()), job));
            tended.at_work.insert(task.id(), uuid);
        }
    }

    fn ended(&self, tended: &mut Tended, ended: Result<(Id, (Job, Deed)), JoinError>) {
        let now = tended.ground.now();
        let (job, deed) = match ended {
            Ok((id, ended)) => {
                tended.at_work.remove(&id);
                ended
            }
            Err(broken) => {
                tracing::error!(pool = self.client.name(), error = %broken, "a deletion broke off");
                self.metrics.deletion(Deletion::Failed);
                if let Some(uuid) = tended.at_work.remove(&broken.id()) {
                    tended.ground.release(&uuid);
                    tended.ground.memory.failed(&uuid, "it broke off".to_owned(), now);
                }
                return;
            }
        };
        report::ended(self.client.name(), &job.decision, &deed);
        self.metrics.deletion(figures::result(&deed));
        tended.ground.ended(&job, &deed, now);
        self.shared.chronicle.deleted(&tended.ground.survey, &job, &deed, now);
        let uuid = job.decision.uuid();
        match deed {
            Deed::GivenUp { .. } => {
                tended.resting.insert(uuid, Instant::now() + REST);
            }
            Deed::Deleted { .. } | Deed::Gone | Deed::Failed { .. } => tended.ground.release(&uuid),
        }
    }
}

fn carry_out(crew: Arc<Crew>, job: Job) -> BoxFuture<'static, (Job, Deed)> {
    Box::pin(async move {
        let deed = crew.carry_out(&job).await;
        (job, deed)
    })
}
