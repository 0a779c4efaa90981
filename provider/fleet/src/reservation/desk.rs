//! One pool's desk, for one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use ulid::Ulid;
use xenapi::{PoolObject, Ref};

use super::drive::{Driver, Halt, Nowhere, read};
use crate::error::Error;
use crate::ticket::{Board, Clearing, Kind, Machine, Refusal, Released, Releasing, Room, Taken, Taking, Ticket};

/// What the desk asks of whoever knows the pool.
pub trait Surroundings: Sync {
    /// What a look shows.
    type Room: Room + Send;

    /// What the coordinator's clock shows, right to some seconds.
    ///
    /// # Errors
    /// It could not be read.
    fn now(&self) -> impl Future<Output = Result<Timestamp, Error>> + Send;

    /// Looks at the pool's servers, as far as these tickets are about them. What was seen before the call does not count: the tickets are
    /// read first.
    ///
    /// # Errors
    /// They could not be seen.
    fn look(&self, tickets: &Board) -> impl Future<Output = Result<Self::Room, Error>> + Send;
}

/// A ticket that was admitted. Nobody relies on it within [`crate::ticket::MARGIN`] of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The ticket.
    pub ticket: Ticket,
    /// Its number in the pool.
    pub number: u64,
}

/// What came of asking for a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// The room is held until the pass is released or its time is over.
    Held(Pass),
    /// There is none, and nothing is left of the ticket.
    Refused(Refusal),
    /// The ticket never stayed in the pool: something else keeps writing there.
    Unsettled,
    /// The role may not write tickets. It was said.
    NoRole,
}

/// What came of clearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidied {
    /// So many numbers were cleared.
    Cleared(u32),
    /// The role may not. It was said.
    NoRole,
}

/// Takes, releases and clears the tickets of a pool. One for each pool and process.
pub struct Desk {
    client: Arc<xenapi::Pool>,
    pool: Ref<PoolObject>,
    tasks: TaskTracker,
    is_denied: AtomicBool,
}

