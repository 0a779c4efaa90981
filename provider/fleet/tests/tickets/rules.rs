//! What must not be.

use std::collections::BTreeSet;

use fleet::ticket::{Board, Call, Key, Kind, Ticket};
use jiff::Timestamp;
use ulid::Ulid;

use crate::actor::{Actor, Deed, Event, Promise};
use crate::shared::Shared;
use crate::state::{State, Tool, Vm, World};

impl State {
    pub(crate) fn is_over(&self) -> bool {
        let is_over = |actor: &Shared<Actor>| actor.is_over() || !self.may_begin(actor);
        self.late.is_empty() && self.actors.iter().all(is_over)
    }

    /// Says what is wrong with a state that has come from another one.
    pub(crate) fn judge(&mut self, before: &Self, world: &World) {
        let slow = self.slow(world);
        for actor in &mut self.actors {
            let promise = actor.promise.as_ref();
            if promise.is_some_and(|promise| !promise.ticket.is_to_rely_on(slow)) {
                *actor = actor.after(Event::Stopped);
            }
        }
        self.supersede();
        let keys = self.keys.clone();
        let board = &keys.board;
        let has_meddled = self.tool == Tool::Over;
        self.look_for_robbed(slow);
        if !self.robbed.is_empty() && !has_meddled {
            self.flaw.get_or_insert("a ticket that somebody relies on is gone");
        }
        let is_back = |(number, id): &(u64, Ulid)| {
            board
                .numbers_of(*id)
                .any(|own| own == *number && !self.nobodys.contains(&own))
        };
        if !has_meddled && self.released.iter().any(is_back) {
            self.flaw.get_or_insert("a released ticket lives again");
        }
        if self.used(|_| true) > world.room || self.used(|vm| vm.is_running) > world.room {
            self.flaw.get_or_insert("more is promised than there is");
        }
        if self.promises().any(|promise| self.is_overdrawn(&promise.ticket)) {
            self.flaw.get_or_insert("more is drawn than was reserved");
        }
        for (actor, earlier) in self.actors.iter().zip(&before.actors) {
            let promise = actor.promise.as_ref().filter(|_| actor.promise != earlier.promise);
            let is_new = |promise: &&Promise| !before.promises().any(|old| old.covers(promise));
            let promise = promise.filter(is_new);
            if promise.is_some_and(|promise| !has_meddled && self.is_out_of_turn(promise, board, world)) {
                self.flaw.get_or_insert("somebody who came later was served first");
            }
        }
    }

    /// A ticket that somebody relies on, or is about to, and that is not there.
    fn look_for_robbed(&mut self, slow: Timestamp) {
        let live = &self.keys.live[self.time];
        for actor in &self.actors {
            let is_judging = actor.deed == Deed::Look;
            let wish = actor.wish().filter(|ticket| is_judging && ticket.is_to_rely_on(slow));
            let promise = actor.promise.as_ref().map(|promise| &promise.ticket);
            for ticket in wish.into_iter().chain(promise) {
                let holder = ticket.reservation().unwrap_or(ticket.id);
                if !live.values().any(|id| *id == holder) {
                    self.robbed.insert(ticket.id);
                }
            }
        }
    }

    /// A reservation that another process has changed is what that was told.
    fn supersede(&mut self) {
        let of = |actor: &Actor| {
            Some((
                actor.promise.as_ref()?.ticket.reservation()?,
                actor.promise.as_ref()?.number,
            ))
        };
        let told: Vec<(Ulid, u64)> = self.actors.iter().filter_map(|actor| of(actor)).collect();
        for actor in &mut self.actors {
            let is_old = |(own, number)| told.iter().any(|(of, later)| *of == own && *later > number);
            if of(actor).is_some_and(is_old) {
                *actor = actor.after(Event::Stopped);
            }
        }
    }

