//! Disks that hang on no VM: those of servers that are gone, and those of nobody, which no reaper deletes.

use std::collections::BTreeSet;

use fleet::lease::VM_KEY;
use xenapi::{Filter, Pool, Ref, Sr, VdiRecord, VdiType};

use super::Check;
use crate::decide::{Action, Target};
use crate::once::Seen;
use crate::output::gib;

/// Disks that count together.
#[derive(Debug, Default)]
struct Heap {
    count: usize,
    bytes: i64,
    items: Vec<String>,
}

pub(super) async fn checks(client: &Pool, seen: &Seen) -> Vec<Check> {
    match loose(client).await {
        Ok(loose) => sorted(&loose, seen),
        Err(error) => vec![Check::fail("disks", format!("cannot be listed: {error}")).advice(error.advice())],
    }
}

/// The disks without a VM, but for images of media, and what a pool keeps for itself.
async fn loose(client: &Pool) -> Result<Vec<VdiRecord>, xenapi::Error> {
    let unused = Filter::is_true("managed")
        .and(Filter::is_false("is_a_snapshot"))
        .and(Filter::is_empty("VBDs"));
    let srs = client.sr().all_records().await?;
    let of_media: BTreeSet<Ref<Sr>> = srs
        .into_iter()
        .filter(|(_, sr)| sr.content_type == "iso" || sr.is_tools_sr)
        .map(|(sr, _)| sr)
        .collect();
    let is_data = |disk: &VdiRecord| {
        let kinds = [VdiType::User, VdiType::System, VdiType::Ephemeral];
        kinds.contains(&disk.kind) && !disk.is_tools_iso && !of_media.contains(&disk.sr)
    };
    let disks = client.vdi().records_where(&unused).await?;
    Ok(disks.into_iter().map(|(_, disk)| disk).filter(is_data).collect())
}

fn sorted(loose: &[VdiRecord], seen: &Seen) -> Vec<Check> {
    let (mut going, mut staying, mut nobodys) = (Heap::default(), Heap::default(), Heap::default());
    for disk in loose {
        let decided = seen.plan.decisions.iter().find(|decision| match &decision.target {
            Target::Disk(_, uuid) => *uuid == disk.uuid,
            Target::Vm(_) => false,
        });
        match (decided, disk.other_config.get(VM_KEY)) {
            (Some(decision), _) if decision.action == Action::Delete => going.put(disk, &decision.reason),
            (Some(decision), _) => staying.put(disk, &decision.reason),
            (None, Some(vm)) => staying.put(disk, &format!("marked as of {vm}")),
            (None, None) => nobodys.put(disk, "no mark"),
        }
    }
    let mut checks = Vec::new();
    if going.count > 0 {
        let text = format!("{} of servers that are gone: the next run deletes them", going.amount());
        checks.push(Check::ok("disks", text).items(going.items));
    }
    if staying.count > 0 {
        let text = format!("{} of servers hang on no VM, and stay for now", staying.amount());
        let advice = "each says why; attach what is needed, delete by hand what is not";
        checks.push(Check::warn("disks", text).advice(advice).items(staying.items));
    }
    if nobodys.count > 0 {
        let text = format!(
            "{} hang on no VM and carry no mark: no reaper deletes them",
            nobodys.amount()
        );
        let advice = "ask around whose they are, and delete by hand what nobody needs";
        checks.push(Check::warn("disks", text).advice(advice).items(nobodys.items));
    }
    if checks.is_empty() {
        checks.push(Check::ok("disks", "each hangs on a VM"));
    }
    checks
}

impl Heap {
    fn put(&mut self, disk: &VdiRecord, why: &str) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(disk.virtual_size);
        let (name, size) = (&disk.name_label, gib(disk.virtual_size));
        self.items.push(format!("{name} ({}), {size}: {why}", disk.uuid));
    }

    fn amount(&self) -> String {
        let disks = if self.count == 1 { "disk" } else { "disks" };
        format!("{} {disks} ({})", self.count, gib(self.bytes))
    }
}
