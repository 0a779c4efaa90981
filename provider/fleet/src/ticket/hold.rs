//! What tickets hold, and whether one more is admitted: pure functions of the tickets and of the servers that were seen after them.
//!
//! A server that exists counts by itself: of storage and ceilings as soon as it is there, of CPU and memory as soon as it is on a
//! host. Its ticket holds that much less. A server on another host than was planned leaves its place there held until the ticket
//! ends or all of its servers run: rather too much than too little.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::Uuid;

use super::board::Board;
use super::count::Count;
use super::value::{Kind, PerServer, Ticket};

/// A server, as far as tickets are concerned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Served {
    /// The ticket that it was made under.
    pub ticket: Option<Ulid>,
    /// The reservation that it draws from.
    pub reservation: Option<Ulid>,
    /// The host that it runs on, or is about to.
    pub host: Option<Uuid>,
}

/// Room that is held, or asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// What one server needs.
    pub each: PerServer,
    /// For how many servers room is held in SRs and under ceilings.
    pub servers: u32,
    /// For how many servers CPU and memory are held on each host.
    pub hosts: BTreeMap<Uuid, u32>,
    /// The reservation that holds it; none for servers being created.
    pub reservation: Option<Ulid>,
}

/// The pool's servers, seen after the tickets were read.
///
/// In the other order a server that was born in between, and whose ticket was released in between, would be counted by neither.
pub trait Room {
    /// The servers that were made under tickets.
    fn servers(&self) -> &[Served];

    /// Says whether what is asked for fits beside what is held and all that exists.
    fn takes(&self, held: &[Hold], asked: &Hold) -> bool;
}

/// What becomes of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It holds.
    Admitted,
    /// It does not.
    Refused(Refusal),
}

/// Why a ticket is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// What came before leaves no room.
    NoRoom,
    /// The reservation has no place left, or none on the hosts asked for.
    UsedUp,
    /// The reservation is released or over.
    ReservationGone,
    /// The ticket's own time is over, or nearly, or somebody has ended it.
    Over,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoRoom => "what was asked for before leaves no room",
            Refusal::UsedUp => "the reservation has no place left on the hosts that were chosen",
            Refusal::ReservationGone => "the reservation is released or over",
            Refusal::Over => "the ticket's own time is over, or somebody has ended it",
        })
    }
}

/// A reservation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The numbers of its tickets; more than one while it is being changed.
    pub numbers: BTreeSet<u64>,
    /// The earliest of its tickets, which was admitted.
    pub ticket: Ticket,
    /// Servers that exist, or are being created, in its room.
    pub used: u32,
}

/// Judges a ticket by the tickets of one read and the servers of a later one.
pub fn judge(board: &Board, now: Timestamp, number: u64, room: &dyn Room) -> Verdict {
    let own = board.live(now).find(|(at, _)| *at == number);
    let Some((_, ticket)) = own.filter(|(_, ticket)| ticket.is_to_rely_on(now)) else {
        return Verdict::Refused(Refusal::Over);
    };
    let sight = Sight {
        board,
        now,
        servers: room.servers(),
    };
    let verdict = match ticket.kind {
        Kind::Draw { of } => sight.draw(number, ticket, of),
        Kind::Change { of, replaces } if sight.is_within(ticket, of, replaces) => Ok(()),
        Kind::Reservation | Kind::Change { .. } | Kind::Creation => {
            let fits = room.takes(&sight.before(number, ticket), &sight.asked(number, ticket));
            if fits { Ok(()) } else { Err(Refusal::NoRoom) }
        }
    };
    verdict.map_or_else(Verdict::Refused, |()| Verdict::Admitted)
}

/// All that is held, as far as anybody can see.
pub fn holds(board: &Board, now: Timestamp, servers: &[Served]) -> Vec<Hold> {
    Sight { board, now, servers }.held(u64::MAX, None)
}

/// A reservation as it stands; `None` if it is released or over.
pub fn reserved(board: &Board, now: Timestamp, of: Ulid, servers: &[Served]) -> Option<Reserved> {
    let sight = Sight { board, now, servers };
    let tickets: Vec<(u64, &Ticket)> = sight.tickets_of(of).collect();
    // While it is being changed the former size counts: whether the later one was admitted nobody can see.
    let (_, present) = tickets.first()?;
    let drawn = sight.drawn(of, u64::MAX);
    Some(Reserved {
        numbers: tickets.iter().map(|(number, _)| *number).collect(),
        ticket: (*present).clone(),
        used: sight.made_in(of).servers.saturating_add(drawn.servers),
    })
}