    pub(crate) fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.actors.iter().filter_map(|actor| actor.promise.as_ref())
    }

    /// What exists and what is promised beyond that; `counts` says which servers take what is looked at.
    fn used(&self, counts: fn(&Vm) -> bool) -> u32 {
        let is_robbed = |id: Option<Ulid>| id.is_some_and(|id| self.robbed.contains(&id));
        let is_honest = |id: Ulid, reservation| !is_robbed(Some(id)) && !is_robbed(reservation);
        let made = |is_of: &dyn Fn(&Vm) -> bool| count(self.vms.iter().filter(|vm| counts(vm) && is_of(vm)));
        let rest = |ticket: &Ticket| ticket.servers().saturating_sub(made(&|vm| vm.ticket == ticket.id));
        let mut used = made(&|vm| is_honest(vm.ticket, vm.reservation));
        let promises = || {
            self.promises()
                .filter(|Promise { ticket, .. }| is_honest(ticket.id, ticket.reservation()))
        };
        let is_reserved = |of| promises().any(|promise| promise.ticket.reservation() == Some(of));
        for Promise { ticket, .. } in promises() {
            used += match (ticket.reservation(), ticket.draws_from()) {
                (Some(of), _) => {
                    let draws = promises().filter(|promise| promise.ticket.draws_from() == Some(of));
                    let drawn = draws.map(|promise| rest(&promise.ticket)).sum();
                    let left = ticket.servers().saturating_sub(made(&|vm| vm.reservation == Some(of)));
                    left.max(drawn)
                }
                (None, Some(of)) if is_reserved(of) => 0,
                (None, _) => rest(ticket),
            };
        }
        used
    }

    fn is_overdrawn(&self, ticket: &Ticket) -> bool {
        let made = count(self.vms.iter().filter(|vm| vm.reservation == Some(ticket.id)));
        let draws = self
            .promises()
            .filter(|promise| promise.ticket.draws_from() == Some(ticket.id));
        let drawn: u32 = draws
            .map(|promise| {
                promise.ticket.servers() - count(self.vms.iter().filter(|vm| vm.ticket == promise.ticket.id))
            })
            .sum();
        // A change may leave less than is used.
        ticket.kind == Kind::Reservation && made + drawn > ticket.servers()
    }

    /// Says whether those before it that are still waiting are left without the room that they need.
    fn is_out_of_turn(&self, promise: &Promise, board: &Board, world: &World) -> bool {
        let is_before = |ticket: &&Ticket| {
            let is_new = matches!(ticket.kind, Kind::Creation | Kind::Reservation);
            let mut numbers = board.numbers_of(ticket.id);
            is_new && ticket.is_to_rely_on(self.slow(world)) && numbers.any(|number| number < promise.number)
        };
        let waiting = self.actors.iter().filter_map(|actor| actor.wish()).filter(is_before);
        let wished: u32 = waiting.map(Ticket::servers).sum();
        promise.ticket.draws_from().is_none() && self.used(|_| true) + wished > world.room
    }

    /// What is left when all time is over and everything that may be cleared is: nothing but the highest number.
    pub(crate) fn is_cleared_at_last(&self) -> bool {
        let mut keys = self.keys.clone();
        loop {
            let mut clearer = Actor::clearer();
            clearer.hear(&Event::Read(keys.clone(), Timestamp::MAX));
            let before = keys.clone();
            while let Deed::Remove(key) = &clearer.deed {
                keys = keys.changed(|map| drop(map.remove(key)));
                clearer.hear(&Event::Called(Call::Done));
            }
            if keys == before {
                break;
            }
        }
        let number = |key: &String| Key::parse(key).and_then(Key::number);
        let numbers: BTreeSet<_> = keys.map.keys().map(number).collect();
        numbers.len() <= 1 && numbers.first() == self.keys.map.keys().map(number).max().as_ref()
    }
}

impl Promise {
    /// The other one is a change that asks for nothing more.
    fn covers(&self, other: &Self) -> bool {
        let of = self.ticket.reservation();
        of.is_some() && of == other.ticket.reservation() && self.ticket.servers() >= other.ticket.servers()
    }
}

fn count<'a>(vms: impl Iterator<Item = &'a Vm>) -> u32 {
    u32::try_from(vms.count()).unwrap()
}
