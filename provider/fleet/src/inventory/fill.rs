//! Filling the inventory: what is there when following begins.

use std::sync::Arc;
use std::time::Duration;

use xenapi::{Filter, Interest, Ref, Subscription, Vm, VmRecord};

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
    let fabric = member.fabric().await?;
    let followed = [&CLASSES[..], &OF_SERVERS].concat();
    let events = client.watcher().subscribe(Interest::classes(&followed).with_tokens());
    let fabric = since(member, fabric, &events).await?;
    let writes = member.writes();
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

/// The fabric as of where the events begin: what was read before would lack what changed in between.
async fn since(member: &Arc<Member>, fabric: Arc<Fabric>, events: &Subscription) -> Result<Arc<Fabric>, Error> {
    match events.since() {
        Some(point) if !point.is_after(&fabric.token) && point.is_comparable(&fabric.token) => Ok(fabric),
        Some(_) | None => member.fabric_within(Duration::ZERO).await,
    }
}