impl Desk {
    /// Makes one; contacts nothing. What may be done later is done in `tasks`.
    pub fn new(client: Arc<xenapi::Pool>, pool: Ref<PoolObject>, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            client,
            pool,
            tasks,
            is_denied: AtomicBool::new(false),
        })
    }

    /// Takes a ticket. Dropped half-way, it is released in the background.
    ///
    /// # Errors
    /// The pool could not be asked. What may have been taken is released in the background, or ends by its time.
    pub async fn take(self: &Arc<Self>, ticket: Ticket, around: &impl Surroundings) -> Result<Admission, Error> {
        if self.is_denied() {
            return Ok(Admission::NoRole);
        }
        let mut driver = Driver::new(&self.client, &self.pool, around);
        let mut attempt = Attempt {
            desk: self,
            taking: Taking::new(ticket),
            is_settled: false,
        };
        let ended = driver.drive(&mut attempt.taking).await;
        attempt.is_settled = !matches!(ended, Err(Halt::Failed(_)));
        if let Some((board, now)) = driver.into_seen() {
            self.clear_later(board, now);
        }
        match ended {
            Ok(taken) => Ok(admission(taken, attempt.taking.ticket())),
            Err(Halt::NoRole(cause)) => {
                self.deny(&cause);
                Ok(Admission::NoRole)
            }
            // Admitted, it holds: what it replaces is released in the background, and never itself.
            Err(Halt::Failed(error)) => match attempt.taking.admitted() {
                Some((number, rest)) => {
                    attempt.is_settled = true;
                    self.later(rest);
                    Ok(admission(Taken::Admitted(number), attempt.taking.ticket()))
                }
                None => Err(error),
            },
        }
    }

    /// Releases a ticket. Once more is harmless.
    ///
    /// # Errors
    /// The pool refused it; the ticket ends by its time.
    pub async fn release(&self, pass: &Pass) -> Result<Released, Error> {
        let releasing = Releasing::new([(pass.number, pass.ticket.id)]);
        self.carry_out(releasing).await.map_err(Halt::into_error)
    }

    /// Releases all tickets of a reservation, as far as they are there.
    ///
    /// # Errors
    /// The pool could not be read, or refused it; the tickets end by their time.
    pub async fn release_reservation(&self, of: Ulid) -> Result<Released, Error> {
        let board = self.board().await?;
        let own = board.live(Timestamp::MIN);
        let own = own.filter(|(_, ticket)| ticket.reservation() == Some(of));
        let releasing = Releasing::new(own.map(|(number, ticket)| (number, ticket.id)));
        self.carry_out(releasing).await.map_err(Halt::into_error)
    }

    /// Reads all tickets.
    ///
    /// # Errors
    /// The pool could not be read.
    pub async fn board(&self) -> Result<Board, Error> {
        read(&self.client, &self.pool).await
    }

    /// Clears away what is released or over.
    ///
    /// # Errors
    /// The pool could not be asked, or refused it.
    pub async fn clear(&self, board: &Board, now: Timestamp) -> Result<Tidied, Error> {
        match self.carry_out(Clearing::new(board, now)).await {
            Ok(cleared) => Ok(Tidied::Cleared(cleared)),
            Err(Halt::NoRole(cause)) => {
                self.deny(&cause);
                Ok(Tidied::NoRole)
            }
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    /// Says whether the pool has refused to let this user write tickets.
    pub fn is_denied(&self) -> bool {
        self.is_denied.load(Ordering::Acquire)
    }

    /// Clears without making anybody wait.
    fn clear_later(self: &Arc<Self>, board: Board, now: Timestamp) {
        if !board.leftovers(now).is_empty() {
            self.later(Clearing::new(&board, now));
        }
    }

    /// Does something without making anybody wait. Tickets that are left end by their time, and somebody clears them.
    fn later(self: &Arc<Self>, machine: impl Machine<End: Send> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let desk = Arc::clone(self);
        let work = async move {
            if let Err(halt) = desk.carry_out(machine).await {
                tracing::debug!(error = %halt.into_error(), "tickets are left behind");
            }
        };
        self.tasks.spawn_on(work, &runtime);
    }

    async fn carry_out<M: Machine>(&self, mut machine: M) -> Result<M::End, Halt> {
        let mut driver = Driver::new(&self.client, &self.pool, &Nowhere);
        driver.drive(&mut machine).await
    }

    /// Says, once, what the role lacks.
    fn deny(&self, cause: &xenapi::Error) {
        if !self.is_denied.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                pool = self.client.name(),
                role = "pool-operator",
                %cause,
                "this user may not write tickets: room in this pool is not held against other processes"
            );
        }
    }
}

fn admission(taken: Taken, ticket: &Ticket) -> Admission {
    match taken {
        Taken::Admitted(number) => Admission::Held(Pass {
            ticket: ticket.clone(),
            number,
        }),
        Taken::Refused(refusal) => Admission::Refused(refusal),
        Taken::Unsettled => Admission::Unsettled,
    }
}

/// A ticket that is being taken: given up half-way, it is released.
struct Attempt<'a> {
    desk: &'a Arc<Desk>,
    taking: Taking,
    is_settled: bool,
}

impl Attempt<'_> {
    /// Releases what is left of it in the background. A change that was admitted stays, and what it replaces goes: both gone would be the
    /// end of the reservation.
    fn let_go(&mut self) {
        self.is_settled = true;
        let is_change = matches!(self.taking.ticket().kind, Kind::Change { .. });
        match (self.taking.admitted(), self.taking.number()) {
            (Some((_, replaced)), _) if is_change => self.desk.later(replaced),
            (_, Some(number)) => self.desk.later(Releasing::new([(number, self.taking.ticket().id)])),
            (_, None) => {}
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.let_go();
        }
    }
}
