//! Releasing: the pure steps that end a ticket.
//!
//! ```text
//!  add the mark -+-> done: over
//!       ^        +-> it is there already, or the answer was lost -> read -+-> the ticket is gone or ended: over
//!       |                                                                 |
//!       +--------- (remove the mark if it means another ticket) ----------+
//! ```
//! A rewrite of the value would need two calls, with a gap in which the number is missing. The mark is one, and may be put twice.

use ulid::Ulid;

use super::key::released_key;
use super::step::{Call, Heard, Machine, Step};

/// How often a mark is put whose answer is lost; the ticket ends by itself at last.
const TRIES: u8 = 5;

/// Ends tickets, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Releasing {
    /// The tickets that are left, the present one last.
    tickets: Vec<(u64, Ulid)>,
    ended: Released,
    tries: u8,
    phase: Phase,
}

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Released {
    /// The tickets hold nothing any more.
    Surely,
    /// One may hold until its time is over: no answer came, again and again.
    Perhaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Add,
    Added,
    Read,
    Removed,
    Ended(Released),
}

impl Releasing {
    /// Begins to end tickets, each given by its number and its id.
    pub fn new(tickets: impl IntoIterator<Item = (u64, Ulid)>) -> Self {
        Self {
            tickets: tickets.into_iter().collect(),
            ended: Released::Surely,
            tries: 0,
            phase: Phase::Add,
        }
    }

    fn hear(&self, (number, id): (u64, Ulid), heard: &Heard<'_>) -> Phase {
        match (self.phase, heard) {
            (Phase::Added, Heard::Call(Call::Done)) => Phase::Ended(Released::Surely),
            (Phase::Added, Heard::Call(Call::AlreadyThere | Call::Unknown)) => Phase::Read,
            (Phase::Removed, Heard::Call(_)) => Phase::Add,
            (Phase::Read, Heard::Read(board, _)) => {
                if !board.numbers_of(id).any(|own| own == number) {
                    Phase::Ended(Released::Surely)
                } else if self.tries == TRIES {
                    Phase::Ended(Released::Perhaps)
                } else if board.has_end_of_another(number) {
                    Phase::Removed
                } else {
                    Phase::Add
                }
            }
            (phase, _) => phase,
        }
    }
}

impl Machine for Releasing {
    type End = Released;

    fn next(&mut self, heard: Heard<'_>) -> Step<Released> {
        let Some(present) = self.tickets.last().copied() else {
            return Step::Done(self.ended);
        };
        self.phase = self.hear(present, &heard);
        if let Phase::Ended(released) = self.phase {
            self.ended = self.ended.max(released);
            self.tickets.pop();
            self.tries = 0;
            self.phase = Phase::Add;
        }
        let Some((number, id)) = self.tickets.last() else {
            return Step::Done(self.ended);
        };
        match self.phase {
            Phase::Add | Phase::Added | Phase::Ended(_) => {
                if self.phase != Phase::Added {
                    self.tries += 1;
                }
                self.phase = Phase::Added;
                Step::Add {
                    key: released_key(*number),
                    value: id.to_string(),
                }
            }
            Phase::Read => Step::Read,
            Phase::Removed => Step::Remove(released_key(*number)),
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
        pool.put(1, &ticket(1, Kind::Creation, 1));
        pool.put(2, &ticket(2, Kind::Creation, 1));
        pool
    }

    fn live(pool: &Pool) -> Vec<u64> {
        pool.board().live(at(0)).map(|(number, _)| number).collect()
    }

    #[test]
    fn one_call_ends_a_ticket() {
        let mut pool = pool();
        let ended = pool.drive(Releasing::new([(1, Ulid(1))]), &Endless, |_, _, call| call);
        assert_eq!((ended, live(&pool)), (Released::Surely, vec![2]));
        assert_eq!(pool.done, ["add dynvm:ticket.1.released"]);
    }

    #[test]
    fn twice_is_harmless_and_so_is_a_ticket_that_is_gone() {
        let mut pool = pool();
        pool.map.remove("dynvm:ticket.2");
        for _ in 0..2 {
            let both = Releasing::new([(1, Ulid(1)), (2, Ulid(2))]);
            assert_eq!(pool.drive(both, &Endless, |_, _, call| call), Released::Surely);
        }
        assert!(live(&pool).is_empty());
    }

    #[test]
    fn a_mark_that_means_another_ticket_gives_way() {
        let mut pool = pool();
        pool.map.insert(released_key(1), Ulid(9).to_string());
        let ended = pool.drive(Releasing::new([(1, Ulid(1))]), &Endless, |_, _, call| call);
        assert_eq!((ended, live(&pool)), (Released::Surely, vec![2]));
    }

    #[test]
    fn without_any_answer_it_gives_up_at_last() {
        let mut pool = pool();
        let ended = pool.drive(Releasing::new([(1, Ulid(1))]), &Endless, |pool, key, _| {
            pool.map.remove(key);
            Call::Unknown
        });
        assert_eq!(ended, Released::Perhaps);
        assert_eq!(pool.done.len(), usize::from(TRIES));
    }
}
