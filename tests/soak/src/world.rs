//! The lab itself, seen from above: the simulator's own tables, and not through any code of dynvm's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use fleet::Uuid;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use sim::{ClockMode, Control, Options, PoolAddress, Simulator, World};

use crate::diary::Diary;
use crate::promises::Promises;

/// How all that people make is called.
pub(crate) const PERSONAL: &str = "somebody's";
/// What belongs to somebody, and must stay as it is.
const OWNED: [&str; 4] = ["VM", "VDI", "VBD", "VIF"];
/// Fields of a person's disk that tell where it hangs and what was copied of it there: a server that goes lets go of it.
const ATTACHMENT: &[&str] = &["VBDs", "snapshots"];
/// What a clone shows for a while on the template that it is made from.
const MOVING: &[&str] = &["current_operations"];

/// When it is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Much is under way: a control domain holds a disk while it is written.
    Meanwhile,
    /// All is over.
    AtTheEnd,
}

/// A row of the simulator's tables: pool, class, UUID.
type Place = (String, &'static str, String);

/// The simulated pools and what must hold in them.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) control: Control,
    pub(crate) diary: Diary,
    pub(crate) promises: Promises,
    pub(crate) addresses: Vec<PoolAddress>,
    /// Rows that are foreign, as they were when they became so.
    foreign: Mutex<BTreeMap<Place, Json>>,
    /// Disks that people made, by the VM that they hang on.
    disks: Mutex<BTreeMap<String, String>>,
    /// Disks that a pool let go of in the middle of an operation of its own.
    cut_off: Mutex<BTreeSet<String>>,
    /// When runs that were killed began and ended.
    killed: Mutex<Vec<(Timestamp, Timestamp)>>,
    began: Timestamp,
    _simulator: Simulator,
}

impl Lab {
    pub(crate) async fn start(seed: u64) -> Result<Self> {
        let mut world = World::from_hcl(include_str!("lab.hcl"))?;
        world.seed = seed;
        let options = Options {
            clock: ClockMode::Runtime,
            control: None,
        };
        let simulator = Simulator::start(world, options).await?;
        let control = simulator.control();
        let began = Timestamp::UNIX_EPOCH;
        let mut lab = Self {
            addresses: simulator.pools(),
            diary: Diary::default(),
            promises: Promises::default(),
            foreign: Mutex::default(),
            disks: Mutex::default(),
            killed: Mutex::default(),
            cut_off: Mutex::default(),
            began,
            control,
            _simulator: simulator,
        };
        lab.began = lab.wall().await?;
        *lab.foreign.lock().unwrap_or_else(PoisonError::into_inner) = lab.rows();
        Ok(lab)
    }

    /// What the clock of the first pool's coordinator shows: the runtime's clock begins at a whole second.
    async fn wall(&self) -> Result<Timestamp> {
        let hosts = self.call("lab1", "host.get_all", json!([])).await?;
        let said = self.call("lab1", "host.get_servertime", json!([hosts.get(0)])).await?;
        time(said.as_str().context("a time")?)
    }

    /// What the pools' clocks show.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.control.now()).unwrap_or(SignedDuration::MAX);
        self.began.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn passed(&self) -> Duration {
        self.control.now()
    }

    /// Waits until so much time has passed since the start.
    pub(crate) async fn until(&self, due: Duration) {
        tokio::time::sleep(due.saturating_sub(self.passed())).await;
    }

    pub(crate) fn note(&self, who: &str, what: &str) {
        self.diary.note(self.passed(), who, what);
    }

    pub(crate) fn pool_names(&self) -> Vec<&str> {
        self.addresses.iter().map(|pool| pool.name.as_str()).collect()
    }

    /// Calls a pool as a person, beside all faults.
    pub(crate) async fn call(&self, pool: &str, method: &str, params: Json) -> Result<Json> {
        let params = params.as_array().cloned().unwrap_or_default();
        let answer = self.control.call(pool, method, params).await;
        answer.map_err(|failure| anyhow!("{method}: {}", failure.join(" ")))
    }

    /// The reference of a VM.
    pub(crate) async fn vm(&self, pool: &str, vm: Uuid) -> Result<Json> {
        self.call(pool, "VM.get_by_uuid", json!([vm.to_string()])).await
    }

