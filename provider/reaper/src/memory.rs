//! What must be remembered between runs: what was seen once and has to be seen twice, what failed, how the clocks stood, and what a
//! person has acknowledged. All of it makes a reaper hold back; to forget it is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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

    /// How often something could not be deleted.
    pub fn failures(&self, uuid: &Uuid) -> Option<&Failures> {
        self.failures.get(&uuid.to_string())
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
