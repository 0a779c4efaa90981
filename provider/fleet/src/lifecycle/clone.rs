//! The second phase: the VM comes to be, under its birth name.
//!
//! Clones of one SR stand in line: the pool would make the losers of that race sleep for many seconds. A clone whose answer
//! was lost is looked for by its birth name before anything else; there is never a second one without a look for the first.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use xenapi::{
    Class, EventClass, FifoGuard, Filter, Interest, Notice, Outcome, Ref, Subscription, Token, Vbd, VbdType, Vdi, Vif,
    Vm, VmRecord,
};

use super::plan::Plan;
use super::{CREATION_GRACE, Made, Stage, call};
use crate::birth_name::BirthName;
use crate::error::{Error, VmName};
use crate::lease::mint;
use crate::pool::{Loaded, later, related, whole_seconds};
use crate::server::Timings;

/// How long a cancelled creation waits for the answer to a clone that is being made, so that the VM is known.
const ANSWER: Duration = Duration::from_millis(600);
/// How long a cancelled creation looks at the clone that it has made: with the wait before it less than a second.
const LAST_LOOK: Duration = Duration::from_millis(300);
/// How long a clone with a lost answer is looked for.
const LOOK: Duration = Duration::from_secs(30);
/// How often it is looked for when no event tells of it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After how many looks at which the template was not being cloned either the call surely never arrived.
const IDLE_LOOKS: u32 = 3;
/// How often a clone is asked for whose call never arrived.
const CALLS: u32 = 3;

/// What became of a clone whose answer was lost.
enum Fate {
    Made(Ref<Vm>),
    /// It is there, and has not got all drives and NICs of its template.
    HalfMade(Ref<Vm>),
    NeverArrived,
}

/// What came of asking for a clone.
enum Asked {
    Made(Ref<Vm>),
    /// It is there and never got whole: to be undone.
    HalfMade(Ref<Vm>, Error),
}

/// Clones or copies the template.
pub(super) async fn clone(plan: &Plan, made: &mut Option<Made>) -> Result<(), Error> {
    let begun = Instant::now();
    let late = |stage| move || plan.late(stage, VmName::unknown());
    let held = plan.bounds.hold(turn(plan), late(Stage::Queue)).await?;
    // What it waited for its room is waiting in line as well.
    let queue = plan.waited + begun.elapsed();
    let now = plan.bounds.hold(plan.member.now(), late(Stage::Clone)).await?;
    let token = plan.member.token();
    let (asked, new) = made_of(plan, now, queue).await?;
    let made = made.insert(new);
    if let Asked::HalfMade(_, error) = asked {
        return Err(error);
    }
    // The SR is free for the next; what this clone is, is a matter of the database.
    drop(held);
    see(plan, made, token).await
}

/// Asks for the clone, and notes what is known of it then.
async fn made_of(plan: &Plan, now: Timestamp, queue: Duration) -> Result<(Asked, Made), Error> {
    let sent = Instant::now();
    plan.member.wrote();
    let asked = asked(plan, now).await;
    plan.member.wrote();
    let (asked, birth) = asked?;
    let reference = match &asked {
        Asked::Made(vm) | Asked::HalfMade(vm, _) => vm.clone(),
    };
    let timings = Timings {
        queue: queue.as_secs_f64(),
        clone: sent.elapsed().as_secs_f64(),
        ..Timings::default()
    };
    Ok((asked, new(reference, birth, now, timings)))
}

/// Takes in what the clone is. A creation that is cancelled meanwhile takes one short look, so that what exists can be named.
async fn see(plan: &Plan, made: &mut Made, token: Option<Token>) -> Result<(), Error> {
    let look = look_at(plan, &made.reference, token.clone());
    let seen = plan.bounds.hold(look, || plan.late(Stage::Clone, VmName::unknown()));
    let loaded = match seen.await {
        Err(cancelled @ Error::Cancelled { .. }) => {
            let look = tokio::time::timeout(LAST_LOOK, look_at(plan, &made.reference, token));
            made.loaded = look.await.ok().and_then(Result::ok);
            return Err(cancelled);
        }
        seen => seen?,
    };
    plan.place.is_vm(&made.reference, loaded.vm.uuid);
    made.loaded = Some(loaded);
    Ok(())
}

