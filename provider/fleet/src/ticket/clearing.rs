//! Clearing away: the pure steps that remove tickets which hold nothing any more. Anybody may, and two at once do no harm.
//!
//! The ticket goes before the mark that ends it: the other order would revive it in between. A number is never given twice, as the
//! highest is never cleared; so a removal that comes late, or twice, meets nothing.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::board::{Board, Leftover};
use super::key::{released_key, ticket_key};
use super::step::{Call, Heard, Machine, Step};

/// How often a key is removed whose answer is lost.
const TRIES: u8 = 3;

/// Removes what is released or over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Clearing {
    left: VecDeque<Leftover>,
    cleared: u32,
    tries: u8,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Begin,
    Ticket,
    Mark,
}

impl Clearing {
    /// Begins to clear what one read shows.
    pub fn new(board: &Board, now: Timestamp) -> Self {
        Self {
            left: board.leftovers(now).into(),
            cleared: 0,
            tries: 0,
            phase: Phase::Begin,
        }
    }

    /// Goes on to the next number. One that could not be removed keeps its mark.
    fn skip(&mut self) -> Phase {
        self.left.pop_front();
        self.tries = 0;
        Phase::Begin
    }
}

impl Machine for Clearing {
    /// How many numbers were cleared.
    type End = u32;

    fn next(&mut self, heard: Heard<'_>) -> Step<u32> {
        let is_marked = self.left.front().is_some_and(|leftover| leftover.is_marked);
        self.phase = match (self.phase, heard) {
            (Phase::Ticket, Heard::Call(Call::Done)) if is_marked => {
                self.tries = 0;
                Phase::Mark
            }
            (Phase::Ticket | Phase::Mark, Heard::Call(Call::Done)) => {
                self.cleared = self.cleared.saturating_add(1);
                self.skip()
            }
            (Phase::Ticket | Phase::Mark, Heard::Call(Call::AlreadyThere | Call::Unknown)) if self.tries == TRIES => {
                self.skip()
            }
            (phase, _) => phase,
        };
        let Some(Leftover { number, .. }) = self.left.front() else {
            return Step::Done(self.cleared);
        };
        self.tries += 1;
        match self.phase {
            Phase::Begin | Phase::Ticket => {
                self.phase = Phase::Ticket;
                Step::Remove(ticket_key(*number))
            }
            Phase::Mark => Step::Remove(released_key(*number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::sample::{Endless, Pool, at, ticket};
    use super::*;

    fn pool() -> Pool {
        let mut pool = Pool::default();
        for number in 1..=3_u32 {
            pool.put(number.into(), &ticket(number.into(), Kind::Creation, 1));
        }
        pool.map.insert(released_key(1), String::new());
        pool
    }

    #[test]
    fn removes_the_ticket_before_its_mark_and_never_the_highest() {
        let mut pool = pool();
        let clearing = Clearing::new(&pool.board(), at(1000));
        assert_eq!(pool.drive(clearing, &Endless, |_, _, call| call), 2);
        let done = [
            "remove dynvm:ticket.1",
            "remove dynvm:ticket.1.released",
            "remove dynvm:ticket.2",
        ];
        assert_eq!(pool.done, done);
        assert_eq!(pool.map.len(), 1);
    }

    #[test]
    fn one_that_may_not_be_removed_keeps_its_mark() {
        let mut pool = pool();
        let clearing = Clearing::new(&pool.board(), at(1000));
        let cleared = pool.drive(clearing, &Endless, |_, key, call| match key {
            "dynvm:ticket.1" => Call::Unknown,
            _ => call,
        });
        assert_eq!(cleared, 1);
        assert!(pool.map.contains_key("dynvm:ticket.1.released"));
        assert_eq!(pool.done.len(), usize::from(TRIES) + 1);
    }
}
