//! The name that a clone is born with: the one thing that is set in the same instant in which a VM comes to be.
//!
//! It names the request's clone, so that a lost answer can be looked for, and the end of its creation lease, so that what a
//! crash leaves behind can be told from what is being made.

use std::fmt;

use jiff::Timestamp;
use ulid::Ulid;

/// What every birth name begins with.
pub const BIRTH_PREFIX: &str = "dynvm-new-";

/// A birth name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BirthName {
    /// Identifies the clone.
    pub id: Ulid,
    /// The end of its creation lease, by the coordinator's clock.
    pub deadline: Timestamp,
}

impl BirthName {
    /// Reads a VM's name; `None` if it is not a birth name in its one spelling.
    pub fn parse(name: &str) -> Option<Self> {
        let (id, deadline) = name.strip_prefix(BIRTH_PREFIX)?.split_once('-')?;
        let id = Ulid::from_string(id).ok()?;
        let deadline = Timestamp::from_second(deadline.parse().ok()?).ok()?;
        let birth = Self { id, deadline };
        (birth.to_string() == name).then_some(birth)
    }
}

impl fmt::Display for BirthName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BIRTH_PREFIX}{}-{}", self.id, self.deadline.as_second())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_names_are_no_birth_names() {
        for name in [
            "",
            "web",
            "dynvm-new-",
            "dynvm-new-01JD4Q8QCGTF0000000000000A",
            "dynvm-new-01JD4Q8QCGTF0000000000000A-",
            "dynvm-new-01JD4Q8QCGTF0000000000000A-x",
            "dynvm-new-01JD4Q8QCGTF0000000000000A-+5",
            "dynvm-new-01jd4q8qcgtf0000000000000a-5",
            "dynvm-new-01JD4Q8QCGTF0000000000000A-99999999999999999",
        ] {
            assert_eq!(BirthName::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(id in any::<u128>(), deadline in 0_i64..4_000_000_000) {
            let birth = BirthName { id: Ulid(id), deadline: Timestamp::from_second(deadline).unwrap() };
            prop_assert_eq!(BirthName::parse(&birth.to_string()), Some(birth));
        }

        #[test]
        fn any_name_is_read_without_panic(name in "(dynvm-new-)?.*") {
            let _ = BirthName::parse(&name);
        }
    }
}
