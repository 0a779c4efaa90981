//! Filling the inventory: what is there when following begins.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xenapi::{Filter, Interest, Loss, Notice, Ref, Subscription, Vm, VmRecord};

use super::guests::Guests;
use super::servers::{Servers, is_marked};
use super::{Inventory, OF_SERVERS};
use crate::error::{Error, VmName};
use crate::pool::{CLASSES, Fabric, Member, related};

/// How long a listing of a whole pool may take.
const LISTING: Duration = Duration::from_secs(60);

/// Reads everything. The subscription is there before the first look, so that what changes meanwhile is told by it.
pub(super) async fn fill(member: &Arc<Member>) -> Result<(Inventory, Subscription), Error> {
    let client = member.client()?;
    let begun = Instant::now();
    let writes = member.writes();
    let fabric = member.fabric().await?;
    let followed = [&CLASSES[..], &OF_SERVERS].concat();
    let interest = Interest::classes(&followed).with_tokens().patient();
    let mut events = client.watcher().subscribe(interest);
    if events.since().is_none() {
        listening(&mut events).await?;
    }
    let fabric = since(member, fabric, &events).await?;
    // What an older fabric lacks the events tell: until then nobody knows which writes are in.
    let writes = if fabric.taken >= begun { writes } else { 0 };
    let mut guests = Guests::default();
    let mut marked = Vec::new();
    let vms = Filter::is_false("is_a_template");
    let keep = |vm: Ref<Vm>, record: VmRecord| {
        guests.put(&vm, &record);
        if is_marked(&record) {
            marked.push((vm, record));
        }
    };
    let listed = client.vm().each_where(&vms, LISTING, keep).await;
    listed.map_err(|cause| Error::call("listing VMs", VmName::unknown(), cause))?;
    let mut servers = Servers::default();
    for loaded in related(client, marked).await? {
        servers.fill(loaded);
    }
    let inventory = Inventory {
        reached: fabric.token.clone(),
        board: fabric.board(),
        fabric,
        guests,
        servers,
        writes,
    };
    Ok((inventory, events))
}

/// Waits until events are told at all: what was read before that would have to be read again.
async fn listening(events: &mut Subscription) -> Result<(), Error> {
    match events.next().await {
        Notice::Lost(Loss::Unreachable(cause)) => Err(Error::call("listening to the pool", VmName::unknown(), cause)),
        Notice::Lost(Loss::Closed) => Err(Error::Cancelled { left: None }),
        Notice::Change(_) | Notice::Reached(_) | Notice::Lost(Loss::Fresh | Loss::Overflow | Loss::Interrupted) => {
            Ok(())
        }
    }
}

/// The fabric as of where the events begin: what was read before would lack what changed in between.
async fn since(member: &Arc<Member>, fabric: Arc<Fabric>, events: &Subscription) -> Result<Arc<Fabric>, Error> {
    match events.since() {
        Some(point) if !point.is_after(&fabric.token) && point.is_comparable(&fabric.token) => Ok(fabric),
        Some(_) | None => member.fabric_within(Duration::ZERO).await,
    }
}
