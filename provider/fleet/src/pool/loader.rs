//! Reads of VMs, coalesced: all that wait while one batch is in flight go into the next, one query per class.
//!
//! A process that reads many servers reads them in the [inventory](crate::inventory), which costs a fixed number of requests and is
//! kept by events. A VM that it lacks is asked for by its UUID: only the pool itself says that a VM is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use xenapi::{
    Filter, GuestMetricsRecord, PowerState, Ref, Uuid, Vbd, VbdRecord, VbdType, Vdi, VdiRecord, Vif, VifRecord, Vm,
    VmRecord,
};

use super::Member;
use crate::error::{Error, VmName};
use crate::inventory::{Freshness, Inventory};
use crate::lease::VmMarks;

/// How many reads in all pools together show a process that reads many servers: terraform reads ten at once, and whoever asks for
/// ten will ask for more.
const MANY: u32 = 10;
/// How many one pool answers one after the other before the next is worth the whole picture.
const SEVERAL: usize = 3;
/// How long after the first read the second comes at the latest, when callers start together.
const GATHER: Duration = Duration::from_millis(20);
/// How long after that each further one does. Where there are two there may be a thousand, which Terraform sends one by one, with work of its own
/// between them; on a busy machine that takes a while, and to begin without them costs the pool as much again.
const GATHER_MORE: Duration = Duration::from_millis(100);
/// How long a read waits for company where there are many that the inventory does not answer at once: those of a thousand deletions, of which one begins
/// when another is done. It is little beside the seconds that each takes.
const COMPANY: Duration = Duration::from_millis(250);
/// How many VMs one query names.
const CHUNK: usize = 1000;

/// A VM with what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) reference: Ref<Vm>,
    pub(crate) vm: VmRecord,
    pub(crate) vbds: Vec<(Ref<Vbd>, VbdRecord)>,
    pub(crate) vifs: Vec<(Ref<Vif>, VifRecord)>,
    pub(crate) vdis: Vec<(Ref<Vdi>, VdiRecord)>,
    pub(crate) guest: Option<GuestMetricsRecord>,
}

type Answer = Result<Option<Arc<Loaded>>, Error>;

/// The reads of a whole process, in all its pools together.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    count: u32,
    last: Option<Instant>,
}

impl Reads {
    fn came(&mut self) {
        self.count += 1;
        self.last = Some(Instant::now());
    }

    fn are_many(&self) -> bool {
        self.count >= MANY
    }

    /// Until when it pays to wait for more; `None` when it is known that there are many, or when no more have come for a while.
    fn gather_until(&self) -> Option<Instant> {
        let until = self.last? + if self.count == 1 { GATHER } else { GATHER_MORE };
        (!self.are_many() && until > Instant::now()).then_some(until)
    }
}

/// Coalesces reads of one pool.
#[derive(Default)]
pub(crate) struct Loader {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Uuid, oneshot::Sender<Answer>)>,
    is_running: bool,
    batches: usize,
    asked: BTreeSet<Uuid>,
}

impl State {
    /// Says whether somebody waits, and others were served before.
    fn is_going_on(&self) -> bool {
        self.batches > 0 && !self.waiting.is_empty()
    }
}

impl Loaded {
    /// The marks on the VM.
    pub(crate) fn marks(&self) -> VmMarks {
        marks_of(&self.vm)
    }

    /// The VM, for messages.
    pub(crate) fn name(&self) -> VmName {
        VmName::new(&self.vm.name_label, self.vm.uuid)
    }

    /// Its disks: what hangs on a disk drive, not on a CD drive.
    pub(crate) fn disks(&self) -> impl Iterator<Item = &(Ref<Vdi>, VdiRecord)> {
        let on_drives: BTreeSet<&Ref<Vdi>> = self
            .vbds
            .iter()
            .filter(|(_, vbd)| vbd.kind == VbdType::Disk)
            .map(|(_, vbd)| &vbd.vdi)
            .collect();
        self.vdis.iter().filter(move |(vdi, _)| on_drives.contains(vdi))
    }
}

/// The marks that a VM's record shows.
pub(crate) fn marks_of(vm: &VmRecord) -> VmMarks {
    let keys = vm
        .other_config
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    VmMarks::read(&vm.uuid, vm.tags.iter().map(String::as_str), keys)
}