/// The tickets of one moment and the servers of a later one.
struct Sight<'a> {
    board: &'a Board,
    now: Timestamp,
    servers: &'a [Served],
}

impl<'a> Sight<'a> {
    /// Whether the draws before it and the servers leave it a place in the reservation.
    fn draw(&self, number: u64, ticket: &Ticket, of: Ulid) -> Result<(), Refusal> {
        let sizes = self.tickets_of(of).filter(|(_, ticket)| ticket.is_to_rely_on(self.now));
        // While it is being changed the smaller size counts: the other may not last.
        let size = sizes.map(|(_, ticket)| Count::of(ticket)).reduce(|a, b| a.lesser(&b));
        let size = size.ok_or(Refusal::ReservationGone)?;
        let left = size.less_made(&self.made_in(of)).less(&self.drawn(of, number));
        let asked = Count::of(ticket).less_made(&self.made_under(ticket.id));
        if left.covers(&asked) {
            Ok(())
        } else {
            Err(Refusal::UsedUp)
        }
    }

    /// Whether a change asks for nothing but what is held already. Then it is not judged by those that came before it.
    fn is_within(&self, ticket: &Ticket, of: Ulid, replaces: u64) -> bool {
        let mut own = self.tickets_of(of).filter(|(at, _)| *at == replaces);
        own.any(|(_, old)| {
            old.is_to_rely_on(self.now) && old.each == ticket.each && Count::of(old).covers(&Count::of(ticket))
        })
    }

    /// What is held by those that a ticket must let go first.
    fn before(&self, number: u64, ticket: &Ticket) -> Vec<Hold> {
        self.held(number, Some(ticket.reservation().unwrap_or(ticket.id)))
    }

    /// What a ticket asks for.
    fn asked(&self, number: u64, ticket: &Ticket) -> Hold {
        let count = match ticket.kind {
            Kind::Reservation | Kind::Change { .. } => {
                let of = ticket.reservation().unwrap_or(ticket.id);
                let rest = Count::of(ticket).less_made(&self.made_in(of));
                rest.greater(&self.drawn(of, number))
            }
            Kind::Creation | Kind::Draw { .. } => Count::of(ticket).less_made(&self.made_under(ticket.id)),
        };
        count.hold(&ticket.each, ticket.reservation())
    }

    /// What those before a number hold, without one holder's own.
    ///
    /// What goes on with an earlier hold counts whatever its number: a change whose former ticket is gone, servers that are being
    /// created in a reservation that is gone. Whoever arrived in between was counted when that was admitted.
    fn held(&self, number: u64, without: Option<Ulid>) -> Vec<Hold> {
        let mut holds = Vec::new();
        let mut creations: BTreeMap<(Ulid, &PerServer), Count> = BTreeMap::new();
        let mut reservations = BTreeSet::new();
        for (at, ticket) in self.board.live(self.now) {
            reservations.extend(ticket.reservation());
            let is_covered = |of| self.tickets_of(of).next().is_some();
            let counts = match ticket.kind {
                Kind::Reservation | Kind::Change { .. } => false,
                Kind::Creation => at < number,
                Kind::Draw { of } => !is_covered(of),
            };
            if counts && without != Some(ticket.id) {
                // The same ticket twice is one: an answer came late.
                let count = creations.entry((ticket.id, &ticket.each)).or_default();
                *count = count.greater(&Count::of(ticket).less_made(&self.made_under(ticket.id)));
            }
        }
        for ((_, each), count) in creations {
            holds.push(count.hold(each, None));
        }
        for of in reservations.into_iter().filter(|of| without != Some(*of)) {
            holds.extend(self.reservation(of, number));
        }
        holds.retain(|hold| hold.servers > 0 || !hold.hosts.is_empty());
        holds
    }

    /// What a reservation holds before a number: while it is being changed the larger of both sizes.
    fn reservation(&self, of: Ulid, number: u64) -> Vec<Hold> {
        let has_earlier = self.tickets_of(of).any(|(at, _)| at < number);
        let counts = |at: u64, ticket: &Ticket| match ticket.kind {
            Kind::Change { .. } => at < number || !has_earlier,
            Kind::Reservation | Kind::Creation | Kind::Draw { .. } => at < number,
        };
        let mut sizes: BTreeMap<&PerServer, Count> = BTreeMap::new();
        let mut changed_at = 0;
        for (at, ticket) in self.tickets_of(of).filter(|(at, ticket)| counts(*at, ticket)) {
            let size = sizes.entry(&ticket.each).or_default();
            *size = size.greater(&Count::of(ticket));
            if matches!(ticket.kind, Kind::Change { .. }) {
                changed_at = at;
            }
        }
        let made = self.made_in(of);
        // Those admitted under a larger size than it has now.
        let drawn = self.drawn(of, changed_at);
        let rests = sizes.into_iter().map(|(each, size)| {
            let rest = size.less_made(&made).greater(&drawn);
            rest.hold(each, Some(of))
        });
        rests.collect()
    }