    /// All rows that could be somebody's.
    fn rows(&self) -> BTreeMap<Place, Json> {
        let world = self.control.world();
        let mut rows = BTreeMap::new();
        for (pool, classes) in world.as_object().into_iter().flatten() {
            for class in OWNED {
                let of_class = classes.get(class).and_then(Json::as_object);
                for (uuid, row) in of_class.into_iter().flatten() {
                    rows.insert((pool.clone(), class, uuid.clone()), without(row, MOVING));
                }
            }
        }
        rows
    }

    /// Takes what a person has just made for foreign: the VM with its devices and disks, or a disk alone.
    pub(crate) fn adopt(&self, made: &str) {
        let rows = self.rows();
        let mine: BTreeSet<String> = belongings(&rows, made);
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.extend(rows.into_iter().filter(|((_, _, uuid), _)| mine.contains(uuid)));
    }

    /// Takes a disk that a person attached to a server for foreign: it is to outlive it.
    pub(crate) fn adopt_disk(&self, disk: &str, vm: Uuid) {
        let rows = self.rows();
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.extend(rows.into_iter().filter(|((_, _, uuid), _)| uuid == disk));
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disks.insert(disk.to_owned(), vm.to_string());
    }

    /// A person removes a VM with all that hangs on it.
    pub(crate) fn destroy_by_hand(&self, vm: Uuid) -> Result<()> {
        self.promises.give_up(vm);
        self.promises.unkeep(vm);
        let snapshots = snapshots(&self.rows(), &vm.to_string());
        self.control.destroy_vm(&vm.to_string())?;
        // They have outlived it as anybody's VM does, with marks that name another.
        snapshots.iter().for_each(|snapshot| self.adopt(snapshot));
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        disks.retain(|disk, on| {
            let goes = *on == vm.to_string();
            if goes {
                foreign.retain(|(_, _, uuid), _| uuid != disk);
            }
            !goes
        });
        Ok(())
    }

    /// The toolstack of a pool is about to die where it stands. Disks that it has made by halves, as those of a clone of which more are
    /// to come, or an image of memory that no VM names yet, stay in the pool as nobody's: nothing tells whose they were to be.
    pub(crate) fn before_restart(&self, pool: &str) {
        let rows = self.rows();
        let images: BTreeSet<&str> = rows
            .values()
            .filter_map(|row| row.get("suspend_VDI").and_then(Json::as_str))
            .filter_map(|image| image.strip_prefix("ref "))
            .collect();
        let is_loose = |row: &Json| {
            let is_empty = |field: &str| row.get(field).and_then(Json::as_array).is_some_and(Vec::is_empty);
            let config = row.get("other_config").and_then(Json::as_object);
            is_empty("VBDs") && config.is_some_and(|keys| !keys.keys().any(|key| key.starts_with("dynvm:")))
        };
        let loose = rows.iter().filter(|((of, class, uuid), row)| {
            of == pool && *class == "VDI" && !images.contains(uuid.as_str()) && is_loose(row)
        });
        let loose: Vec<String> = loose.map(|((_, _, uuid), _)| uuid.clone()).collect();
        self.cut_off
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(loose);
    }

