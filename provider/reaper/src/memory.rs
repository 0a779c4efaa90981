//! What must be remembered between runs: what was seen once and has to be seen twice, what failed, how the clocks stood, and what a
//! person has acknowledged. All of it makes a reaper hold back; to forget it is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fleet::lease::{Expires, Mark, Parsed, VmMarks};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use xenapi::Uuid;

use crate::steadiness::Steadiness;

/// How far apart two looks must be.
pub const SEEN_APART: SignedDuration = SignedDuration::from_mins(10);
/// After so many failures something is quarantined: reported, and tried rarely.
pub const QUARANTINED_AFTER: u32 = 6;
/// What is kept in the folder in which a reaper remembers.
pub const FILES: [&str; 2] = [MEMORY, ACKNOWLEDGED];
const MEMORY: &str = "memory.json";
const ACKNOWLEDGED: &str = "acknowledged.json";
const RARELY: SignedDuration = SignedDuration::from_hours(6);
const FIRST_PAUSE_SECONDS: i64 = 30;

/// What is remembered of all pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    #[serde(default)]
    pools: BTreeMap<String, PoolMemory>,
}

/// What is remembered of a pool. UUIDs are kept as text, times are the coordinator's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMemory {
    /// How clock and coordinator stood, by the wall clock.
    #[serde(default)]
    pub steadiness: Steadiness,
    #[serde(default)]
    first_seen: BTreeMap<String, Timestamp>,
    #[serde(default)]
    failures: BTreeMap<String, Failures>,
    /// The latest lease that was seen on each server, as its mark reads.
    #[serde(default)]
    leases: BTreeMap<String, String>,
}

/// How often something could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How often.
    pub count: u32,
    /// When it is tried again.
    pub next: Timestamp,
    /// What went wrong last.
    pub why: String,
}

/// The expiry marks that a person let go although very many came at once.
pub type Acknowledged = BTreeSet<Ulid>;

impl Memory {
    /// What is remembered of a pool; empty for one that is new.
    pub fn of(&self, pool: &Uuid) -> PoolMemory {
        self.pools.get(&pool.to_string()).cloned().unwrap_or_default()
    }

    /// Remembers this of a pool from now on.
    pub fn put(&mut self, pool: &Uuid, memory: PoolMemory) {
        self.pools.insert(pool.to_string(), memory);
    }
}

impl PoolMemory {
    /// When something was seen first.
    pub fn first_seen(&self, uuid: &Uuid) -> Option<Timestamp> {
        self.first_seen.get(&uuid.to_string()).copied()
    }

