//! What a reaper was told about its work: the part of the configuration that decisions follow from.

use std::time::Duration;

use wildmatch::WildMatch;

use crate::clock::OwnClock;

/// The rules of one reaper.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long after its expiry a server is left alone.
    pub grace: Duration,
    /// Leases longer than this are reported.
    pub max_ttl: Option<Duration>,
    /// How many deletions one pool sees in a cycle.
    pub max_deletions: usize,
    /// Whose servers it may delete.
    pub owners: Owners,
}

/// Globs over owners.
#[derive(Debug, Clone, Default)]
pub struct Owners(Vec<WildMatch>);

/// How a reaper runs: what it can know of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It stays, and sees things twice; by this clock it notices whether the pool's jumps.
    Daemon(OwnClock),
    /// One look.
    Once,
}

impl Owners {
    /// Reads globs (`*`, `?`); none means everybody.
    pub fn new(globs: &[String]) -> Self {
        Self(globs.iter().map(|glob| WildMatch::new(glob)).collect())
    }

    /// Says whether servers of this owner may be deleted. One without an owner belongs to nobody in particular.
    pub fn include(&self, owner: Option<&str>) -> bool {
        self.0.is_empty() || owner.is_some_and(|owner| self.0.iter().any(|glob| glob.matches(owner)))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace: Duration::ZERO,
            max_ttl: None,
            max_deletions: 50,
            owners: Owners::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_choose_owners() {
        let owners = Owners::new(&["ci/*".to_owned(), "ada@?".to_owned()]);
        for (owner, expect) in [
            (Some("ci/nightly"), true),
            (Some("ada@x"), true),
            (Some("ada@host"), false),
            (None, false),
        ] {
            assert_eq!(owners.include(owner), expect, "{owner:?}");
        }
        assert!(Owners::default().include(None));
    }
}