    fn tickets_of(&self, of: Ulid) -> impl Iterator<Item = (u64, &'a Ticket)> {
        let live = self.board.live(self.now);
        live.filter(move |(_, ticket)| ticket.reservation() == Some(of))
    }

    /// The servers of draws before a number that do not exist yet.
    fn drawn(&self, of: Ulid, number: u64) -> Count {
        let draws = self.board.live(self.now);
        let draws = draws.filter(|(at, ticket)| *at < number && ticket.draws_from() == Some(of));
        let mut own: BTreeMap<Ulid, Count> = BTreeMap::new();
        for (_, ticket) in draws {
            let count = own.entry(ticket.id).or_default();
            *count = count.greater(&Count::of(ticket).less_made(&self.made_under(ticket.id)));
        }
        own.values().fold(Count::default(), |sum, count| sum.plus(count))
    }

    fn made_under(&self, id: Ulid) -> Count {
        Count::made(self.servers.iter().filter(|server| server.ticket == Some(id)))
    }

    /// The servers of a reservation: those that name it, and those of its draws.
    fn made_in(&self, of: Ulid) -> Count {
        let draws = self.board.live(self.now);
        let draws = draws.filter(|(_, ticket)| ticket.draws_from() == Some(of));
        let draws: BTreeSet<Ulid> = draws.map(|(_, ticket)| ticket.id).collect();
        let is_in = |server: &&Served| {
            server.reservation == Some(of) || server.ticket.is_some_and(|ticket| draws.contains(&ticket))
        };
        Count::made(self.servers.iter().filter(is_in))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{at, board, host, ticket};
    use super::*;

    /// A pool with room for so many servers.
    struct Slots(u32, Vec<Served>);

    impl Room for Slots {
        fn servers(&self) -> &[Served] {
            &self.1
        }

        fn takes(&self, held: &[Hold], asked: &Hold) -> bool {
            let there = u32::try_from(self.1.len()).unwrap();
            there + held.iter().map(|hold| hold.servers).sum::<u32>() + asked.servers <= self.0
        }
    }

    fn made(ticket: u128, reservation: Option<u128>) -> Served {
        Served {
            ticket: Some(Ulid(ticket)),
            reservation: reservation.map(Ulid),
            host: Some(host(1)),
        }
    }

    #[track_caller]
    fn check(tickets: &[(u64, Ticket)], number: u64, room: &Slots, expect: Verdict) {
        assert_eq!(judge(&board(tickets, &[]), at(0), number, room), expect);
    }

    fn draw(id: u128, of: u128, servers: u32) -> Ticket {
        ticket(id, Kind::Draw { of: Ulid(of) }, servers)
    }

    fn change(id: u128, of: u128, replaces: u64, servers: u32) -> Ticket {
        let of = Ulid(of);
        ticket(id, Kind::Change { of, replaces }, servers)
    }

    const NO_ROOM: Verdict = Verdict::Refused(Refusal::NoRoom);

    #[test]
    fn those_before_count_and_those_after_do_not() {
        let tickets = [
            (1, ticket(1, Kind::Creation, 2)),
            (2, ticket(2, Kind::Reservation, 1)),
            (3, ticket(3, Kind::Creation, 2)),
        ];
        let room = Slots(3, Vec::new());
        check(&tickets, 1, &room, Verdict::Admitted);
        check(&tickets, 2, &room, Verdict::Admitted);
        check(&tickets, 3, &room, NO_ROOM);
        check(&tickets, 4, &room, Verdict::Refused(Refusal::Over));
    }

    #[test]
    fn a_ticket_holds_less_by_what_was_made_under_it() {
        let tickets = [(1, ticket(1, Kind::Creation, 2)), (2, ticket(2, Kind::Creation, 1))];
        check(
            &tickets,
            2,
            &Slots(3, vec![made(1, None), made(1, None)]),
            Verdict::Admitted,
        );
        check(&tickets, 2, &Slots(2, vec![made(1, None)]), NO_ROOM);
    }

    #[test]
    fn a_draw_takes_a_place_of_its_reservation_and_no_room() {
        let tickets = [
            (1, ticket(1, Kind::Reservation, 2)),
            (2, draw(2, 1, 1)),
            (3, draw(3, 1, 1)),
            (4, ticket(4, Kind::Creation, 1)),
        ];
        let used_up = Verdict::Refused(Refusal::UsedUp);
        check(&tickets, 3, &Slots(0, Vec::new()), Verdict::Admitted);
        check(&tickets, 3, &Slots(0, vec![made(2, None)]), Verdict::Admitted);
        check(&tickets, 3, &Slots(0, vec![made(9, Some(1))]), used_up);
        check(
            &tickets,
            4,
            &Slots(3, vec![made(2, Some(1)), made(3, Some(1))]),
            Verdict::Admitted,
        );
        check(&tickets, 4, &Slots(2, Vec::new()), NO_ROOM);
        let mut elsewhere = tickets.clone();
        elsewhere[2].1.hosts = BTreeMap::from([(host(2), 1)]);
        check(&elsewhere, 3, &Slots(9, Vec::new()), used_up);
        let gone = board(&tickets, &[1]);
        let refused = Verdict::Refused(Refusal::ReservationGone);
        assert_eq!(judge(&gone, at(0), 2, &Slots(9, Vec::new())), refused);
        assert_eq!(
            judge(&gone, at(0), 4, &Slots(2, Vec::new())),
            NO_ROOM,
            "its draws hold by themselves"
        );
    }

    #[test]
    fn a_change_counts_as_the_larger_of_both_and_asks_for_what_it_has_not() {
        let waiting = ticket(2, Kind::Creation, 1);
        let grown = [
            (1, ticket(1, Kind::Reservation, 1)),
            (3, change(3, 1, 1, 2)),
            (4, ticket(4, Kind::Creation, 1)),
        ];
        check(&grown, 3, &Slots(2, Vec::new()), Verdict::Admitted);
        check(&grown, 3, &Slots(1, Vec::new()), NO_ROOM);
        check(&grown, 4, &Slots(2, Vec::new()), NO_ROOM);
        let shrunk = [
            (1, ticket(1, Kind::Reservation, 2)),
            (2, waiting),
            (3, change(3, 1, 1, 1)),
            (4, ticket(4, Kind::Creation, 1)),
        ];
        check(&shrunk, 3, &Slots(0, Vec::new()), Verdict::Admitted);
        check(&shrunk, 4, &Slots(3, Vec::new()), NO_ROOM);
        let after = board(&shrunk, &[1]);
        assert_eq!(judge(&after, at(0), 2, &Slots(2, Vec::new())), Verdict::Admitted);
        assert_eq!(
            judge(&after, at(0), 2, &Slots(1, Vec::new())),
            NO_ROOM,
            "it goes on with an earlier hold"
        );
    }

    #[test]
    fn a_reservation_tells_what_is_used_of_it() {
        let tickets = [
            (1, ticket(1, Kind::Reservation, 3)),
            (2, draw(2, 1, 2)),
            (3, change(3, 1, 1, 4)),
        ];
        let servers = [made(2, Some(1)), made(7, Some(1)), made(8, None)];
        let found = reserved(&board(&tickets, &[]), at(0), Ulid(1), &servers).unwrap();
        assert_eq!(
            (found.used, found.ticket.servers()),
            (3, 3),
            "a change may never have been admitted"
        );
        assert_eq!(found.numbers, BTreeSet::from([1, 3]));
        assert_eq!(reserved(&board(&tickets, &[]), at(1000), Ulid(1), &servers), None);
        let held = holds(&board(&tickets, &[]), at(0), &servers);
        assert_eq!(
            held.iter()
                .map(|hold| (hold.reservation, hold.servers))
                .collect::<Vec<_>>(),
            [(Some(Ulid(1)), 2)]
        );
    }

    #[test]
    fn nobody_relies_on_a_ticket_shortly_before_its_end() {
        let tickets = board(&[(1, ticket(1, Kind::Creation, 1))], &[]);
        let room = Slots(1, Vec::new());
        assert_eq!(judge(&tickets, at(969), 1, &room), Verdict::Admitted);
        assert_eq!(judge(&tickets, at(970), 1, &room), Verdict::Refused(Refusal::Over));
        assert_eq!(holds(&tickets, at(999), &[]).len(), 1, "for all others it lasts");
    }
}
