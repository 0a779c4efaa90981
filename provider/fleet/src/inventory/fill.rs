//! Filling the inventory: what is there when following begins.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xenapi::{Filter, Ref, Token, Vm, VmRecord};

use super::Inventory;
use super::following::Following;
use super::guests::Guests;
use super::servers::{Servers, is_marked};
use crate::error::{Error, VmName};
use crate::pool::{Fabric, Member, related};

/// How long a listing of a whole pool may take.
const LISTING: Duration = Duration::from_secs(60);

/// Reads everything. Events are listened to before the first look, so that what changes meanwhile is told by them.
pub(super) async fn fill(member: &Arc<Member>) -> Result<(Inventory, Following), Error> {
    let client = member.client()?;
    let begun = Instant::now();
    let writes = member.writes();
    let fabric = member.fabric().await?;
    let events = Following::begin(client.watcher()).await?;
    let fabric = since(member, fabric, events.since()).await?;
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

/// The fabric as of where the events begin: what was read before would lack what changed in between.
async fn since(member: &Arc<Member>, fabric: Arc<Fabric>, points: [Option<&Token>; 2]) -> Result<Arc<Fabric>, Error> {
    let is_told = |point: &Token| !point.is_after(&fabric.token) && point.is_comparable(&fabric.token);
    if points.into_iter().all(|point| point.is_some_and(is_told)) {
        Ok(fabric)
    } else {
        member.fabric_within(Duration::ZERO).await
    }
}
