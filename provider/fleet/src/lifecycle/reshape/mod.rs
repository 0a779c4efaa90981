//! Making a server another one in place: its size, what it is doing, and the host that it runs on.
//!
//! ```text
//!   running --(suspend)--> suspended --(resume)--> running
//!      |  ^                                          another size: stop, set, start where there is room for it
//!   (stop) (start)                                   another host: moved live while it runs; else heeded by the next start
//!      v  |
//!    halted --(set the size)--> halted
//! ```
//! Which steps lead from what is to what is wanted is a pure function ([`steps`]). Before a server is stopped for another size it is known
//! that a host has room for that; if the pool refuses the new size all the same, the server gets its former one back and runs on.
//! Whoever dies half-way leaves a server in one of these states, which the next refresh shows and the next apply leads on from.

mod migrate;
mod power;
mod room;
mod steps;

use std::sync::Arc;

use xenapi::{Host, PowerState as XenState, Ref};

use self::power::Guest as Powered;
use self::room::kind;
use self::steps::{Goal, Part, Step, goes_on, steps};
use super::address::{Before, Guest};
use super::size::{Resized, Size};
use super::start::Starting;
use super::{Bounds, call};
use crate::capacity::Kind;
use crate::error::Error;
use crate::placement::in_section;
use crate::pool::{Loaded, Member, Place};
use crate::spec::{Power, Reshape, ServerKey};

pub(crate) use self::room::possible;

/// A server that is being made another one.
struct Work<'a> {
    member: &'a Arc<Member>,
    /// The pool's name, or that of a section of it.
    pool: &'a str,
    loaded: &'a Loaded,
    wanted: &'a Reshape,
    bounds: &'a Bounds,
    /// The only host that it may be put on.
    host: Option<Ref<Host>>,
    from: Size,
    to: Size,
}

/// Makes a server what is wanted, step by step. `home` is the only host that it may be put on when none is asked for.
pub(super) async fn reshape(
    member: &Arc<Member>,
    key: &ServerKey,
    loaded: &Loaded,
    wanted: &Reshape,
    home: Option<&Ref<Host>>,
    bounds: &Bounds,
) -> Result<(), Error> {
    if !loaded.marks().claims().is_empty() {
        return Err(Error::BeingReaped {
            pool: key.pool.clone(),
            vm: loaded.name(),
        });
    }
    let is = &loaded.vm.power_state;
    let from = Size::of(&loaded.vm);
    let to = from.with(wanted.cpus, wanted.memory_mib);
    let mut goal = Goal {
        power: wanted.power.unwrap_or_else(|| goes_on(is)),
        size: if from == to { Part::Stays } else { Part::Changes },
        moves_to: None,
    };
    // A server that is only stopped needs no host, and one that it cannot have any more is in nobody's way.
    let is_put_somewhere = steps(is, &goal)
        .iter()
        .any(|step| matches!(step, Step::Start | Step::Resume));
    let asked = if wanted.is_moved || is_put_somewhere {
        let fabric = member.fabric().await?;
        let asked = member.host_for(&fabric, wanted.host.as_deref()).await?;
        in_section(&key.pool, &fabric, home, asked.as_ref())?;
        asked
    } else {
        None
    };
    let moves_to = asked.as_ref().filter(|_| wanted.is_moved);
    goal.moves_to = moves_to.filter(|host| **host != loaded.vm.resident_on).cloned();
    let work = Work {
        member,
        pool: &key.pool,
        loaded,
        wanted,
        bounds,
        host: asked.or_else(|| home.cloned()),
        from,
        to,
    };
    work.run(&goal).await
}

