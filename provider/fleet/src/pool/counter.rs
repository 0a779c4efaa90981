//! The counter: the servers of one process ask for tickets together.
//!
//! ```text
//!  server, its host chosen ---> waiting ---> one ticket for several of a kind ---> held, until the last of them runs
//!                                  ^                    |                           (first of all for its turn at the SRs)
//!                                  +--- one by one -----+ refused as a whole
//! ```
//! Tickets are numbered by a test-and-set, so many of one process at once would only be in each other's way. Whoever waits while one is
//! being taken goes into the next.
//!
//! Nobody is in a hurry who could not be cloned yet: as long as others of this process that have tickets stand in line at its SRs, it waits
//! for company. So it does for a moment while many are under way: of a run of thousands one comes when another is done, and each would take a
//! ticket of its own. A server that is alone, or one of a dozen, waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use ulid::Ulid;
use xenapi::{Host, Ref, Sr};

use super::line::{Asking, Line, Next, Patience};
use super::{Member, later, whole_seconds};
use crate::capacity::{HeldRoom, Kind};
use crate::error::Error;
use crate::inventory::{Freshness, Inventory};
use crate::lease::mint;
use crate::reservation::{Admission, Desk, Pass, Surroundings};
use crate::ticket::{Board, Kind as TicketKind, Refusal, Ticket};

/// How many have tickets where one more waits for company: more than Terraform makes at once unless it is told to.
const CROWD: usize = 16;
/// How long it does: little beside the seconds that a clone, a start and a boot take.
const COMPANY: Duration = Duration::from_millis(250);

/// Where servers ask for tickets.
#[derive(Default)]
pub(crate) struct Counter {
    line: Mutex<Line>,
    /// Tells that somebody came, or that a turn did.
    moved: Notify,
    /// How many with tickets stand in line at each SR.
    ahead: Mutex<BTreeMap<Ref<Sr>, usize>>,
    /// How many have tickets and do not run yet.
    under_way: AtomicUsize,
    /// This process's own, from before they are seen by anybody until they are seen to be released.
    tickets: Mutex<BTreeMap<Ulid, Own>>,
}

/// What has become of a ticket of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// It is being taken, or it holds.
    Held,
    /// It was released; the picture may lag behind.
    Released,
}

/// What a server asks for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) host: Ref<Host>,
    /// The SRs at which it waits for its turn to be cloned; none if it does not.
    pub(crate) lines: BTreeSet<Ref<Sr>>,
    /// The reservation to draw from.
    pub(crate) draws_from: Option<Ulid>,
    /// How long it may take until the server runs, or nothing is left of it.
    pub(crate) lasts: Duration,
    /// Who asks.
    pub(crate) owner: String,
}

/// What comes of asking.
pub(crate) enum Answer {
    /// The room is held.
    Held(Held),
    /// It is not.
    Refused(Refusal),
    /// There are no tickets for this user: it goes on without.
    Without,
}

/// A server's share of a ticket.
pub(crate) struct Held {
    share: Arc<Share>,
    /// Until its turn has come.
    in_line: Option<InLine>,
    is_over: bool,
}

/// A place in line at the SRs.
struct InLine {
    member: Arc<Member>,
    srs: BTreeSet<Ref<Sr>>,
}

struct Share {
    member: Arc<Member>,
    desk: Arc<Desk>,
    pass: Pass,
    left: AtomicU32,
}

impl Counter {
    /// Asks for the room of one server.
    pub(crate) async fn ask(&self, member: &Arc<Member>, request: Request) -> Result<Answer, Error> {
        let (answer, told) = oneshot::channel();
        {
            let mut line = self.line();
            line.waiting.push_back(Asking {
                request,
                since: Instant::now(),
                is_alone: false,
                answer,
            });
            if !line.is_served {
                line.is_served = true;
                member.tasks.spawn(serve(Arc::clone(member)));
            }
        }
        self.moved.notify_one();
        // Whoever serves goes without an answer only when the runtime ends.
        told.await.unwrap_or(Err(Error::Cancelled { left: None }))
    }

