//! Tickets that hold nothing any more, cleared away beside the servers: those that are released, and those of processes that died.
//!
//! The other processes clear too, when they take the next ticket; whoever comes second finds nothing. What holds back the deletion of
//! servers holds this back as well: a pool whose clock has moved says of no ticket that it is over. What nobody understands is shown
//! and stays: a newer version may have written it.

use fleet::lease::format_time;
use fleet::ticket::{Board, Key, Kind, Standing, Ticket, ticket_key};
use jiff::Timestamp;

use crate::decide::Action;
use crate::rails::Rail;

/// What is decided about one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketDecision {
    /// Its key in the pool's `other_config`.
    pub key: String,
    /// How it stands.
    pub state: State,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
}

/// How a ticket stands, as metrics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It holds room, or asks for it.
    Live,
    /// It is released, or its time is over.
    Over,
    /// Nobody understands it.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Live, Self::Over, Self::Unknown];

    /// The value of the label `state`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Over => "over",
            Self::Unknown => "unknown",
        }
    }
}

/// Decides about the tickets of a pool, by number; a rail that stops everything stops this.
pub fn decide(board: &Board, now: Timestamp, rails: &[Rail]) -> Vec<TicketDecision> {
    let rail = rails.iter().find(|rail| rail.stops_everything());
    let numbered = board
        .standings(now)
        .map(|(number, standing)| about(board, number, standing, rail));
    let strange = board.unknown().into_iter().filter(|key| {
        // Those with a number of their own stand among the others.
        !matches!(Key::parse(key), Some(Key::Ticket(_)))
    });
    numbered.chain(strange.map(unknown)).collect()
}

fn about(board: &Board, number: u64, standing: Standing<'_>, rail: Option<&Rail>) -> TicketDecision {
    let why = match standing {
        Standing::Live(ticket) => {
            return TicketDecision {
                key: ticket_key(number),
                state: State::Live,
                action: Action::Keep,
                reason: holds(ticket),
            };
        }
        Standing::Unknown => return unknown(ticket_key(number)),
        Standing::Released => "released".to_owned(),
        Standing::Over(since) => format!("over since {}", format_time(since)),
    };
    let kept = if board.is_highest(number) {
        Some("the highest number stays, as the next one is counted from it".to_owned())
    } else {
        rail.map(|rail| format!("held back by the rail {}: {rail}", rail.name()))
    };
    TicketDecision {
        key: ticket_key(number),
        state: State::Over,
        action: if kept.is_some() { Action::Keep } else { Action::Delete },
        reason: kept.map_or_else(|| why.clone(), |kept| format!("{why}; {kept}")),
    }
}

fn holds(ticket: &Ticket) -> String {
    let what = match ticket.kind {
        Kind::Reservation => format!("the reservation {}", ticket.id),
        Kind::Change { of, .. } => format!("the reservation {of}"),
        Kind::Creation => "servers being created".to_owned(),
        Kind::Draw { of } => format!("servers being created in the reservation {of}"),
    };
    let (servers, until) = (ticket.servers(), format_time(ticket.until));
    format!("for {servers} servers until {until}, for {what}, by {:?}", ticket.by)
}

fn unknown(key: String) -> TicketDecision {
    TicketDecision {
        key,
        state: State::Unknown,
        action: Action::Keep,
        reason: "not understood: of a newer version, or written by hand; it holds nothing, and a person may remove it"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = r#"{"kind":"creation","id":"01JD4Q8QCGTF0000000000000A","until":"2026-11-20T10:30:00Z","vcpus":2,"memory":1,"hosts":{"02020202-0202-0202-0202-020202020202":3},"by":"ci"}"#;

    fn board() -> Board {
        Board::read([
            ("dynvm:ticket.1", LIVE),
            ("dynvm:ticket.2", LIVE),
            ("dynvm:ticket.2.released", "by hand"),
            ("dynvm:ticket.3", "?"),
            ("dynvm:ticket.4.released", ""),
            ("dynvm:ticket.x", ""),
        ])
    }

    fn at(now: &str, rails: &[Rail]) -> Vec<(String, &'static str, &'static str)> {
        let decided = decide(&board(), now.parse().unwrap(), rails);
        let short = decided
            .into_iter()
            .map(|one| (one.key, one.state.label(), one.action.word()));
        short.collect()
    }

    fn row(key: &str, state: &'static str, action: &'static str) -> (String, &'static str, &'static str) {
        (format!("dynvm:ticket.{key}"), state, action)
    }

    #[test]
    fn what_holds_nothing_goes_but_for_the_highest_and_what_nobody_understands() {
        let live = row("1", "live", "keep");
        let others = [
            row("2", "over", "delete"),
            row("3", "unknown", "keep"),
            row("4", "over", "keep"),
            row("x", "unknown", "keep"),
        ];
        let all = |first: &_| [std::slice::from_ref(first), &others].concat();
        assert_eq!(at("2026-11-20T10:29:59Z", &[]), all(&live));
        assert_eq!(at("2026-11-20T10:30:00Z", &[]), all(&row("1", "over", "delete")));
    }

    #[test]
    fn a_rail_that_stops_everything_stops_this() {
        let later = "2026-11-20T11:00:00Z";
        let held = at(later, &[Rail::Paused]);
        assert!(held.iter().all(|(_, _, action)| *action == "keep"), "{held:?}");
        let capped = Rail::MaxDeletions { waiting: 3, max: 1 };
        assert_eq!(at(later, &[capped]), at(later, &[]));
    }

    #[test]
    fn the_reasons_are_for_people() {
        let now = "2026-11-20T10:00:00Z".parse().unwrap();
        let reasons: Vec<String> = decide(&board(), now, &[Rail::Paused])
            .into_iter()
            .map(|one| one.reason)
            .collect();
        assert_eq!(
            reasons[0],
            r#"for 3 servers until 2026-11-20T10:30:00Z, for servers being created, by "ci""#
        );
        assert_eq!(
            reasons[1],
            "released; held back by the rail paused: the pool carries dynvm:pause"
        );
    }
}