    /// Checks that all that is foreign is as it was, but for what the pools do with their own control domains meanwhile.
    pub(crate) fn check_foreign(&self, when: When) -> Result<()> {
        let rows = self.rows();
        let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        let disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, before) in foreign.iter() {
            let now = rows
                .get(place)
                .with_context(|| format!("{place:?} is gone, which is not dynvm's"))?;
            let is_attached = disks.contains_key(&place.2);
            let is_domain = before.get("is_control_domain").and_then(Json::as_bool) == Some(true);
            let left_out = match when {
                When::Meanwhile if is_domain => ATTACHMENT,
                When::Meanwhile | When::AtTheEnd if is_attached => ATTACHMENT,
                When::Meanwhile | When::AtTheEnd => &[],
            };
            let (before, now) = (without(before, left_out), without(now, left_out));
            ensure!(
                before == now,
                "{place:?} is not dynvm's, and is\n{now}\ninstead of\n{before}"
            );
        }
        Ok(())
    }

    /// What is there and neither foreign nor of a VM that may stay: nothing, when all leases are over.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let rows = self.rows();
        let stay: BTreeSet<String> = self
            .promises
            .may_stay()
            .iter()
            .flat_map(|vm| belongings(&rows, &vm.to_string()))
            .collect();
        let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        let cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        let left = rows.iter().filter(|(place, _)| {
            !foreign.contains_key(*place) && !stay.contains(&place.2) && !cut_off.contains(&place.2)
        });
        left.map(|((pool, class, uuid), row)| {
            let name = row.get("name_label").and_then(Json::as_str).unwrap_or_default();
            let server = row
                .pointer("/other_config/dynvm:vm")
                .and_then(Json::as_str)
                .unwrap_or_default();
            format!("{pool} {class} {uuid} {name:?} of {server:?}")
        })
        .collect()
    }

    /// The UUIDs of all VMs and disks that there are.
    pub(crate) fn things(&self) -> BTreeSet<String> {
        self.rows().into_keys().map(|(_, _, uuid)| uuid).collect()
    }

    /// Tickets that stand in the pools, as keys of their `other_config`.
    pub(crate) async fn tickets(&self, pool: &str) -> Result<BTreeMap<String, String>> {
        let rows = self.call(pool, "pool.get_all_records", json!([])).await?;
        let row = rows.as_object().and_then(|rows| rows.values().next());
        let config = row.and_then(|row| row.get("other_config")).cloned().unwrap_or_default();
        let config: BTreeMap<String, String> = serde_json::from_value(config)?;
        Ok(config
            .into_iter()
            .filter(|(key, _)| key.starts_with("dynvm:ticket."))
            .collect())
    }

    /// A run that began then was killed now.
    pub(crate) fn killed(&self, since: Timestamp) {
        let now = self.now();
        let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        killed.push((since, now));
    }

    /// Whether a run was killed that went on at that time.
    fn was_of_the_killed(&self, at: Timestamp) -> bool {
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        let second = SignedDuration::from_secs(1);
        killed
            .iter()
            .any(|(since, until)| *since - second <= at && at <= *until + second)
    }

    /// Tasks that have not ended, but those that somebody made who was killed before it could use them: a pool keeps them for a day.
    pub(crate) async fn pending_tasks(&self, pool: &str) -> Result<Vec<String>> {
        let rows = self.call(pool, "task.get_all_records", json!([])).await?;
        let pending = rows
            .as_object()
            .into_iter()
            .flat_map(|rows| rows.values())
            .filter(|task| task.get("status").and_then(Json::as_str) == Some("pending"));
        let mut tasks = Vec::new();
        for task in pending {
            let created = time(task.get("created").and_then(Json::as_str).unwrap_or_default())?;
            let is_import = task.get("name_label").and_then(Json::as_str) == Some("VDI import");
            if !(is_import && self.was_of_the_killed(created)) {
                tasks.push(task.to_string());
            }
        }
        Ok(tasks)
    }
}

/// The snapshots of a VM.
fn snapshots(rows: &BTreeMap<Place, Json>, of: &str) -> Vec<String> {
    let reference = format!("ref {of}");
    let is_of = |row: &Json| row.get("snapshot_of").and_then(Json::as_str) == Some(&reference);
    let found = rows.iter().filter(|((_, class, _), row)| *class == "VM" && is_of(row));
    found.map(|((_, _, uuid), _)| uuid.clone()).collect()
}

/// A VM with its devices and their disks, or whatever else has that UUID.
fn belongings(rows: &BTreeMap<Place, Json>, of: &str) -> BTreeSet<String> {
    let reference = format!("ref {of}");
    let mut found = BTreeSet::from([of.to_owned()]);
    let named = |row: &Json, field: &str| {
        let text = row.get(field).and_then(Json::as_str)?;
        text.strip_prefix("ref ").map(str::to_owned)
    };
    for ((_, class, uuid), row) in rows {
        let is_of = |field: &str| row.get(field).and_then(Json::as_str) == Some(&reference);
        match *class {
            "VBD" if is_of("VM") => {
                found.insert(uuid.clone());
                found.extend(named(row, "VDI"));
            }
            "VIF" if is_of("VM") => {
                found.insert(uuid.clone());
            }
            "VM" if uuid == of => found.extend(named(row, "suspend_VDI")),
            // Its snapshots go where it goes.
            "VM" if is_of("snapshot_of") => found.extend(belongings(rows, uuid)),
            _ => {}
        }
    }
    found
}

fn without(row: &Json, left_out: &[&str]) -> Json {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.retain(|name, _| !left_out.contains(&name.as_str()));
    }
    row
}

/// A time as XenAPI writes it.
fn time(text: &str) -> Result<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H:%M:%SZ", text)?;
    Ok(civil.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
}