    /// The tickets that are this process's, as far as a board may show them still.
    pub(crate) fn tickets(&self, board: &Board) -> BTreeSet<Ulid> {
        let mut tickets = self.own();
        tickets.retain(|id, own| *own == Own::Held || board.numbers_of(*id).next().is_some());
        tickets.keys().copied().collect()
    }

    fn mint(&self, now: Timestamp) -> Ulid {
        let id = mint(now);
        self.own().insert(id, Own::Held);
        id
    }

    fn released(&self, ticket: Ulid) {
        self.own().insert(ticket, Own::Released);
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<Ulid, Own>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a server can wait for company.
    fn patience(&self, asking: &Asking) -> Patience {
        if self.is_behind(&asking.request) {
            Patience::Behind
        } else if self.under_way.load(Ordering::Acquire) >= CROWD {
            Patience::Until(asking.since + COMPANY)
        } else {
            Patience::None
        }
    }

    /// Says whether others with tickets come before a server at its SRs.
    fn is_behind(&self, request: &Request) -> bool {
        let ahead = self.ahead();
        request.lines.iter().any(|sr| ahead.contains_key(sr))
    }

    fn ahead(&self) -> MutexGuard<'_, BTreeMap<Ref<Sr>, usize>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(share: &Arc<Share>, lines: &BTreeSet<Ref<Sr>>) -> Self {
        share.member.counter.under_way.fetch_add(1, Ordering::AcqRel);
        Self {
            share: Arc::clone(share),
            in_line: Some(InLine::new(&share.member, lines)),
            is_over: false,
        }
    }

    /// The ticket.
    pub(crate) fn ticket(&self) -> Ulid {
        self.share.pass.ticket.id
    }

    /// Its turn has come: it stands in nobody's way any more.
    pub(crate) fn leaves_the_line(&mut self) {
        self.in_line = None;
    }

    /// The server runs, or nothing is left of it: the last one releases the ticket. That goes on when nobody waits for it any more.
    pub(crate) async fn release(mut self) {
        if let Some(releasing) = self.let_go() {
            // It ends early only with the runtime; the ticket then ends by its time.
            let _ended = releasing.await;
        }
    }

    fn let_go(&mut self) -> Option<JoinHandle<()>> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let counter = &self.share.member.counter;
        counter.under_way.fetch_sub(1, Ordering::AcqRel);
        counter.moved.notify_one();
        if !self.share.is_last() {
            return None;
        }
        // Without a runtime nothing can be released any more: the ticket ends by its time.
        let runtime = Handle::try_current().ok()?;
        let share = Arc::clone(&self.share);
        let tasks = &self.share.member.tasks;
        Some(tasks.spawn_on(async move { share.release().await }, &runtime))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.let_go());
    }
}

