//! The one long poll of a pool and process.
//!
//! ```text
//!   idle --first subscription--> listening --last subscription gone--> idle (the token stays good for a while)
//!                                 |  ^ ^ |
//!              error, new session v  | | | all who are there are patient, and were told a moment ago
//!                        interrupted-+ | v
//!     new token; every subscriber is   resting: until it is time, somebody hurries, or one comes who is not patient
//!     told what it may have missed
//! ```
//! Each call of `event.from` costs the coordinator a scan of the subscribed classes at every wake-up, so there is one call for
//! everybody. When somebody wants a further class, the call is dropped and made again with the same token: tokens are bound neither
//! to classes nor, in xapi, to a session; but after a restart or failover the generation may have gone back, and the session ends
//! with either, so a token is used within its session only.
//!
//! While the [patient](super::Interest::patient) rest, calls for the others go on: what only the patient want is left out of them. So it is with those
//! [on call](super::Interest::on_call) while nobody hurries them. [`tempo`](super::tempo) decides which call comes next, and [`points`](super::points)
//! knows from where each goes on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::debug;

use super::mailbox::{Interest, Loss, Mailbox, Subscription, Urgency};
use super::points::Points;
use super::poll::{names, read_all, read_on};
use super::tempo::{Lane, Next, Wanted};
use super::{Delta, EventClass, Token};
use crate::error::{Error, ErrorKind, Outcome};
use crate::failure::Failure;
use crate::record::PoolObject;
use crate::reference::Ref;
use crate::retry::Caller;
use crate::transport::{Call, Repeat};
use crate::wire::Value;

/// How long one call waits; a proxy may cut longer ones.
const WAIT: Duration = Duration::from_secs(60);
/// The pool remembers the last 256 deletions of a class; after this long too many may have come.
const TOKEN_LIFE: Duration = Duration::from_secs(120);
/// Between an answer and the next call: changes come in bursts (a start is a dozen), which one answer can tell together, and a subscriber that has what it
/// waited for is gone before a call is made in vain. What comes meanwhile is told by the next call at once.
const PAUSE: Duration = Duration::from_millis(50);
/// The same while only the prompt are served: they wait for a guest's address, which takes seconds, or for the end of a task.
const PROMPT_PAUSE: Duration = Duration::from_millis(150);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
const MIN_BACKOFF: Duration = Duration::from_millis(250);

/// Listens to the pool while somebody is interested.
pub struct Watcher {
    shared: Arc<Shared>,
}

struct Shared {
    pool: String,
    caller: Arc<Caller>,
    state: Mutex<State>,
    /// Tells the loop that the interest changed.
    wake: Arc<Notify>,
}

/// A subscriber is there as long as its place is held.
struct Subscriber {
    mailbox: Arc<Mailbox>,
    place: Weak<()>,
}

#[derive(Default)]
struct State {
    subscribers: Vec<Subscriber>,
    points: Points,
    is_running: bool,
}

/// A call that is to be made.
struct Round {
    lane: Lane,
    classes: BTreeSet<EventClass>,
    wait: Duration,
}

impl Round {
    fn new(known: &Wanted, lane: Lane, limit: Duration) -> Self {
        Self {
            lane,
            classes: known.classes(lane).clone(),
            wait: limit.min(WAIT),
        }
    }
}

impl Watcher {
    pub(crate) fn new(pool: &str, caller: Arc<Caller>) -> Self {
        Self {
            shared: Arc::new(Shared {
                pool: pool.to_owned(),
                caller,
                state: Mutex::new(State::default()),
                wake: Arc::new(Notify::new()),
            }),
        }
    }

    /// Begins to listen. Subscribe first, read then, wait last: so nothing falls between. If listening was not possible from this very
    /// moment on, [`Loss::Fresh`] or [`Loss::Interrupted`] says so.
    pub fn subscribe(&self, interest: Interest) -> Subscription {
        let mailbox = Mailbox::new(interest);
        let place = Arc::new(());
        let shared = &self.shared;
        let sessions = shared.caller.sessions();
        let mut since = None;
        if sessions.closing().is_cancelled() {
            mailbox.lose(Loss::Closed);
        } else {
            let mut state = shared.state();
            state.subscribers.push(Subscriber {
                mailbox: Arc::clone(&mailbox),
                place: Arc::downgrade(&place),
            });
            if !state.is_running {
                state.is_running = true;
                if state.points.is_older(TOKEN_LIFE) {
                    state.points.forget();
                }
                sessions.tasks().spawn(listen(Arc::clone(shared)));
            }
            since = state.points.of(Lane::of(mailbox.urgency())).cloned();
        }
        shared.wake.notify_one();
        Subscription::new(mailbox, Arc::clone(&shared.wake), place, since)
    }