    /// Notes what is seen now of all that has to be seen twice, and forgets what is gone.
    pub fn see<'a>(&mut self, seen: impl IntoIterator<Item = &'a Uuid>, now: Timestamp) {
        let mut kept = BTreeMap::new();
        for uuid in seen {
            let uuid = uuid.to_string();
            // A sighting from the future was noted by a clock that was wrong.
            let first = self.first_seen.get(&uuid).copied().filter(|first| *first <= now);
            kept.insert(uuid, first.unwrap_or(now));
        }
        self.first_seen = kept;
    }

    /// Notes the lease of a server that stands on both sides while nobody claims it: one that may have been acknowledged.
    pub fn see_lease(&mut self, marks: &VmMarks) {
        let Some(latest) = marks.expires().into_iter().next_back() else {
            return;
        };
        let is_settled = marks.has_on_both_sides(&latest) && marks.claims().is_empty();
        if is_settled && self.lost_lease(marks).is_none() {
            self.leases
                .insert(marks.vm().to_string(), Mark::Expires(latest).to_string());
        }
    }

    /// The later lease that a server had and has not any more, although no newer mark took its place: a pool that comes back
    /// with an older copy of its database has lost it, and whoever was promised it does not know.
    pub fn lost_lease(&self, marks: &VmMarks) -> Option<Expires> {
        let text = self.leases.get(&marks.vm().to_string())?;
        let Parsed::Mark(Mark::Expires(known)) = Mark::parse(text) else {
            return None;
        };
        let now = marks.expires();
        let is_replaced = now
            .iter()
            .any(|mark| *mark == known || mark.at >= known.at || mark.id > known.id);
        (!is_replaced && !now.is_empty()).then_some(known)
    }

    /// Forgets the leases of what is gone.
    pub fn keep_leases(&mut self, is_there: impl Fn(&str) -> bool) {
        self.leases.retain(|uuid, _| is_there(uuid));
    }

    /// How often something could not be deleted.
    pub fn failures(&self, uuid: &Uuid) -> Option<&Failures> {
        self.failures.get(&uuid.to_string())
    }

    /// The failures of something that is not to be tried again yet. A time that no pause explains was noted by a clock that was
    /// wrong.
    pub fn pausing(&self, uuid: &Uuid, now: Timestamp) -> Option<&Failures> {
        let longest = now.checked_add(RARELY).unwrap_or(Timestamp::MAX);
        self.failures(uuid)
            .filter(|failures| failures.next > now && failures.next <= longest)
    }

    /// Notes a failure: it is tried again after 30 s, then twice as long each time, then rarely.
    pub fn failed(&mut self, uuid: &Uuid, why: String, now: Timestamp) {
        let count = self
            .failures(uuid)
            .map_or(0, |failures| failures.count)
            .saturating_add(1);
        let pause = if count >= QUARANTINED_AFTER {
            RARELY
        } else {
            SignedDuration::from_secs(FIRST_PAUSE_SECONDS << (count - 1).min(10))
        };
        let failures = Failures {
            count,
            next: now.checked_add(pause).unwrap_or(Timestamp::MAX),
            why,
        };
        self.failures.insert(uuid.to_string(), failures);
    }

    /// Forgets the failures of what is gone or has succeeded.
    pub fn keep_failures(&mut self, is_there: impl Fn(&str) -> bool) {
        self.failures.retain(|uuid, _| is_there(uuid));
    }

    /// How many things are quarantined.
    pub fn quarantined(&self) -> usize {
        let many = self.failures.values();
        many.filter(|failures| failures.count >= QUARANTINED_AFTER).count()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quarantined = if self.count >= QUARANTINED_AFTER {
            ", quarantined"
        } else {
            ""
        };
        write!(
            f,
            "failed {} times{quarantined}, tried again at {} ({})",
            self.count, self.next, self.why
        )
    }
}

