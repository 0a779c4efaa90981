//! Taking a ticket: the pure steps from a wish to room that is held, or to a refusal that leaves nothing behind.
//!
//! ```text
//!          +----------------- whatever came of it -----------------+
//!          v                                                        |
//!        read --- own ticket is not there (not yet, or lost) ---> add it under the next number
//!          |
//!        it is there
//!          v
//!        look at the servers -+-> admitted: release what it replaces, over
//!                             +-> refused: release it, over
//! ```
//! A lost answer costs a read and nothing else: whether the own ticket is there is seen before another one is added.

use jiff::Timestamp;
use ulid::Ulid;

use super::board::Board;
use super::hold::{Refusal, Room, Verdict, judge};
use super::key::ticket_key;
use super::releasing::Releasing;
use super::step::{Call, Heard, Machine, Step};
use super::value::{Kind, Ticket};

/// How often a ticket is added: each time another was faster, or it was lost.
const TRIES: u16 = 500;

/// How taking a ticket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taken {
    /// The room is held under this number.
    Admitted(u64),
    /// There is none, and the ticket is released.
    Refused(Refusal),
    /// It was never there when it was looked for, or there is no number for it.
    Unsettled,
}

/// Takes a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taking {
    ticket: Ticket,
    tries: u16,
    place: Place,
    phase: Phase,
}

/// Under which number the ticket may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    None,
    /// It was added there, and the answer said something else, or nothing.
    Tried(u64),
    /// It was there.
    Sure(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Read,
    Adding(u64),
    Looking(u64, Board, Timestamp),
    Releasing(Releasing, Taken),
    Over(Taken),
}

impl Taking {
    /// Begins to take a ticket.
    pub fn new(ticket: Ticket) -> Self {
        Self {
            ticket,
            tries: 0,
            place: Place::None,
            phase: Phase::Read,
        }
    }

    /// The ticket.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The number that it may stand under.
    pub fn number(&self) -> Option<u64> {
        match (&self.phase, self.place) {
            (Phase::Adding(number), _) => Some(*number),
            (_, Place::Tried(number) | Place::Sure(number)) => Some(number),
            (_, Place::None) => None,
        }
    }

    /// When it is admitted: its number, and the releases that are left to be made of what it replaces. From then on it holds, whatever
    /// becomes of those.
    pub fn admitted(&self) -> Option<(u64, Releasing)> {
        match &self.phase {
            Phase::Releasing(rest, Taken::Admitted(number)) => Some((*number, rest.clone())),
            Phase::Read | Phase::Adding(_) | Phase::Looking(..) | Phase::Releasing(..) | Phase::Over(_) => None,
        }
    }

    fn hear(&mut self, phase: Phase, heard: &Heard<'_>) -> Phase {
        match (phase, heard) {
            (Phase::Read, Heard::Read(board, now)) => match self.find(board) {
                Some(number) => Phase::Looking(number, board.clone(), *now),
                None => self.begin(board, *now),
            },
            (Phase::Adding(number), Heard::Call(call)) => {
                self.place = match call {
                    Call::Done => Place::Sure(number),
                    Call::AlreadyThere | Call::Unknown => Place::Tried(number),
                };
                Phase::Read
            }
            (Phase::Looking(number, board, now), Heard::Servers(room)) => self.decide(number, &board, now, *room),
            (phase, _) => phase,
        }
    }

    /// Looks for the own ticket. One that came late is none: others may have taken their turn without it. While it is the highest,
    /// nobody has.
    fn find(&mut self, board: &Board) -> Option<u64> {
        let number = match self.place {
            Place::None => return None,
            Place::Tried(number) if board.next() != number.checked_add(1) => return None,
            Place::Tried(number) | Place::Sure(number) => number,
        };
        let number = board.numbers_of(self.ticket.id).find(|own| *own == number)?;
        self.place = Place::Sure(number);
        Some(number)
    }

    /// Takes the next number. Whoever asks for a ticket that is over, or that somebody has ended, is not served.
    fn begin(&mut self, board: &Board, now: Timestamp) -> Phase {
        if board.has_ended(self.ticket.id) || !self.ticket.is_to_rely_on(now) {
            return Phase::Over(Taken::Refused(Refusal::Over));
        }
        self.tries += 1;
        match board.next() {
            Some(number) if self.tries <= TRIES => Phase::Adding(number),
            Some(_) | None => Phase::Over(Taken::Unsettled),
        }
    }

    fn decide(&self, number: u64, board: &Board, now: Timestamp, room: &dyn Room) -> Phase {
        let own = || board.numbers_of(self.ticket.id).map(|number| (number, self.ticket.id));
        match judge(board, now, number, room) {
            Verdict::Admitted => {
                let twice = own().filter(|(at, _)| *at != number);
                let old = twice.chain(self.replaced(board, now, number));
                Phase::Releasing(Releasing::new(old), Taken::Admitted(number))
            }
            Verdict::Refused(refusal) => Phase::Releasing(Releasing::new(own()), Taken::Refused(refusal)),
        }
    }

