//! All tickets of a pool, as one read of its `other_config` shows them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use ulid::Ulid;

use super::key::{Key, ticket_key};
use super::value::{PerServer, Ticket, Value};

/// All tickets of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Board {
    values: BTreeMap<u64, Value>,
    ends: BTreeMap<u64, End>,
    strange: BTreeSet<String>,
    highest: u64,
}

/// The value of a mark that ends a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    /// It ends this ticket and no other one under the same number: after a tool has written the whole map back, numbers may be
    /// given twice, and a mark may come late.
    Of(Ulid),
    /// A person wrote it, with whatever value: it ends what is there.
    Any,
}

/// What is there of a number that nobody needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leftover {
    /// The number.
    pub number: u64,
    /// There is a mark that ends it.
    pub is_marked: bool,
}

/// How a number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It holds room, or asks for it.
    Live(&'a Ticket),
    /// Its time has been over since then.
    Over(Timestamp),
    /// It is released.
    Released,
    /// Nobody understands it, and nobody has ended it.
    Unknown,
}

impl Board {
    /// Reads the pool's `other_config`.
    pub fn read<'a>(other_config: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut board = Self::default();
        for (key, value) in other_config {
            let Some(read) = Key::parse(key) else {
                continue;
            };
            board.highest = board.highest.max(read.number().unwrap_or_default());
            match read {
                Key::Ticket(number) => {
                    board.values.insert(number, Value::parse(value));
                }
                Key::Released(number) => {
                    let of = Ulid::from_string(value);
                    board.ends.insert(number, of.map_or(End::Any, End::Of));
                }
                Key::Strange(_) => {
                    board.strange.insert(key.to_owned());
                }
            }
        }
        board
    }

    /// The same without some holders' tickets.
    #[must_use]
    pub fn without(&self, is_left_out: impl Fn(Ulid) -> bool) -> Self {
        let mut board = self.clone();
        board.values.retain(|_, value| match value {
            Value::Ticket(ticket) => !is_left_out(ticket.id),
            Value::Unknown(_) => true,
        });
        board
    }

    /// What one server of each ticket needs, whether the ticket is live or not.
    pub fn needs(&self) -> BTreeMap<Ulid, &PerServer> {
        let mut needs = BTreeMap::new();
        for (_, ticket) in self.tickets() {
            needs.entry(ticket.id).or_insert(&ticket.each);
        }
        needs
    }

    /// The ids of all tickets, live or not.
    pub fn ids(&self) -> BTreeSet<Ulid> {
        self.tickets().map(|(_, ticket)| ticket.id).collect()
    }

    /// The reservations that tickets are of or draw from, live or not.
    pub fn reservations(&self) -> BTreeSet<Ulid> {
        let of = |ticket: &Ticket| ticket.reservation().or(ticket.draws_from());
        self.tickets().filter_map(|(_, ticket)| of(ticket)).collect()
    }

    /// The number for a new ticket; `None` if there is no higher one.
    pub fn next(&self) -> Option<u64> {
        self.highest.checked_add(1)
    }

    /// The tickets that hold or ask for room, in the order of their arrival.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = (u64, &Ticket)> {
        self.tickets()
            .filter(move |(number, ticket)| ticket.until > now && !self.is_released(*number))
    }

    /// How each number stands; those of keys that are no ticket's are not among them.
    pub fn standings(&self, now: Timestamp) -> impl Iterator<Item = (u64, Standing<'_>)> {
        let numbers: BTreeSet<u64> = self.values.keys().chain(self.ends.keys()).copied().collect();
        numbers
            .into_iter()
            .map(move |number| (number, self.standing(number, now)))
    }

    /// Says whether a number is the highest: it is never cleared, as the next one is counted from it.
    pub fn is_highest(&self, number: u64) -> bool {
        number == self.highest
    }

    /// The numbers under which a ticket stands that is not released; more than one if a call was carried out late.
    pub fn numbers_of(&self, id: Ulid) -> impl Iterator<Item = u64> {
        let own = self.tickets().filter(move |(_, ticket)| ticket.id == id);
        own.map(|(number, _)| number)
            .filter(|number| !self.is_released(*number))
    }

    /// Says whether a ticket is there, and ended.
    pub fn has_ended(&self, id: Ulid) -> bool {
        let mut own = self.tickets().filter(|(_, ticket)| ticket.id == id);
        own.any(|(number, _)| self.is_released(number))
    }

    /// Says whether the mark that ends a number is there and does not mean the ticket that is there.
    pub fn has_end_of_another(&self, number: u64) -> bool {
        self.ends.contains_key(&number) && self.values.contains_key(&number) && !self.is_released(number)
    }

    /// What may be cleared away: all that is released or over, but never the highest number, which the next one is counted from.
    pub fn leftovers(&self, now: Timestamp) -> Vec<Leftover> {
        let is_over = |standing: &Standing<'_>| matches!(standing, Standing::Over(_) | Standing::Released);
        let over = self.standings(now).filter(|(_, standing)| is_over(standing));
        let below = over.filter(|(number, _)| *number < self.highest);
        below
            .map(|(number, _)| Leftover {
                number,
                is_marked: self.ends.contains_key(&number),
            })
            .collect()
    }

    /// The keys that this version does not understand and that nobody has ended: for a person to look at.
    pub fn unknown(&self) -> Vec<String> {
        let unread = self.values.iter().filter_map(|(number, value)| match value {
            Value::Unknown(_) if !self.is_released(*number) => Some(ticket_key(*number)),
            Value::Unknown(_) | Value::Ticket(_) => None,
        });
        self.strange.iter().cloned().chain(unread).collect()
    }

    fn tickets(&self) -> impl Iterator<Item = (u64, &Ticket)> {
        self.values.iter().filter_map(|(number, value)| match value {
            Value::Ticket(ticket) => Some((*number, ticket)),
            Value::Unknown(_) => None,
        })
    }

    fn is_released(&self, number: u64) -> bool {
        match (self.ends.get(&number), self.values.get(&number)) {
            (Some(End::Of(id)), Some(Value::Ticket(ticket))) => ticket.id == *id,
            // Who ends what this version does not understand has understood it.
            (Some(End::Of(_) | End::Any), Some(Value::Ticket(_) | Value::Unknown(_)) | None) => true,
            (None, Some(_) | None) => false,
        }
    }

    fn standing(&self, number: u64, now: Timestamp) -> Standing<'_> {
        if self.is_released(number) {
            return Standing::Released;
        }
        match self.values.get(&number) {
            Some(Value::Ticket(ticket)) if ticket.until > now => Standing::Live(ticket),
            Some(Value::Ticket(Ticket { until, .. }) | Value::Unknown(Some(until))) if *until <= now => {
                Standing::Over(*until)
            }
            Some(Value::Ticket(_) | Value::Unknown(_)) | None => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kind;
    use super::super::sample::{at, ticket};
    use super::*;

    fn board(pairs: &[(&str, &str)]) -> Board {
        Board::read(pairs.iter().copied())
    }

    fn numbers(leftovers: &[Leftover]) -> Vec<u64> {
        leftovers.iter().map(|leftover| leftover.number).collect()
    }

    #[test]
    fn the_next_number_is_above_all_that_are_there() {
        let next = |keys: &[&str]| {
            let pairs: Vec<_> = keys.iter().map(|key| (*key, "")).collect();
            board(&pairs).next()
        };
        assert_eq!(next(&[]), Some(1));
        assert_eq!(next(&["dynvm:pause", "dynvm:ticket.x"]), Some(1));
        assert_eq!(next(&["dynvm:ticket.3", "dynvm:ticket.2"]), Some(4));
        assert_eq!(next(&["dynvm:ticket.3", "dynvm:ticket.9.released"]), Some(10));
        assert_eq!(next(&["dynvm:ticket.011.later"]), Some(12));
        assert_eq!(next(&["dynvm:ticket.18446744073709551615"]), None);
    }

    #[test]
    fn released_and_expired_tickets_are_not_live() {
        let (one, two, three) = (
            ticket(1, Kind::Creation, 1),
            ticket(2, Kind::Creation, 1),
            ticket(3, Kind::Creation, 1),
        );
        let json = [one.to_json(), two.to_json(), three.to_json()];
        let id = Ulid(2).to_string();
        let board = board(&[
            ("dynvm:ticket.1", &json[0]),
            ("dynvm:ticket.2", &json[1]),
            ("dynvm:ticket.2.released", &id),
            ("dynvm:ticket.3", &json[2]),
            ("dynvm:ticket.3.released", "by hand"),
        ]);
        let live: Vec<u64> = board.live(at(0)).map(|(number, _)| number).collect();
        assert_eq!(live, [1]);
        assert_eq!(board.live(one.until).count(), 0);
        assert_eq!(numbers(&board.leftovers(at(0))), [2]);
        assert_eq!(numbers(&board.leftovers(one.until)), [1, 2], "the highest stays");
    }

    #[test]
    fn a_mark_ends_the_ticket_that_it_names_and_no_other_under_its_number() {
        let json = ticket(1, Kind::Creation, 1).to_json();
        let late = Ulid(9).to_string();
        let board = board(&[
            ("dynvm:ticket.1", &json),
            ("dynvm:ticket.1.released", &late),
            ("dynvm:ticket.2", ""),
        ]);
        assert_eq!(board.live(at(0)).count(), 1);
        assert!(board.has_end_of_another(1));
        assert_eq!(board.leftovers(at(0)), []);
    }

    #[test]
    fn what_nobody_understands_stays_until_it_is_ended_or_says_that_it_is_over() {
        let board = board(&[
            ("dynvm:ticket.1", "?"),
            ("dynvm:ticket.2", r#"{"lottery":true,"until":"1970-01-01T00:00:10Z"}"#),
            ("dynvm:ticket.3", "?"),
            ("dynvm:ticket.3.released", "?"),
            ("dynvm:ticket.4.held", ""),
            ("dynvm:ticket.5.released", ""),
            ("dynvm:ticket.x", ""),
            ("dynvm:ticket.6.released", ""),
        ]);
        assert_eq!(numbers(&board.leftovers(at(0))), [3, 5]);
        assert_eq!(numbers(&board.leftovers(at(10))), [2, 3, 5]);
        assert_eq!(
            board.unknown(),
            [
                "dynvm:ticket.4.held",
                "dynvm:ticket.x",
                "dynvm:ticket.1",
                "dynvm:ticket.2"
            ]
        );
        assert_eq!(board.live(at(0)).count(), 0);
    }

    proptest! {
        #[test]
        fn any_map_is_read_without_panic_and_keeps_its_highest_number(
            pairs in prop::collection::btree_map("dynvm:ticket\\.([0-9]{1,20}(\\.released)?|.*)", ".*", 0..8)
        ) {
            let board = Board::read(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            for leftover in board.leftovers(Timestamp::MAX) {
                prop_assert!(Some(leftover.number + 1) < board.next() || board.next().is_none());
            }
        }
    }
}