/// Waits until it is this clone's turn on the SRs that it works on.
async fn turn(plan: &Plan) -> Result<FifoGuard, Error> {
    let queue = plan.member.client()?.sr_queue();
    let held = queue.acquire_all(&plan.lines, &plan.bounds.cancel).await;
    let held = held.ok_or(Error::Cancelled { left: None })?;
    plan.leaves_the_line();
    Ok(held)
}

fn new(reference: Ref<Vm>, birth: BirthName, now: Timestamp, timings: Timings) -> Made {
    Made {
        reference,
        loaded: None,
        birth,
        created_at: whole_seconds(now),
        is_marked: false,
        lease: None,
        timings,
        address_source: None,
    }
}

/// Asks for the clone until one is there. Each call has a birth name of its own: should a late one arrive all the same, its
/// clone is nobody's, and falls under its creation lease.
async fn asked(plan: &Plan, now: Timestamp) -> Result<(Asked, BirthName), Error> {
    let mut calls = 0;
    loop {
        calls += 1;
        let birth = BirthName {
            id: mint(now),
            deadline: whole_seconds(later(now, plan.bounds.remaining() + CREATION_GRACE)),
        };
        let name = birth.to_string();
        let cause = match answer(plan, &name).await? {
            Ok(vm) => return Ok((Asked::Made(vm), birth)),
            Err(cause) if cause.outcome() == Outcome::MaybeSent => cause,
            Err(cause) => return Err(refused(plan, cause)),
        };
        match look_for(plan, &name, &cause).await? {
            Fate::Made(vm) => return Ok((Asked::Made(vm), birth)),
            Fate::HalfMade(vm) => return Ok((Asked::HalfMade(vm, unknown(plan, &name, cause)), birth)),
            Fate::NeverArrived if calls < CALLS => {}
            Fate::NeverArrived => return Err(unknown(plan, &name, cause)),
        }
    }
}

/// Sends one call; a cancelled creation waits a moment for its answer.
async fn answer(plan: &Plan, name: &str) -> Result<Result<Ref<Vm>, xenapi::Error>, Error> {
    let client = plan.member.client()?;
    let (template, limit) = (&plan.template.reference, plan.bounds.remaining());
    let asked = async {
        match &plan.copy_to {
            Some(sr) => client.vm().copy_to(template, name, Some(sr), limit).await,
            None => client.vm().clone_to(template, name, limit).await,
        }
    };
    tokio::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => Ok(answer),
        () = plan.bounds.cancel.cancelled() => match tokio::time::timeout(ANSWER, &mut asked).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(given_up(plan, name)),
        },
    }
}

fn given_up(plan: &Plan, name: &str) -> Error {
    Error::CloneGivenUp {
        pool: plan.pool().to_owned(),
        birth_name: name.to_owned(),
    }
}

fn unknown(plan: &Plan, name: &str, cause: xenapi::Error) -> Error {
    Error::CloneUnknown {
        pool: plan.pool().to_owned(),
        birth_name: name.to_owned(),
        cause,
    }
}

/// Looks for the clone of a call whose answer was lost: it may be there, or be in the making still, which the template's
/// current operations show, or the call may never have arrived.
async fn look_for(plan: &Plan, name: &str, cause: &xenapi::Error) -> Result<Fate, Error> {
    let client = plan.member.client()?;
    let Ok(named) = Filter::eq("name__label", name) else {
        return Err(unknown(plan, name, cause.clone()));
    };
    let filter = named.or(Filter::refers("_ref", &plan.template.reference));
    let until = Instant::now() + LOOK.min(plan.bounds.remaining());
    let mut events = client.watcher().subscribe(Interest::classes(&[EventClass::Vm]));
    let mut seen = None;
    let mut idle_looks = 0;
    while Instant::now() < until {
        let look = tokio::select! {
            biased;
            () = plan.bounds.cancel.cancelled() => return Err(given_up(plan, name)),
            look = client.vm().records_where(&filter) => look,
        };
        if let Ok(found) = look {
            let is_cloning = found.iter().any(|(_, record)| is_being_cloned(record));
            match found.into_iter().find(|(_, record)| record.name_label == name) {
                Some((vm, record)) if is_whole(plan, &record) => return Ok(Fate::Made(vm)),
                Some((vm, _)) => seen = Some(vm),
                None if is_cloning => idle_looks = 0,
                None => idle_looks += 1,
            }
        }
        if seen.is_none() && idle_looks == IDLE_LOOKS {
            return Ok(Fate::NeverArrived);
        }
        let again = (Instant::now() + LOOK_AGAIN).min(until);
        tokio::select! {
            biased;
            () = plan.bounds.cancel.cancelled() => return Err(given_up(plan, name)),
            () = appearance(&mut events, name, again) => {}
            () = tokio::time::sleep_until(again) => {}
        }
    }
    seen.map(Fate::HalfMade)
        .ok_or_else(|| unknown(plan, name, cause.clone()))
}