impl InLine {
    fn new(member: &Arc<Member>, srs: &BTreeSet<Ref<Sr>>) -> Self {
        let mut ahead = member.counter.ahead();
        for sr in srs {
            *ahead.entry(sr.clone()).or_default() += 1;
        }
        drop(ahead);
        Self {
            member: Arc::clone(member),
            srs: srs.clone(),
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let counter = &self.member.counter;
        let mut ahead = counter.ahead();
        for sr in &self.srs {
            if let Some(others) = ahead.get_mut(sr) {
                *others -= 1;
            }
        }
        ahead.retain(|_, others| *others > 0);
        drop(ahead);
        counter.moved.notify_one();
    }
}

impl Share {
    fn is_last(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    async fn release(&self) {
        if let Err(error) = self.desk.release(&self.pass).await {
            tracing::warn!(pool = self.member.name(), %error, "a ticket holds room until its time is over");
        }
        self.member.counter.released(self.pass.ticket.id);
        self.member.wrote();
    }
}

/// Serves the line until nobody waits.
async fn serve(member: Arc<Member>) {
    let counter = &member.counter;
    loop {
        let next = {
            let mut line = counter.line();
            let next = line.next(|asking| counter.patience(asking));
            line.is_served = !matches!(next, Next::Nobody);
            next
        };
        match next {
            Next::Batch(batch) => take(&member, batch).await,
            // What has moved since it was looked is told still.
            Next::Later(None) => counter.moved.notified().await,
            Next::Later(Some(end)) => drop(tokio::time::timeout_at(end, counter.moved.notified()).await),
            Next::Nobody => return,
        }
    }
}

/// Takes one ticket for a batch and tells each what came of it.
async fn take(member: &Arc<Member>, batch: Vec<Asking>) {
    let requests: Vec<Request> = batch.iter().map(|asking| asking.request.clone()).collect();
    match ticket_for(member, &requests).await {
        Ok((desk, Admission::Held(pass))) => {
            let share = Arc::new(Share {
                member: Arc::clone(member),
                desk,
                pass,
                left: AtomicU32::new(u32::try_from(batch.len()).unwrap_or(u32::MAX)),
            });
            for asking in batch {
                let held = Held::new(&share, &asking.request.lines);
                // Whoever does not wait any more gives its share back by dropping it.
                drop(asking.answer.send(Ok(Answer::Held(held))));
            }
        }
        Ok((_, Admission::Refused(_))) if batch.len() > 1 => {
            let mut line = member.counter.line();
            for asking in batch.into_iter().rev() {
                line.waiting.push_front(Asking {
                    is_alone: true,
                    ..asking
                });
            }
        }
        Ok((_, Admission::Refused(refusal))) => tell(batch, || Ok(Answer::Refused(refusal))),
        Ok((_, Admission::NoRole)) => tell(batch, || Ok(Answer::Without)),
        Ok((_, Admission::Unsettled)) => tell(batch, || {
            Err(Error::TicketLost {
                pool: member.name().to_owned(),
            })
        }),
        Err(error) => tell(batch, || Err(error.clone())),
    }
}

fn tell(batch: Vec<Asking>, answer: impl Fn() -> Result<Answer, Error>) {
    for asking in batch {
        drop(asking.answer.send(answer()));
    }
}

async fn ticket_for(member: &Arc<Member>, requests: &[Request]) -> Result<(Arc<Desk>, Admission), Error> {
    let fabric = member.fabric().await?;
    let now = member.now().await?;
    let desk = member.desk(&fabric)?;
    let Some(first) = requests.first() else {
        return Ok((desk, Admission::Unsettled));
    };
    let mut hosts = BTreeMap::new();
    for request in requests {
        if let Some(host) = fabric.host_uuid(&request.host) {
            *hosts.entry(host).or_insert(0) += 1;
        }
    }
    let lasts = requests.iter().map(|request| request.lasts).max().unwrap_or_default();
    let ticket = Ticket {
        id: member.counter.mint(now),
        kind: match first.draws_from {
            Some(of) => TicketKind::Draw { of },
            None => TicketKind::Creation,
        },
        each: first.kind.per_server(&fabric),
        hosts,
        until: whole_seconds(later(now, lasts)),
        by: first.owner.clone(),
    };
    // A host that was asked for bars the others, which this ticket may be for as well.
    let around = Around {
        member,
        kind: first.kind.clone().on_host(None),
    };
    let id = ticket.id;
    let admission = desk.take(ticket, &around).await;
    if !matches!(admission, Ok(Admission::Held(_))) {
        member.counter.released(id);
    }
    Ok((desk, admission?))
}

/// A pool as the desk asks about it.
pub(crate) struct Around<'a> {
    pub(crate) member: &'a Arc<Member>,
    pub(crate) kind: Kind,
}

impl Surroundings for Around<'_> {
    type Room = HeldRoom;

    async fn now(&self) -> Result<Timestamp, Error> {
        self.member.now().await
    }

    async fn look(&self, tickets: &Board) -> Result<HeldRoom, Error> {
        // The picture has to pass this very moment: the tickets were read just before.
        self.member.wrote();
        let now = self.member.now().await?;
        let settings = &self.member.settings;
        let see = |inventory: &Inventory| HeldRoom::of(inventory, settings, &self.kind, tickets, now);
        self.member.live.look(self.member, Freshness::OwnWrites, see).await
    }
}