    /// The tickets that a change takes the place of: all earlier ones of the reservation, as an earlier change may have been killed.
    fn replaced(&self, board: &Board, now: Timestamp, number: u64) -> Vec<(u64, Ulid)> {
        let Kind::Change { of, .. } = self.ticket.kind else {
            return Vec::new();
        };
        let earlier = board.live(now).filter(|(at, _)| *at < number);
        let own = earlier.filter(|(_, ticket)| ticket.reservation() == Some(of));
        own.map(|(at, ticket)| (at, ticket.id)).collect()
    }
}

impl Machine for Taking {
    type End = Taken;

    fn next(&mut self, heard: Heard<'_>) -> Step<Taken> {
        let phase = std::mem::replace(&mut self.phase, Phase::Read);
        self.phase = match phase {
            Phase::Releasing(releasing, taken) => Phase::Releasing(releasing, taken),
            phase => self.hear(phase, &heard),
        };
        if let Phase::Releasing(releasing, taken) = &mut self.phase {
            let taken = *taken;
            // A ticket that may be left behind ends by itself.
            match releasing.next(heard).map(|_| taken) {
                Step::Done(taken) => self.phase = Phase::Over(taken),
                step => return step,
            }
        }
        match &self.phase {
            Phase::Adding(number) => Step::Add {
                key: ticket_key(*number),
                value: self.ticket.to_json(),
            },
            Phase::Looking(..) => Step::Look,
            Phase::Over(taken) => Step::Done(*taken),
            Phase::Read | Phase::Releasing(..) => Step::Read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Endless, Pool, at, ticket};
    use super::super::{Hold, Served};
    use super::*;

    /// Room for nothing.
    struct Full;

    impl Room for Full {
        fn servers(&self) -> &[Served] {
            &[]
        }

        fn takes(&self, _: &[Hold], _: &Hold) -> bool {
            false
        }
    }

    fn take(id: u128) -> Taking {
        Taking::new(ticket(id, Kind::Creation, 1))
    }

    #[test]
    fn whoever_is_too_late_for_a_number_takes_the_next() {
        let mut pool = Pool::default();
        let taken = pool.drive(take(1), &Endless, |pool, key, call| {
            if key == "dynvm:ticket.1" {
                pool.put(1, &ticket(9, Kind::Creation, 1));
                return Call::AlreadyThere;
            }
            call
        });
        assert_eq!(taken, Taken::Admitted(2));
    }

    #[test]
    fn a_lost_answer_takes_no_second_ticket() {
        let mut pool = Pool::default();
        assert_eq!(
            pool.drive(take(1), &Endless, |_, _, _| Call::Unknown),
            Taken::Admitted(1)
        );
        assert_eq!(pool.done, ["add dynvm:ticket.1"]);
    }

    #[test]
    fn a_call_that_is_carried_out_late_gives_no_place_before_others() {
        let mut pool = Pool::default();
        pool.put(1, &ticket(8, Kind::Creation, 1));
        let taken = pool.drive(take(1), &Endless, |pool, key, call| {
            if key == "dynvm:ticket.2" {
                // Somebody else had it, went and was cleared away; the own ticket came after that.
                pool.put(3, &ticket(9, Kind::Creation, 1));
                return Call::Unknown;
            }
            call
        });
        assert_eq!(taken, Taken::Admitted(4));
        let live: Vec<u64> = pool.board().live(at(0)).map(|(number, _)| number).collect();
        assert_eq!(live, [1, 3, 4], "the one that came late is released");
    }

    #[test]
    fn what_is_refused_is_released() {
        let mut pool = Pool::default();
        assert_eq!(
            pool.drive(take(1), &Full, |_, _, call| call),
            Taken::Refused(Refusal::NoRoom)
        );
        assert_eq!(pool.board().live(at(0)).count(), 0);
    }

    #[test]
    fn a_change_ends_all_earlier_tickets_of_its_reservation() {
        let mut pool = Pool::default();
        let of = Ulid(1);
        pool.put(1, &ticket(1, Kind::Reservation, 1));
        pool.put(2, &ticket(2, Kind::Change { of, replaces: 1 }, 1));
        pool.put(3, &ticket(3, Kind::Reservation, 1));
        let change = ticket(4, Kind::Change { of, replaces: 1 }, 2);
        let taken = pool.drive(Taking::new(change), &Endless, |_, _, call| call);
        assert_eq!(taken, Taken::Admitted(4));
        let live: Vec<u64> = pool.board().live(at(0)).map(|(number, _)| number).collect();
        assert_eq!(live, [3, 4]);
    }

    #[test]
    fn a_ticket_that_somebody_has_ended_is_not_taken_again() {
        let mut pool = Pool::default();
        let taken = pool.drive(take(1), &Endless, |pool, _, call| {
            pool.map.insert("dynvm:ticket.1.released".into(), "by hand".into());
            call
        });
        assert_eq!(taken, Taken::Refused(Refusal::Over));
    }

    #[test]
    fn it_ends_where_a_ticket_never_stays_or_no_number_is_left() {
        let mut pool = Pool::default();
        let taken = pool.drive(take(1), &Endless, |pool, key, call| {
            pool.map.remove(key);
            call
        });
        assert_eq!(taken, Taken::Unsettled);
        assert_eq!(pool.done.len(), usize::from(TRIES));
        pool.map.insert(ticket_key(u64::MAX), String::new());
        assert_eq!(pool.drive(take(1), &Endless, |_, _, call| call), Taken::Unsettled);
    }
}
