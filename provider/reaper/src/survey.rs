//! A whole pool as one look shows it, kept true by events. A look that is not surely complete is none.
//!
//! ```text
//!  token, pool, hosts -> disks without a drive -> all VMs -> what changed since the token, and how many VMs there are
//! ```
//! Disks are read before VMs: a disk gets its mark while its VM is there, so a VM that is absent from a later list is gone. What
//! changed meanwhile is put in, and then the number of VMs must be the pool's own: half an answer is no ground to act on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use fleet::lease::{DISK_KEY, VM_KEY};
use fleet::ticket::Board;
use jiff::Timestamp;
use xenapi::{
    Change, ChangeOp, EventClass, Filter, Host, Pool, PoolObject, PoolRecord, Ref, Uuid, Vdi, VdiRecord, VdiType, Vm,
    VmRecord,
};

use crate::rails::{LISTING_FAILED, LISTING_INCOMPLETE, PAUSE};
use crate::sight::Sight;

/// How long the listing of one class may take.
const LISTING: Duration = Duration::from_secs(180);
/// How often a listing is taken whose count is not the pool's own: VMs come and go meanwhile.
const TRIES: u32 = 3;

/// A pool at one moment.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The pool's name, as configured.
    pub pool: String,
    /// The pool's own record.
    pub reference: Ref<PoolObject>,
    /// The pool's own UUID.
    pub uuid: Uuid,
    /// The coordinator.
    pub coordinator: Ref<Host>,
    /// The coordinator's UUID.
    pub coordinator_uuid: Uuid,
    /// Says whether a person has stopped everything here.
    pub is_paused: bool,
    /// The pool's tickets.
    pub tickets: Board,
    /// The VMs about which anything recalls dynvm.
    pub sights: BTreeMap<Ref<Vm>, Sight>,
    /// All others: UUID and name.
    pub others: HashMap<Ref<Vm>, (Uuid, Box<str>)>,
    /// Disks without a drive that carry a server's mark.
    pub strays: Vec<Stray>,
    hosts: BTreeMap<Ref<Host>, (Uuid, String)>,
}

/// A disk that hangs on nothing and carries a server's mark.
#[derive(Debug, Clone)]
pub struct Stray {
    /// The disk.
    pub vdi: Ref<Vdi>,
    /// Its record.
    pub record: VdiRecord,
    /// The VM that its mark names.
    pub vm: Uuid,
}

/// Why there is no survey.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SurveyError {
    /// The pool was not read.
    #[error("{0}")]
    Call(xenapi::Error),
    /// The pool does not say who it is.
    #[error("the pool does not describe itself")]
    Nameless,
    /// Behind the address is another pool than before.
    #[error("this is the pool {found}, not {expected} as before")]
    OtherPool {
        /// The pool before.
        expected: Uuid,
        /// The pool now.
        found: Uuid,
    },
    /// Not all VMs were listed, again and again.
    #[error("{listed} VMs were listed, and the pool counts {counted}")]
    Incomplete {
        /// How many were listed.
        listed: usize,
        /// How many there are.
        counted: i64,
    },
}

/// What a change meant.
#[derive(Debug, Clone)]
pub enum Applied {
    /// Nothing that matters.
    Nothing,
    /// A VM that recalls dynvm is new or has changed.
    Changed(Ref<Vm>),
    /// A VM that recalled dynvm is gone.
    Gone(Box<Sight>),
    /// A VM whose record must be read by itself.
    Unreadable(Ref<Vm>),
    /// The pool's own record changed: its coordinator, whether it is paused, its tickets.
    Pool,
}

impl From<xenapi::Error> for SurveyError {
    fn from(cause: xenapi::Error) -> Self {
        SurveyError::Call(cause)
    }
}

impl SurveyError {
    /// The name of the rail that it means.
    pub fn rail(&self) -> &'static str {
        match self {
            SurveyError::Incomplete { .. } => LISTING_INCOMPLETE,
            SurveyError::Call(_) | SurveyError::Nameless | SurveyError::OtherPool { .. } => LISTING_FAILED,
        }
    }
}