impl Work<'_> {
    async fn run(&self, goal: &Goal) -> Result<(), Error> {
        let todo = steps(&self.loaded.vm.power_state, goal);
        let is_stopped_for_size = todo.contains(&Step::Stop) && todo.contains(&Step::Size);
        let mut seat = None;
        if todo.contains(&Step::Start) {
            // Nothing is stopped for which there is no room afterwards.
            seat = Some(self.seat(&self.kind(self.to)).await?);
        }
        for step in &todo {
            let done = self.step(step, goal.power, &mut seat).await;
            self.member.wrote();
            match done {
                Err(error) if is_stopped_for_size && matches!(step, Step::Size | Step::Start) => {
                    drop(seat.take());
                    self.put_back(error).await?;
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn step(&self, step: &Step, power: Power, seat: &mut Option<Place>) -> Result<(), Error> {
        let name = self.loaded.name();
        let guest = Powered {
            member: self.member,
            pool: self.pool,
            vm: &self.loaded.reference,
            record: &self.loaded.vm,
            name: &name,
            bounds: self.bounds,
        };
        match step {
            Step::Stop => guest.stop().await,
            Step::Suspend => guest.suspend().await,
            Step::Resume => guest.resume(self.host.as_ref()).await,
            Step::Unpause => guest.unpause().await,
            Step::Move(host) => guest.move_to(host).await,
            Step::Size => self.resize(self.from, self.to).await,
            Step::Start => self.start(self.to, seat.take()).await,
            Step::Await(before) => self.wait(*before, power).await,
        }
    }

    async fn resize(&self, from: Size, to: Size) -> Result<(), Error> {
        let resized = Resized {
            client: self.member.client()?,
            pool: self.pool,
            vm: &self.loaded.reference,
            name: &self.loaded.name(),
        };
        resized.resize(from, to).await
    }

    async fn start(&self, size: Size, seat: Option<Place>) -> Result<(), Error> {
        let kind = self.kind(size);
        let seat = match seat {
            Some(seat) => seat,
            None => self.seat(&kind).await?,
        };
        let starting = Starting {
            member: self.member,
            pool: self.pool,
            vm: &self.loaded.reference,
            name: &self.loaded.name(),
            kind: &kind,
            place: &seat,
            bounds: self.bounds,
        };
        starting.run().await
    }

    /// Waits for the guest of a server that runs again. One that is to be suspended next needs an agent for it, not an address.
    async fn wait(&self, before: Before, power: Power) -> Result<(), Error> {
        if power == Power::Running && !self.wanted.wait.for_ip {
            return Ok(());
        }
        let mut guest = Guest::new(self.member, self.pool, &self.wanted.wait, self.loaded, before);
        match guest.address().await {
            Err(Error::NoAddress { .. }) if power == Power::Suspended => Ok(()),
            waited => waited.map(|_| ()),
        }
    }

    fn kind(&self, size: Size) -> Kind {
        kind(self.loaded, size, self.host.as_ref())
    }

    /// Gives a server that was stopped for a size which the pool refused the size that it had, and starts it again; the error says how that went.
    /// One that runs with the new size after all, because only an answer was lost, is what was wanted.
    async fn put_back(&self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Gone { .. } | Error::Cancelled { .. }) {
            return Err(error);
        }
        let (error, vm) = (Box::new(error), self.loaded.name());
        match self.runs_again().await {
            Ok(size) if size == self.to => Ok(()),
            Ok(_) => Err(Error::PutBack { error, vm }),
            Err(undo) => Err(Error::NotPutBack {
                error,
                vm,
                undo: Box::new(undo),
            }),
        }
    }

    /// Starts it with its former size, unless it runs; says with which size it does.
    async fn runs_again(&self) -> Result<Size, Error> {
        let vm = &self.loaded.reference;
        let name = self.loaded.name();
        let record = self.member.client()?.vm().record(vm).await;
        let record = record.map_err(call("reading the server", &name))?;
        let is = Size::of(&record);
        if record.power_state == XenState::Running {
            return Ok(is);
        }
        // The place that was held for the other size is free again.
        self.member.ledger.is_off(vm);
        self.resize(is, self.from).await?;
        self.start(self.from, None).await?;
        Ok(self.from)
    }
}
