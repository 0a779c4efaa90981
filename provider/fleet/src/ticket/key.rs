//! The keys of `pool.other_config` that tickets live under.
//!
//! ```text
//! dynvm:ticket.12             a ticket
//! dynvm:ticket.12.released    its end
//! ```

/// What the key of every ticket begins with.
pub const TICKET_PREFIX: &str = "dynvm:ticket.";

const RELEASED: &str = ".released";

/// A key under the prefix, as it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A ticket's value.
    Ticket(u64),
    /// The mark that ends a ticket.
    Released(u64),
    /// Neither of the two in their one spelling; the number that it seems to use is nobody else's.
    Strange(Option<u64>),
}

impl Key {
    /// Reads a key; `None` if it is not about tickets.
    pub fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix(TICKET_PREFIX)?;
        let (digits, end) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let number = digits.parse().ok();
        // Leading zeros are a second spelling: somebody else's.
        let is_plain = digits == "0" || !digits.starts_with('0');
        Some(match number.filter(|_| is_plain) {
            Some(number) if end.is_empty() => Key::Ticket(number),
            Some(number) if end == RELEASED => Key::Released(number),
            Some(_) | None => Key::Strange(number),
        })
    }

    /// The number that it uses.
    pub fn number(self) -> Option<u64> {
        match self {
            Key::Ticket(number) | Key::Released(number) => Some(number),
            Key::Strange(number) => number,
        }
    }
}

/// The key of a ticket.
pub fn ticket_key(number: u64) -> String {
    format!("{TICKET_PREFIX}{number}")
}

/// The key that ends a ticket.
pub fn released_key(number: u64) -> String {
    format!("{TICKET_PREFIX}{number}{RELEASED}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_key_in_its_one_spelling() {
        for (key, expect) in [
            ("dynvm:ticket.1", Some(Key::Ticket(1))),
            ("dynvm:ticket.12.released", Some(Key::Released(12))),
            ("dynvm:ticket.", Some(Key::Strange(None))),
            ("dynvm:ticket.x", Some(Key::Strange(None))),
            ("dynvm:ticket.-1", Some(Key::Strange(None))),
            ("dynvm:ticket.18446744073709551616", Some(Key::Strange(None))),
            ("dynvm:ticket.07", Some(Key::Strange(Some(7)))),
            ("dynvm:ticket.7.held", Some(Key::Strange(Some(7)))),
            ("dynvm:ticket.7.released ", Some(Key::Strange(Some(7)))),
            ("dynvm:ticket.7é", Some(Key::Strange(Some(7)))),
            ("dynvm:tickets", None),
            ("dynvm:pause", None),
        ] {
            assert_eq!(Key::parse(key), expect, "{key}");
        }
    }

    fn print(key: Key) -> Option<String> {
        match key {
            Key::Ticket(number) => Some(ticket_key(number)),
            Key::Released(number) => Some(released_key(number)),
            Key::Strange(_) => None,
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(number: u64) {
            prop_assert_eq!(Key::parse(&ticket_key(number)), Some(Key::Ticket(number)));
            prop_assert_eq!(Key::parse(&released_key(number)), Some(Key::Released(number)));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(dynvm:ticket\\.)?[0-9]{0,24}(\\.released)?.*") {
            let key = Key::parse(&text);
            prop_assert_eq!(key.is_some(), text.starts_with(TICKET_PREFIX));
            if let Some(printed) = key.and_then(print) {
                prop_assert_eq!(printed, text);
            }
        }
    }
}