    /// Takes over a token that was got by other means, so that the first subscriber needs no call for one.
    pub(crate) fn prime(&self, token: &Token) {
        let mut state = self.shared.state();
        if !state.is_running {
            state.points.begin(token.clone());
        }
    }

    /// Touches an object; gives a point that all events of before have been passed at.
    pub(crate) async fn inject(&self, pool: &Ref<PoolObject>, limit: Duration) -> Result<Token, Error> {
        let call = Call {
            method: "event.inject",
            params: vec![Value::text("pool"), Value::text(pool.as_str())],
            limit,
            repeat: Repeat::Idempotent,
            object: Some(pool.as_str().to_owned()),
        };
        let (text, generation) = self.shared.caller.value_on::<String>(call).await?;
        if text.is_empty() {
            let kind = ErrorKind::Malformed("it is no token".to_owned());
            return Err(Error::new(kind, Outcome::MaybeSent, &self.shared.pool, "event.inject"));
        }
        Ok(Token::new(Arc::from(text), generation))
    }

    /// Reads everything at once.
    pub(crate) async fn read(&self, classes: &[EventClass]) -> Result<Delta, Error> {
        read_all(&self.shared.caller, &self.shared.pool, classes).await
    }

    /// Reads what changed since a token, at once.
    pub(crate) async fn read_since(&self, interest: &Interest, token: &Token) -> Result<Delta, Error> {
        let Shared { pool, caller, .. } = &*self.shared;
        let stale = || Error::new(ErrorKind::StaleToken, Outcome::NotSent, pool, "event.from");
        let session = caller.sessions().get().await?;
        if session.generation != token.generation {
            return Err(stale());
        }
        let list = interest.subscriptions();
        let result = read_on(caller, pool, &session, list, &token.text, Duration::ZERO).await;
        result.map_err(|error| if spoils_token(&error) { stale() } else { error })
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        write!(
            f,
            "Watcher({}, running {}, {:?})",
            self.shared.pool, state.is_running, state.points
        )
    }
}

impl State {
    /// Notes that these have been told.
    fn told(&mut self, lane: Lane, token: Token) {
        let manned: Vec<Lane> = self.mailboxes().map(|mailbox| Lane::of(mailbox.urgency())).collect();
        self.points.told(lane, token, |lane| manned.contains(&lane));
    }

    /// Those who are there still.
    fn mailboxes(&mut self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.subscribers
            .retain(|subscriber| subscriber.place.strong_count() > 0);
        self.subscribers.iter().map(|subscriber| &subscriber.mailbox)
    }

    /// Those whom a call serves.
    fn served(&mut self, lane: Lane) -> Vec<Arc<Mailbox>> {
        let served = self.mailboxes().filter(|mailbox| lane.serves(mailbox.urgency()));
        served.cloned().collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.state().mailboxes().cloned().collect()
    }

    /// Says what is wanted and what comes next, or ends the loop when nobody is there: in one step, so that no subscriber falls between.
    fn wanted(&self) -> Option<(Wanted, Next)> {
        let mut state = self.state();
        let wanted = Wanted::of(state.mailboxes().map(|mailbox| &**mailbox));
        if state.subscribers.is_empty() {
            state.is_running = false;
            return None;
        }
        let next = wanted.next(|lane| state.points.age(lane));
        Some((wanted, next))
    }

    fn lose(&self, loss: &Loss) {
        for mailbox in self.mailboxes() {
            mailbox.lose(loss.clone());
        }
    }

    fn forget_points(&self) {
        self.state().points.forget();
    }

    /// Hands out what an answer tells of these classes. If somebody has come meanwhile who wants others too, the next call begins
    /// where this one began: what changed in those is told by none before it.
    ///
    /// All of it is one step: whoever subscribes in between would go on from a token whose changes it has not been told.
    fn deliver(&self, delta: Delta, round: &Round) {
        let mut state = self.state();
        let mailboxes = state.served(round.lane);
        for change in delta.changes {
            let change = Arc::new(change);
            for mailbox in &mailboxes {
                mailbox.put(&change);
            }
        }
        if are_covered(&mailboxes, &round.classes) {
            for mailbox in &mailboxes {
                mailbox.reach(&delta.token);
            }
            state.told(round.lane, delta.token);
        }
    }
}

fn are_covered(mailboxes: &[Arc<Mailbox>], classes: &BTreeSet<EventClass>) -> bool {
    mailboxes.iter().all(|mailbox| mailbox.classes().is_subset(classes))
}

