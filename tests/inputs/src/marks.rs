//! What stands on VMs and pools: marks, birth names, tickets, leases, specs. Anybody may write there.
//!
//! Each line is a tag, a name, and a key with its value behind a tab.

use fleet::lease::{LeaseRecord, Mark, PREFIX, Parsed, SpecRecord, VmMarks, format_time, parse_time};
use fleet::ticket::{Board, Key, TICKET_PREFIX, Value, released_key, ticket_key};
use fleet::{BirthName, Uuid};

use crate::lines::text;

/// The VM that the corpus is about, and a copy of it.
const VM: Uuid = Uuid::from_bytes(0x0ee5f2a5_9c5c_4dcd_a1f4_9c7d6e1b8a10_u128.to_be_bytes());
const COPY: Uuid = Uuid::from_bytes(0x1ff6a3b6_9c5c_4dcd_a1f4_9c7d6e1b8a10_u128.to_be_bytes());

pub(crate) fn read(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for line in text.lines() {
        let (key, value) = line.split_once('\t').unwrap_or((line, ""));
        one(key);
        one(value);
        documents(value);
    }
    whole(text);
}

/// Whatever is understood has one spelling.
fn one(text: &str) {
    match Mark::parse(text) {
        Parsed::Mark(mark) => assert_eq!(mark.to_string(), text),
        Parsed::Unparsable => assert!(text.starts_with(PREFIX), "{text:?}"),
        Parsed::Other => assert!(!text.starts_with(PREFIX), "{text:?}"),
    }
    if let Some(birth) = BirthName::parse(text) {
        assert_eq!(birth.to_string(), text);
    }
    if let Some(time) = parse_time(text) {
        assert_eq!(format_time(time), text);
    }
    match Key::parse(text) {
        Some(Key::Ticket(number)) => assert_eq!(ticket_key(number), text),
        Some(Key::Released(number)) => assert_eq!(released_key(number), text),
        Some(Key::Strange(_)) => assert!(text.starts_with(TICKET_PREFIX), "{text:?}"),
        None => assert!(!text.starts_with(TICKET_PREFIX), "{text:?}"),
    }
}

/// Whatever is understood comes back when it is written again.
fn documents(text: &str) {
    if let Value::Ticket(ticket) = Value::parse(text) {
        assert_eq!(Value::parse(&ticket.to_json()), Value::Ticket(ticket));
    }
    if let Ok(record) = serde_json::from_str::<LeaseRecord>(text) {
        assert_eq!(serde_json::from_str(&record.to_json()).ok(), Some(record));
    }
    if let Ok(spec) = serde_json::from_str::<SpecRecord>(text) {
        assert_eq!(serde_json::from_str(&spec.to_json()).ok(), Some(spec));
    }
}

/// The lines as the marks of a VM and as the tickets of a pool.
fn whole(text: &str) {
    let keys = || text.lines().map(|line| line.split_once('\t').unwrap_or((line, "")));
    let marks = VmMarks::read(&VM, text.lines(), keys());
    drop(format!("{:?} {:?} {marks:?}", marks.ownership(), marks.expiry()));
    let tagged = VmMarks::read(&VM, text.lines(), []);
    assert!(!tagged.is_managed(), "tags alone condemn: {text:?}");
    let copied = VmMarks::read(&COPY, text.lines(), keys());
    let both = marks.is_managed() && copied.is_managed();
    assert!(!both, "one record condemns two VMs: {text:?}");
    tickets(&Board::read(keys()), keys().filter_map(|(key, _)| Key::parse(key)));
}

fn tickets(board: &Board, mut keys: impl Iterator<Item = Key>) {
    if let Some(now) = parse_time("2026-11-20T10:00:00Z") {
        assert!(board.live(now).count() <= board.standings(now).count());
        drop((board.leftovers(now), board.unknown()));
    }
    if let Some(next) = board.next() {
        assert!(
            keys.all(|key| key.number() < Some(next)),
            "the number {next} is given twice"
        );
    }
}
