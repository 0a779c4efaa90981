//! What the log says of a deletion.

use crate::act::Deed;
use crate::decide::Decision;

/// Says how a deletion ended.
pub fn ended(pool: &str, decision: &Decision, deed: &Deed) {
    let (vm, name, reason) = (
        decision.vm.to_string(),
        decision.name.as_str(),
        decision.reason.as_str(),
    );
    match deed {
        Deed::Deleted { kept, took, .. } => {
            tracing::info!(pool, vm, name, reason, seconds = took.as_secs_f64(), "deleted");
            for disk in kept {
                tracing::warn!(pool, vm, disk = %disk.uuid, disk_name = disk.name, reason = disk.reason, "a disk was kept");
            }
        }
        Deed::Gone => tracing::info!(pool, vm, name, "gone already"),
        Deed::GivenUp { why } => tracing::info!(pool, vm, name, why, "left alone after all"),
        Deed::Failed { why } => tracing::error!(pool, vm, name, why, "not deleted"),
    }
}