impl Loader {
    /// Reads a VM: in the inventory, or with the next batch.
    pub(crate) async fn load(&self, member: &Arc<Member>, vm: Uuid) -> Answer {
        if let Some(loaded) = member.live.glance(member, |inventory| inventory.loaded(vm)).flatten() {
            return Ok(Some(Arc::new(loaded)));
        }
        member.reads().came();
        let (send, receive) = oneshot::channel();
        {
            let mut state = self.state();
            state.waiting.push((vm, send));
            state.asked.insert(vm);
            if !state.is_running {
                state.is_running = true;
                member.tasks.spawn(drive(Arc::clone(member)));
            }
        }
        // The driver goes without an answer only when the runtime ends.
        receive.await.unwrap_or(Err(Error::Cancelled { left: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves batches until nobody waits.
async fn drive(member: Arc<Member>) {
    let is_first = member.loader.state().batches == 0;
    if is_first {
        gather(&member).await;
    }
    loop {
        if member.loader.state().is_going_on() && member.reads().are_many() {
            tokio::time::sleep(COMPANY).await;
        }
        let (batch, is_one_of_many) = {
            let mut state = member.loader.state();
            if state.waiting.is_empty() {
                state.is_running = false;
                return;
            }
            state.batches += 1;
            let is_one_of_many = member.reads().are_many() || state.batches > 1 && state.asked.len() >= SEVERAL;
            (std::mem::take(&mut state.waiting), is_one_of_many)
        };
        let rest = if is_one_of_many {
            from_inventory(&member, batch).await
        } else {
            batch
        };
        ask(&member, rest).await;
    }
}

/// Waits for company: nothing can be asked before the login anyway, and callers that start together arrive meanwhile. As long as they keep
/// coming, to whichever pool, it is not known yet whether they are many. Whether the login failed the first call tells.
async fn gather(member: &Member) {
    if let Ok(client) = member.client() {
        drop(client.connect().await);
    }
    loop {
        let until = member.reads().gather_until();
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => return,
        }
    }
}

/// Answers what the inventory holds; gives back the rest. An inventory that cannot be had answers nothing.
async fn from_inventory(
    member: &Arc<Member>,
    batch: Vec<(Uuid, oneshot::Sender<Answer>)>,
) -> Vec<(Uuid, oneshot::Sender<Answer>)> {
    let wanted: Vec<Uuid> = batch.iter().map(|(vm, _)| *vm).collect();
    let see = |inventory: &Inventory| wanted.iter().map(|vm| inventory.loaded(*vm)).collect::<Vec<_>>();
    let Ok(found) = member.live.look(member, Freshness::OwnWrites, see).await else {
        return batch;
    };
    let mut rest = Vec::new();
    for ((vm, send), found) in batch.into_iter().zip(found) {
        match found {
            // Nobody waits any more where the send fails.
            Some(found) => drop(send.send(Ok(Some(Arc::new(found))))),
            None => rest.push((vm, send)),
        }
    }
    rest
}

/// Asks the pool for VMs by their UUIDs.
async fn ask(member: &Member, batch: Vec<(Uuid, oneshot::Sender<Answer>)>) {
    if batch.is_empty() {
        return;
    }
    let wanted: BTreeSet<Uuid> = batch.iter().map(|(vm, _)| *vm).collect();
    let found = by_uuid(member, &wanted).await;
    for (vm, send) in batch {
        // Nobody waits any more where the send fails.
        let _ = send.send(match &found {
            Ok(found) => Ok(found.get(&vm).cloned()),
            Err(error) => Err(error.clone()),
        });
    }
}

async fn by_uuid(member: &Member, wanted: &BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, Arc<Loaded>>, Error> {
    let client = member.client()?;
    let failed = |cause| Error::call("reading VMs", VmName::unknown(), cause);
    let wanted: Vec<Uuid> = wanted.iter().copied().collect();
    let mut vms = Vec::new();
    for chunk in wanted.chunks(CHUNK) {
        let filter = Filter::any(chunk.iter().map(|uuid| Filter::uuid(*uuid)));
        vms.extend(client.vm().records_where(&filter).await.map_err(failed)?);
    }
    let loaded = related(client, vms).await?;
    Ok(loaded
        .into_iter()
        .map(|loaded| (loaded.vm.uuid, Arc::new(loaded)))
        .collect())
}

/// Reads what belongs to VMs: drives, NICs, what running guests report, and disks.
pub(crate) async fn related(client: &xenapi::Pool, vms: Vec<(Ref<Vm>, VmRecord)>) -> Result<Vec<Loaded>, Error> {
    let failed = |cause| Error::call("reading what belongs to VMs", VmName::unknown(), cause);
    let mut loaded = Vec::with_capacity(vms.len());
    let mut rest = vms;
    while !rest.is_empty() {
        let chunk: Vec<_> = rest.drain(..rest.len().min(CHUNK)).collect();
        let of_these = Filter::refers_any("VM", chunk.iter().map(|(vm, _)| vm));
        let running = chunk
            .iter()
            .filter(|(_, record)| record.power_state == PowerState::Running);
        let guests: Vec<_> = running
            .filter_map(|(_, record)| record.guest_metrics.non_null().cloned())
            .collect();
        let reads = tokio::try_join!(
            async { client.vbd().records_where(&of_these).await },
            async { client.vif().records_where(&of_these).await },
            async {
                if guests.is_empty() {
                    Ok(Vec::new())
                } else {
                    client.guest_metrics().records_by_ref(&guests).await
                }
            },
        );
        let (vbds, vifs, guests) = reads.map_err(failed)?;
        let disks = vbds
            .iter()
            .filter(|(_, vbd)| vbd.kind == VbdType::Disk)
            .filter_map(|(_, vbd)| vbd.vdi.non_null().cloned());
        let disks: Vec<Ref<Vdi>> = disks.collect::<BTreeSet<_>>().into_iter().collect();
        let vdis = if disks.is_empty() {
            Vec::new()
        } else {
            client.vdi().records_by_ref(&disks).await.map_err(failed)?
        };
        let mut vbds = group(vbds, |vbd| vbd.vm.clone());
        let mut vifs = group(vifs, |vif| vif.vm.clone());
        let mut guests: HashMap<_, _> = guests.into_iter().collect();
        let vdis: HashMap<_, _> = vdis.into_iter().collect();
        loaded.extend(chunk.into_iter().map(|(reference, vm)| {
            let vbds = vbds.remove(&reference).unwrap_or_default();
            let disks = vbds.iter().filter_map(|(_, vbd)| vdis.get_key_value(&vbd.vdi));
            Loaded {
                vdis: disks.map(|(vdi, record)| (vdi.clone(), record.clone())).collect(),
                vbds,
                vifs: vifs.remove(&reference).unwrap_or_default(),
                guest: guests.remove(&vm.guest_metrics),
                reference,
                vm,
            }
        }));
    }
    Ok(loaded)
}

fn group<C, R>(records: Vec<(Ref<C>, R)>, vm: impl Fn(&R) -> Ref<Vm>) -> HashMap<Ref<Vm>, Vec<(Ref<C>, R)>> {
    let mut groups: HashMap<Ref<Vm>, Vec<(Ref<C>, R)>> = HashMap::new();
    for (reference, record) in records {
        groups.entry(vm(&record)).or_default().push((reference, record));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn company_is_waited_for_as_long_as_it_keeps_coming() {
        let (step, mut reads) = (GATHER / 2, Reads::default());
        assert_eq!(reads.gather_until(), None);
        reads.came();
        tokio::time::advance(step).await;
        assert_eq!(reads.gather_until(), Some(Instant::now() + GATHER - step));
        tokio::time::advance(step).await;
        assert_eq!(reads.gather_until(), None, "it is alone");
        for _ in 2..MANY {
            reads.came();
            tokio::time::advance(step).await;
            assert_eq!(reads.gather_until(), Some(Instant::now() + GATHER_MORE - step));
        }
        tokio::time::advance(GATHER_MORE).await;
        assert_eq!(reads.gather_until(), None, "nobody comes any more");
        reads.came();
        assert!(reads.are_many());
        assert_eq!(reads.gather_until(), None, "there are many");
    }
}