/// The folder in which a reaper remembers.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        tempfile::tempfile_in(path)?;
        Ok(Self(path.to_owned()))
    }

    /// A folder that is only read, and may be absent.
    pub fn for_reading(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads what is remembered. What cannot be read is forgotten, with a warning.
    pub fn memory(&self) -> Memory {
        self.read(MEMORY)
    }

    /// Replaces what is remembered, whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&self, memory: &Memory) -> io::Result<()> {
        self.write(MEMORY, memory)
    }

    /// Reads what a person acknowledged.
    pub fn acknowledged(&self) -> Acknowledged {
        let texts: BTreeSet<String> = self.read(ACKNOWLEDGED);
        texts.iter().filter_map(|text| Ulid::from_string(text).ok()).collect()
    }

    /// Replaces what a person acknowledged.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn acknowledge(&self, marks: &Acknowledged) -> io::Result<()> {
        let texts: BTreeSet<String> = marks.iter().map(ToString::to_string).collect();
        self.write(ACKNOWLEDGED, &texts)
    }

    fn read<T: Default + for<'de> Deserialize<'de>>(&self, name: &str) -> T {
        let path = self.0.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return T::default(),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "what was remembered cannot be read");
                return T::default();
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "what was remembered cannot be understood, and is forgotten");
            T::default()
        })
    }

    /// Writes beside, then renames: whoever is killed in between leaves the old file whole.
    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        serde_json::to_writer(&mut file, value)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(self.0.join(name))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_bytes([1; 16]);
    const B: Uuid = Uuid::from_bytes([2; 16]);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn failures_back_off_and_end_in_quarantine() {
        let mut memory = PoolMemory::default();
        let pauses: Vec<i64> = (0..8)
            .map(|_| {
                memory.failed(&A, "no".into(), at(0));
                memory.failures(&A).unwrap().next.as_second()
            })
            .collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 21_600, 21_600, 21_600]);
        assert_eq!(memory.quarantined(), 1);
        memory.keep_failures(|uuid| uuid != A.to_string());
        assert_eq!(memory.quarantined(), 0);
    }

    fn marks(tags: &[&str], keys: &[&str]) -> VmMarks {
        let own = format!("dynvm:vm={A}");
        let tags: Vec<&str> = tags.iter().copied().chain([own.as_str()]).collect();
        let keys = keys.iter().copied().chain([own.as_str()]).map(|key| (key, ""));
        VmMarks::read(&A, tags, keys)
    }

    #[test]
    fn a_lease_that_was_there_and_is_not_any_more_is_missed() {
        let early = "dynvm:expires=2026-11-21T10:00:00Z/01JD4Q8QCGTF0000000000000A";
        let late = "dynvm:expires=2026-11-21T12:00:00Z/01JD4Q8QCGTF0000000000000B";
        let shortened = "dynvm:expires=2026-11-21T11:00:00Z/01JD4Q8QCGTF0000000000000C";
        let mut memory = PoolMemory::default();
        memory.see_lease(&marks(&[early], &[early]));
        memory.see_lease(&marks(&[late], &[early]));
        assert!(
            memory.lost_lease(&marks(&[early], &[early])).is_none(),
            "it never stood on both sides"
        );
        memory.see_lease(&marks(&[late], &[late]));
        assert!(memory.lost_lease(&marks(&[early], &[early])).is_some());
        memory.see_lease(&marks(&[early], &[early]));
        assert!(
            memory.lost_lease(&marks(&[early], &[early])).is_some(),
            "and stays missed"
        );
        assert!(
            memory.lost_lease(&marks(&[shortened], &[shortened])).is_none(),
            "a newer mark took its place"
        );
        assert!(
            memory.lost_lease(&marks(&[], &[])).is_none(),
            "without any it has no expiry at all"
        );
        assert!(memory.lost_lease(&marks(&[late], &[])).is_none());
    }

    #[test]
    fn a_pause_from_a_clock_that_was_wrong_is_over() {
        let mut memory = PoolMemory::default();
        memory.failed(&A, "no".into(), at(1_000_000));
        assert!(memory.pausing(&A, at(1_000_000)).is_some());
        assert!(memory.pausing(&A, at(0)).is_none());
        assert!(memory.pausing(&A, at(1_000_031)).is_none());
    }

    #[test]
    fn the_first_sighting_counts_and_what_is_gone_is_forgotten() {
        let mut memory = PoolMemory::default();
        memory.see([&A, &B], at(100));
        memory.see([&A], at(200));
        assert_eq!(memory.first_seen(&A), Some(at(100)));
        assert_eq!(memory.first_seen(&B), None);
        memory.see([&A], at(50));
        assert_eq!(
            memory.first_seen(&A),
            Some(at(50)),
            "seen by a clock that went back since"
        );
    }

    #[test]
    fn what_is_written_is_read_and_garbage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.memory(), Memory::default());
        let mut memory = Memory::default();
        let mut pool = PoolMemory::default();
        pool.failed(&A, "no".into(), at(0));
        pool.see([&B], at(7));
        memory.put(&A, pool);
        state.remember(&memory).unwrap();
        assert_eq!(state.memory(), memory);
        let marks = Acknowledged::from([Ulid(1), Ulid(2)]);
        state.acknowledge(&marks).unwrap();
        assert_eq!(state.acknowledged(), marks);
        for garbage in ["", "{", "[]", "{\"pools\":7}", "\u{0}"] {
            fs::write(folder.path().join("memory.json"), garbage).unwrap();
            fs::write(folder.path().join("acknowledged.json"), garbage).unwrap();
            assert_eq!(state.memory(), Memory::default());
            assert_eq!(state.acknowledged(), Acknowledged::new());
        }
        fs::write(folder.path().join("memory.json"), b"\xff\xfe").unwrap();
        assert_eq!(state.memory(), Memory::default());
    }
}