impl Survey {
    /// Looks at a pool.
    ///
    /// # Errors
    /// Anything that could not be read, and a count that is not the pool's own.
    pub async fn take(client: &Pool) -> Result<Self, SurveyError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::look(client).await {
                Err(SurveyError::Incomplete { .. }) if tries < TRIES => {}
                looked => return looked,
            }
        }
    }

    async fn look(client: &Pool) -> Result<Self, SurveyError> {
        let snapshot = client.snapshot(&[EventClass::Pool, EventClass::Host]).await?;
        let (reference, pool) = snapshot.of::<PoolObject>().next().ok_or(SurveyError::Nameless)?;
        let hosts = snapshot.of::<Host>();
        let hosts = hosts.map(|(host, record)| (host, (record.uuid, record.name_label.clone())));
        let mut survey = Self {
            pool: client.name().to_owned(),
            reference,
            uuid: pool.uuid,
            coordinator: pool.master.clone(),
            coordinator_uuid: Uuid::from_bytes([0; 16]),
            is_paused: false,
            tickets: Board::default(),
            sights: BTreeMap::new(),
            others: HashMap::new(),
            strays: Vec::new(),
            hosts: hosts.collect(),
        };
        survey.be(pool)?;
        survey.strays = strays(client).await?;
        let all = |vm: Ref<Vm>, record: VmRecord| {
            survey.put(&vm, &record);
        };
        client.vm().each_where(&Filter::all(), LISTING, all).await?;
        let since = client.changes_since(&[EventClass::Vm], &snapshot.token).await?;
        for change in &since.changes {
            survey.apply(change);
        }
        let counted = since.counts.get(EventClass::Vm.as_str()).copied().unwrap_or(-1);
        let listed = survey.sights.len() + survey.others.len();
        if i64::try_from(listed) == Ok(counted) {
            Ok(survey)
        } else {
            Err(SurveyError::Incomplete { listed, counted })
        }
    }

    /// Takes in the pool's own record.
    fn be(&mut self, pool: &PoolRecord) -> Result<(), SurveyError> {
        let (coordinator, _) = self.hosts.get(&pool.master).ok_or(SurveyError::Nameless)?;
        self.coordinator_uuid = *coordinator;
        self.coordinator = pool.master.clone();
        self.is_paused = is_paused(pool);
        self.tickets = Board::read(
            pool.other_config
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        Ok(())
    }

    /// Takes in a change that an event tells.
    pub fn apply(&mut self, change: &Change) -> Applied {
        if let Some((_, Some(pool))) = change.of::<PoolObject>() {
            // A coordinator that is not among the hosts is a new one: the next look will know it.
            let is_known = self.be(pool).is_ok();
            return if is_known { Applied::Pool } else { Applied::Nothing };
        }
        match change.of::<Vm>() {
            Some((vm, Some(record))) => self.put(&vm, record),
            Some((vm, None)) if change.op == ChangeOp::Del => {
                self.others.remove(&vm);
                let gone = self.sights.remove(&vm);
                gone.map_or(Applied::Nothing, |sight| Applied::Gone(Box::new(sight)))
            }
            Some((vm, None)) => Applied::Unreadable(vm),
            None => Applied::Nothing,
        }
    }

    /// Takes in a VM's record.
    pub fn put(&mut self, vm: &Ref<Vm>, record: &VmRecord) -> Applied {
        let sight = Sight::of(vm, record);
        if sight.is_traced() {
            self.others.remove(vm);
            self.sights.insert(vm.clone(), sight);
            return Applied::Changed(vm.clone());
        }
        self.others
            .insert(vm.clone(), (record.uuid, record.name_label.as_str().into()));
        match self.sights.remove(vm) {
            Some(_) => Applied::Changed(vm.clone()),
            None => Applied::Nothing,
        }
    }

    /// Says whether a VM of this UUID is there, whatever it is.
    pub fn has_vm(&self, uuid: &Uuid) -> bool {
        self.sights.values().any(|sight| sight.uuid == *uuid) || self.others.values().any(|(other, _)| other == uuid)
    }

    /// The name of a host.
    pub fn host_name(&self, host: &Ref<Host>) -> Option<&str> {
        self.hosts.get(host).map(|(_, name)| name.as_str())
    }

    /// The UUIDs of all that has to be seen twice before it is deleted: clones past their deadline, disks without a VM.
    pub fn seen_twice(&self, now: Timestamp) -> impl Iterator<Item = &Uuid> {
        let is_past = move |sight: &&Sight| sight.birth.is_some_and(|birth| birth.deadline <= now);
        let clones = self.sights.values().filter(is_past).map(|sight| &sight.uuid);
        clones.chain(self.strays.iter().map(|stray| &stray.record.uuid))
    }

    /// The UUIDs, as text, of everything that is there.
    pub fn everything(&self) -> HashSet<String> {
        let vms = self.sights.values().map(|sight| sight.uuid.to_string());
        vms.chain(self.strays.iter().map(|stray| stray.uuid().to_string()))
            .collect()
    }
}

/// Says whether a person has stopped everything in a pool.
pub fn is_paused(pool: &PoolRecord) -> bool {
    pool.tags.contains(PAUSE) || pool.other_config.contains_key(PAUSE)
}

impl Stray {
    fn of(vdi: Ref<Vdi>, record: VdiRecord) -> Option<Self> {
        let vm = record.other_config.get(VM_KEY)?.parse().ok()?;
        Some(Self { vdi, record, vm })
    }

    /// The disk's UUID.
    pub fn uuid(&self) -> Uuid {
        self.record.uuid
    }

    /// Says whether the mark was put on this very disk. Marks of earlier versions do not tell.
    pub fn names_itself(&self) -> bool {
        self.record.other_config.get(DISK_KEY) == Some(&self.record.uuid.to_string())
    }

    /// Says why the disk stays although its VM is gone.
    pub fn keeps(&self) -> Option<String> {
        keeps(&self.record)
    }
}

/// Says why a disk stays whose VM is gone; asked again when it is its turn.
pub fn keeps(disk: &VdiRecord) -> Option<String> {
    let kinds = [VdiType::User, VdiType::System, VdiType::Ephemeral];
    if !disk.vbds.is_empty() {
        return Some("it hangs on a VM".to_owned());
    }
    if disk
        .other_config
        .get(DISK_KEY)
        .is_some_and(|of| *of != disk.uuid.to_string())
    {
        return Some("it is a copy of a server's disk".to_owned());
    }
    if !disk.managed || disk.is_a_snapshot || disk.is_tools_iso || !kinds.contains(&disk.kind) {
        return Some(format!("it is of the kind {:?}", disk.kind.as_str()));
    }
    if disk.sharable {
        return Some("it can be shared".to_owned());
    }
    let operation = disk.current_operations.values().next();
    operation.map(|operation| format!("{operation} is in progress on it"))
}

async fn strays(client: &Pool) -> Result<Vec<Stray>, xenapi::Error> {
    let unused = Filter::is_true("managed").and(Filter::is_false("is_a_snapshot"));
    let unused = unused.and(Filter::is_empty("VBDs"));
    let mut found = Vec::new();
    let marked = |vdi, record| found.extend(Stray::of(vdi, record));
    client.vdi().each_where(&unused, LISTING, marked).await?;
    Ok(found)
}
