//! What a creator makes of its own writing, read again: the pure judgement at the end of a birth.

use super::seen::VmMarks;
use crate::birth_name::BirthName;

/// What the first read after the marks were written shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// A reaper has claimed the VM: the creation stops.
    Claimed,
    /// The marks stand on both sides: the creation goes on.
    Confirmed,
    /// Another tool has written a field back as it was before: to be written again.
    Overwritten,
}

impl Confirmation {
    /// Judges a read of a VM that was born under this name. Writing the marks wipes what a reaper may have written before;
    /// but a reaper also changes the name, to one of its own of the same form.
    pub fn of(seen: &VmMarks, name: &str, birth: &BirthName) -> Self {
        let is_renamed = BirthName::parse(name).is_some_and(|is| is != *birth);
        if is_renamed || !seen.claims().is_empty() {
            Confirmation::Claimed
        } else if seen.is_managed() && seen.is_named_on_both_sides() && seen.creating().contains(&birth.deadline) {
            Confirmation::Confirmed
        } else {
            Confirmation::Overwritten
        }
    }
}
