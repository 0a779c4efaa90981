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
use self::room::Seat;
use self::steps::{Goal, Part, Step, goes_on, steps};
use super::address::{Before, Guest};
use super::size::{Size, resize};
use super::start::Starting;
use super::{Bounds, call};
use crate::capacity::Kind;
use crate::error::Error;
use crate::pool::{Fabric, Loaded, Member};
use crate::spec::{Power, Reshape};

pub(crate) use self::room::possible;

/// A server that is being made another one.
struct Work<'a> {
    member: &'a Arc<Member>,
    loaded: &'a Loaded,
    wanted: &'a Reshape,
    bounds: &'a Bounds,
    /// The only host that it may be put on.
    host: Option<Ref<Host>>,
    from: Size,
    to: Size,
}

/// Makes a server what is wanted, step by step.
pub(super) async fn reshape(
    member: &Arc<Member>,
    fabric: &Arc<Fabric>,
    loaded: &Loaded,
    wanted: &Reshape,
    bounds: &Bounds,
) -> Result<(), Error> {
    if !loaded.marks().claims().is_empty() {
        return Err(Error::BeingReaped {
            pool: member.name().to_owned(),
            vm: loaded.name(),
        });
    }
    let host = match &wanted.host {
        Some(host) => Some(member.resolve(fabric, |fabric| fabric.find_host(host)).await?),
        None => None,
    };
    let from = Size::of(&loaded.vm);
    let work = Work {
        member,
        loaded,
        wanted,
        bounds,
        host,
        from,
        to: from.with(wanted.cpus, wanted.memory_mib),
    };
    work.run().await
}

impl Work<'_> {
    async fn run(&self) -> Result<(), Error> {
        let is = &self.loaded.vm.power_state;
        let goal = Goal {
            power: self.wanted.power.unwrap_or_else(|| goes_on(is)),
            size: if self.from == self.to {
                Part::Stays
            } else {
                Part::Changes
            },
            moves_to: self.moves_to(),
        };
        let todo = steps(is, &goal);
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
                    return Err(self.put_back(error).await);
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn step(&self, step: &Step, power: Power, seat: &mut Option<Seat>) -> Result<(), Error> {
        let name = self.loaded.name();
        let guest = Powered {
            member: self.member,
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
            Step::Size => resize(self.member, guest.vm, &name, self.from, self.to).await,
            Step::Start => self.start(self.to, seat.take()).await,
            Step::Await(before) => self.wait(*before, power).await,
        }
    }

    async fn start(&self, size: Size, seat: Option<Seat>) -> Result<(), Error> {
        let kind = self.kind(size);
        let seat = match seat {
            Some(seat) => seat,
            None => self.seat(&kind).await?,
        };
        let starting = Starting {
            member: self.member,
            vm: &self.loaded.reference,
            name: &self.loaded.name(),
            kind: &kind,
            place: &seat.place,
            bounds: self.bounds,
        };
        starting.run().await
    }

    /// Waits for the guest of a server that runs again. One that is to be suspended next needs an agent for it, not an address.
    async fn wait(&self, before: Before, power: Power) -> Result<(), Error> {
        if power == Power::Running && !self.wanted.wait.for_ip {
            return Ok(());
        }
        let mut guest = Guest::new(self.member, &self.wanted.wait, self.loaded, before);
        match guest.address().await {
            Err(Error::NoAddress { .. }) if power == Power::Suspended => Ok(()),
            waited => waited.map(|_| ()),
        }
    }

    /// The host to move to, if it is another than the one that it runs on.
    fn moves_to(&self) -> Option<Ref<Host>> {
        let asked = self.host.as_ref().filter(|_| self.wanted.is_moved);
        asked.filter(|host| **host != self.loaded.vm.resident_on).cloned()
    }

    /// What it needs at a size, and which hosts can have it.
    fn kind(&self, size: Size) -> Kind {
        let mut record = self.loaded.vm.clone();
        size.put(&mut record);
        let srs = self.loaded.disks().map(|(_, disk)| disk.sr.clone());
        let networks = self.loaded.vifs.iter().map(|(_, vif)| vif.network.clone());
        Kind::new(&record, None, None, None)
            .of_existing(srs, networks)
            .on_host(self.host.as_ref())
    }

    /// Gives a server that was stopped for a size which the pool refused the size that it had, and starts it again.
    async fn put_back(&self, error: Error) -> Error {
        if matches!(error, Error::Gone { .. } | Error::Cancelled { .. }) {
            return error;
        }
        let vm = self.loaded.name();
        match self.runs_again().await {
            Ok(()) => Error::PutBack {
                error: Box::new(error),
                vm,
            },
            Err(undo) => Error::NotPutBack {
                error: Box::new(error),
                vm,
                undo: Box::new(undo),
            },
        }
    }

    async fn runs_again(&self) -> Result<(), Error> {
        let vm = &self.loaded.reference;
        let name = self.loaded.name();
        let record = self.member.client()?.vm().record(vm).await;
        let record = record.map_err(call("reading the server", &name))?;
        if record.power_state == XenState::Running {
            return Ok(());
        }
        resize(self.member, vm, &name, Size::of(&record), self.from).await?;
        self.start(self.from, None).await
    }
}