/// Tells whether changes may be missed when the old token is used again.
fn spoils_token(error: &Error) -> bool {
    error.is_failure(|failure| {
        failure.is_token_invalid()
            || failure.is_session_invalid()
            || failure.is_other_master()
            || failure.is_emergency()
    })
}

async fn listen(shared: Arc<Shared>) {
    let closing = shared.caller.sessions().closing().clone();
    // Classes only grow while the loop runs: dropping a call costs a connection, and leaves the pool waiting for its time limit.
    let mut known = Wanted::default();
    let mut failures = 0_u32;
    while let Some((wanted, next)) = shared.wanted() {
        if closing.is_cancelled() {
            break;
        }
        known.grow(&wanted);
        let Some(round) = round(&shared, &known, next).await else {
            continue;
        };
        let result = tokio::select! {
            () = closing.cancelled() => break,
            () = interest_changed(&shared, &round) => continue,
            result = step(&shared, &round) => result,
        };
        let Err(error) = result else {
            failures = 0;
            continue;
        };
        debug!(pool = %shared.pool, error = %error, "listening was interrupted");
        failures += 1;
        // One broken connection is no loss: the same token is good for the next call.
        if failures == 2 {
            shared.forget_points();
            shared.lose(&Loss::Unreachable(error));
        }
        let backoff = MIN_BACKOFF.saturating_mul(1 << failures.min(6)).min(MAX_BACKOFF);
        tokio::select! {
            () = closing.cancelled() => break,
            () = tokio::time::sleep(backoff) => {}
        }
    }
    if closing.is_cancelled() {
        shared.lose(&Loss::Closed);
        shared.state().is_running = false;
    }
}

/// The call that comes next; `None` after a rest, as something else may be wanted by then.
async fn round(shared: &Shared, known: &Wanted, next: Next) -> Option<Round> {
    let rest = match next {
        Next::Call(lane, limit) => return Some(Round::new(known, lane, limit)),
        Next::Rest(rest) => rest,
    };
    let generation = shared.state().points.of(Lane::Far).map(|token| token.generation);
    let replaced = async {
        match generation {
            Some(generation) => shared.caller.sessions().replaced(generation).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = shared.caller.sessions().closing().cancelled() => None,
        () = shared.wake.notified() => None,
        () = tokio::time::sleep(rest) => None,
        // The patient must hear at once that they may have missed something.
        () = replaced => Some(Round::new(known, Lane::Far, Duration::ZERO)),
    }
}

/// Ends when the call in flight is not the one that is wanted any more: it does not cover a class, or those it leaves out are in a hurry, or nobody
/// wants anything.
async fn interest_changed(shared: &Shared, round: &Round) {
    loop {
        shared.wake.notified().await;
        let mailboxes = shared.mailboxes();
        // A call for the patient is over at once.
        let left_out = |mailbox: &Arc<Mailbox>| mailbox.urgency() == Urgency::Hurried && round.lane == Lane::Prompt;
        if mailboxes.is_empty()
            || mailboxes.iter().any(left_out)
            || !are_covered(&shared.state().served(round.lane), &round.classes)
        {
            return;
        }
    }
}

/// Makes one call: for a token if there is none, else for changes.
async fn step(shared: &Shared, round: &Round) -> Result<(), Error> {
    let session = shared.caller.sessions().get().await?;
    let token = shared.state().points.of(round.lane).cloned();
    let usable = token.as_ref().filter(|token| token.generation == session.generation);
    let Some(usable) = usable else {
        // The pool's own record is a single one: the cheapest way to a token.
        let delta = read_all(&shared.caller, &shared.pool, &[EventClass::Pool]).await?;
        let loss = if token.is_some() {
            Loss::Interrupted
        } else {
            Loss::Fresh
        };
        shared.state().points.begin(delta.token);
        shared.lose(&loss);
        return Ok(());
    };
    let list = names(&round.classes);
    let result = tokio::select! {
        result = read_on(&shared.caller, &shared.pool, &session, list, &usable.text, round.wait) => result,
        () = shared.caller.sessions().replaced(session.generation) => return Ok(()),
    };
    match result {
        Ok(delta) => {
            shared.deliver(delta, round);
            let pause = match round.lane {
                Lane::Far | Lane::Near => PAUSE,
                Lane::Prompt => PROMPT_PAUSE,
            };
            tokio::time::sleep(pause).await;
            Ok(())
        }
        Err(error) if spoils_token(&error) => {
            if error.is_failure(Failure::is_token_invalid) {
                shared.forget_points();
            }
            // By the next step there is another session, or another token.
            Err(error)
        }
        Err(error) => Err(error),
    }
}
