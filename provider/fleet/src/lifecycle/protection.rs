//! High availability: the pool starts again by itself what it protects, and a throw-away server could not be stopped.

use xenapi::{Failure, Pool, Ref, Vm, VmRecord};

use super::call;
use super::site::gone_is_done;
use crate::error::{Error, VmName};

/// Takes a VM out of high availability, where the pool has that at all. This needs a role beyond what all else needs: one that
/// may not do it is told so, and goes on.
pub(super) async fn unprotect(client: &Pool, vm: &Ref<Vm>, record: &VmRecord, name: &VmName) -> Result<(), Error> {
    if record.ha_restart_priority.is_empty() {
        return Ok(());
    }
    let pools = client
        .pool()
        .all_records()
        .await
        .map_err(call("reading the pool", name))?;
    if !pools.iter().any(|(_, pool)| pool.ha_enabled) {
        // A priority is only a wish for the day on which somebody enables it.
        return Ok(());
    }
    match gone_is_done(vm, || client.vm().set_ha_restart_priority(vm, "")).await {
        Ok(()) => Ok(()),
        Err(cause) if cause.is_failure(Failure::is_permission) => {
            tracing::warn!(
                pool = client.name(),
                vm = %record.uuid,
                error = %cause,
                "the server stays under high availability, which may start it again: taking it out needs the role pool-operator"
            );
            Ok(())
        }
        Err(cause) => Err(call("taking the server out of high availability", name)(cause)),
    }
}