/// Waits until an event tells of a VM of that name; while events are lost, until it is time to look anyway.
async fn appearance(events: &mut Subscription, name: &str, again: Instant) {
    loop {
        match events.next().await {
            Notice::Change(change) => match change.of::<Vm>() {
                Some((_, Some(record))) if record.name_label == name => return,
                Some(_) | None => {}
            },
            Notice::Reached(_) => {}
            Notice::Lost(_) => return tokio::time::sleep_until(again).await,
        }
    }
}

fn is_being_cloned(template: &VmRecord) -> bool {
    template
        .current_operations
        .values()
        .any(|operation| operation == "clone" || operation == "copy")
}

/// Says whether a clone has all drives and NICs of its template: they come to be after the VM itself.
fn is_whole(plan: &Plan, clone: &VmRecord) -> bool {
    let template = &plan.template.record;
    clone.vbds.len() == template.vbds.len() && clone.vifs.len() == template.vifs.len()
}

/// Reads what the clone is: as what has changed since before it was made, in one request, or else piece by piece.
async fn look_at(plan: &Plan, vm: &Ref<Vm>, before: Option<Token>) -> Result<Loaded, Error> {
    let client = plan.member.client()?;
    if let Some(before) = before {
        // Of VMs only the clone: others change all the time, and their records are long. What hangs on it has no name yet.
        let parts = [EventClass::Vbd, EventClass::Vif, EventClass::Vdi];
        let interest = Interest::classes(&parts).and_object(vm);
        if let Ok(delta) = client.changes_of(&interest, &before).await {
            plan.member.saw(&delta.token);
            if let Some(loaded) = among(&delta.changes, vm) {
                return Ok(loaded);
            }
        }
    }
    let unknown = VmName::unknown();
    let record = client
        .vm()
        .record(vm)
        .await
        .map_err(call("reading the clone", &unknown))?;
    let loaded = related(client, vec![(vm.clone(), record)]).await?;
    loaded.into_iter().next().ok_or_else(|| Error::Gone {
        pool: plan.pool().to_owned(),
        vm: unknown.clone(),
    })
}

/// The clone, if these changes show it with all that belongs to it.
fn among(changes: &[xenapi::Change], vm: &Ref<Vm>) -> Option<Loaded> {
    let (_, record) = records::<Vm>(changes, |of, _| of == vm).pop()?;
    let vbds = records::<Vbd>(changes, |_, vbd| vbd.vm == *vm);
    let vifs = records::<Vif>(changes, |_, vif| vif.vm == *vm);
    let disks: Vec<_> = vbds.iter().filter_map(|(_, vbd)| vbd.vdi.non_null()).collect();
    let vdis = records::<Vdi>(changes, |vdi, _| disks.contains(&vdi));
    let mut drives = vbds.iter().filter(|(_, vbd)| vbd.kind == VbdType::Disk && !vbd.empty);
    let is_whole = vbds.len() == record.vbds.len()
        && vifs.len() == record.vifs.len()
        && drives.all(|(_, vbd)| vdis.iter().any(|(vdi, _)| *vdi == vbd.vdi));
    is_whole.then(|| Loaded {
        reference: vm.clone(),
        vm: record,
        vbds,
        vifs,
        vdis,
        guest: None,
    })
}

fn records<C: Class>(
    changes: &[xenapi::Change],
    is_meant: impl Fn(&Ref<C>, &C::Record) -> bool,
) -> Vec<(Ref<C>, C::Record)>
where
    C::Record: Clone,
{
    let all = changes.iter().filter_map(|change| {
        let (object, record) = change.of::<C>()?;
        Some((object, record?))
    });
    let meant = all.filter(|(object, record)| is_meant(object, record));
    meant.map(|(object, record)| (object, record.clone())).collect()
}

fn refused(plan: &Plan, cause: xenapi::Error) -> Error {
    if cause.is_failure(xenapi::Failure::is_storage_full) {
        return Error::Full {
            pools: Vec::new(),
            cause: Some(cause),
        };
    }
    let template = VmName::new(&plan.template.record.name_label, plan.template.uuid());
    Error::call("cloning the template", template, cause)
}
