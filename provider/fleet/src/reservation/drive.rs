//! Carries out the steps of a machine, one call after another.

use std::sync::Arc;

use jiff::Timestamp;
use xenapi::{Failure, Outcome, PoolObject, Ref};

use super::desk::Surroundings;
use crate::error::{Error, VmName};
use crate::ticket::{Board, Call, Heard, Hold, Machine, Room, Served, Step};

const WRITING: &str = "writing tickets";

/// Why a machine was not driven to its end.
pub(super) enum Halt {
    /// The role may not do it.
    NoRole(xenapi::Error),
    /// The pool could not be asked, or refused.
    Failed(Error),
}

impl Halt {
    pub(super) fn into_error(self) -> Error {
        match self {
            Halt::NoRole(cause) => Error::call(WRITING, VmName::unknown(), cause),
            Halt::Failed(error) => error,
        }
    }
}

/// What carries out steps.
pub(super) struct Driver<'a, S> {
    client: &'a xenapi::Pool,
    pool: &'a Ref<PoolObject>,
    around: &'a S,
    seen: Option<(Board, Timestamp)>,
}

/// For machines that neither look at servers nor judge by the time.
pub(super) struct Nowhere;

impl<'a, S: Surroundings> Driver<'a, S> {
    pub(super) fn new(client: &'a Arc<xenapi::Pool>, pool: &'a Ref<PoolObject>, around: &'a S) -> Self {
        Self {
            client,
            pool,
            around,
            seen: None,
        }
    }

    /// The tickets that were read last.
    pub(super) fn into_seen(self) -> Option<(Board, Timestamp)> {
        self.seen
    }

    pub(super) async fn drive<M: Machine>(&mut self, machine: &mut M) -> Result<M::End, Halt> {
        let mut step = machine.next(Heard::Nothing);
        loop {
            step = match step {
                Step::Read => {
                    let (board, now) = self.read().await.map_err(Halt::Failed)?;
                    self.seen = Some((board.clone(), now));
                    machine.next(Heard::Read(board, now))
                }
                Step::Look => {
                    let (tickets, _) = self.seen.get_or_insert_default();
                    let room = self.around.look(tickets).await.map_err(Halt::Failed)?;
                    machine.next(Heard::Servers(&room))
                }
                Step::Add { key, value } => {
                    let added = self.client.pool().add_to_other_config(self.pool, &key, &value).await;
                    machine.next(Heard::Call(heard(added)?))
                }
                Step::Remove(key) => {
                    let removed = self.client.pool().remove_from_other_config(self.pool, &key).await;
                    machine.next(Heard::Call(heard(removed)?))
                }
                Step::Done(end) => return Ok(end),
            };
        }
    }

    /// The tickets first, the clock then: nothing is over by a time that was not when they were read.
    async fn read(&self) -> Result<(Board, Timestamp), Error> {
        let board = read(self.client, self.pool).await?;
        Ok((board, self.around.now().await?))
    }
}

/// Reads all tickets of a pool.
pub(super) async fn read(client: &xenapi::Pool, pool: &Ref<PoolObject>) -> Result<Board, Error> {
    let read = client.pool().get_other_config(pool).await;
    let map = read.map_err(|cause| Error::call("reading tickets", VmName::unknown(), cause))?;
    Ok(Board::read(
        map.iter().map(|(key, value)| (key.as_str(), value.as_str())),
    ))
}

fn heard(answer: Result<(), xenapi::Error>) -> Result<Call, Halt> {
    match answer {
        Ok(()) => Ok(Call::Done),
        Err(error) if error.is_failure(Failure::is_duplicate_key) => Ok(Call::AlreadyThere),
        Err(error) if error.is_failure(Failure::is_permission) => Err(Halt::NoRole(error)),
        Err(error) if error.outcome() == Outcome::MaybeSent => Ok(Call::Unknown),
        Err(cause) => Err(Halt::Failed(Error::call(WRITING, VmName::unknown(), cause))),
    }
}

impl Surroundings for Nowhere {
    type Room = Self;

    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(Timestamp::MIN)
    }

    async fn look(&self, _: &Board) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Room for Nowhere {
    fn servers(&self) -> &[Served] {
        &[]
    }

    fn takes(&self, _: &[Hold], _: &Hold) -> bool {
        false
    }
}
