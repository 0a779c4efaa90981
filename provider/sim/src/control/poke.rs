//! What a person, another tool or bad luck does to a pool.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Control, ControlError, StringMap};
use crate::class::vm::{Begin, Halt, attach_devices, drop_image_now, halt, placement, remove, running, suspend_now};
use crate::class::{sr, vdi};
use crate::db::{Cls, Ref};
use crate::failure::Failure;
use crate::guest;
use crate::operations;
use crate::pool::{Pool, State};
use crate::tls::Identity;
use crate::toolstack;
use crate::value::Value;
use crate::world::build;

fn missing(kind: &str, name: &str) -> ControlError {
    ControlError::NotFound {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn refused(failure: &Failure) -> ControlError {
    ControlError::Refused {
        message: failure.description().join(" "),
    }
}

impl Control {
    /// Works on a VM, wherever it is.
    fn with_vm<T>(
        &self,
        uuid: &str,
        work: impl FnOnce(&Arc<Pool>, &mut State, &Ref) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        for pool in self.pools.iter() {
            if let Some(vm) = pool.with(|state| state.db.by_uuid(Cls::Vm, uuid).cloned()) {
                return pool.with(|state| work(pool, state, &vm));
            }
        }
        Err(missing("VM", uuid))
    }

    fn set_on_vm(&self, uuid: &str, field: &str, value: Value) -> Result<(), ControlError> {
        self.with_vm(uuid, |_, state, vm| {
            state.db.set(Cls::Vm, vm, field, value).map_err(|f| refused(&f))?;
            operations::refresh(&mut state.db, Cls::Vm, vm);
            Ok(())
        })
    }

    fn set_on_pool(&self, pool: &str, field: &str, value: Value) -> Result<(), ControlError> {
        self.pool(pool)?.with(|state| {
            let reference = state.db.pool();
            let set = state.db.set(Cls::Pool, &reference, field, value);
            set.map_err(|f| refused(&f))
        })
    }

    /// Removes a VM with its disks, as a person would.
    ///
    /// # Errors
    /// No such VM.
    pub fn destroy_vm(&self, uuid: &str) -> Result<(), ControlError> {
        self.with_vm(uuid, |pool, state, vm| {
            halt(state, vm, Halt::Halted);
            drop_image_now(state, vm);
            let vbds = state.db.get(Cls::Vm, vm, "VBDs").map(Value::refs).unwrap_or_default();
            let disks: Vec<Ref> = vbds
                .iter()
                .filter_map(|vbd| state.db.record(Cls::Vbd, vbd).ok())
                .filter(|vbd| vbd.str("type") == "Disk")
                .map(|vbd| vbd.reference("VDI"))
                .collect();
            remove(state, vm);
            for disk in disks {
                vdi::drop_now(state, &disk);
            }
            tracing::debug!(pool = pool.name, uuid, "VM removed by hand");
            Ok(())
        })
    }

    /// Sets the power state to `Running`, `Halted`, `Paused` or `Suspended` at once. A suspended VM has an image of its memory.
    ///
    /// # Errors
    /// No such VM or state, or no host for it.
    pub fn set_power_state(&self, uuid: &str, to: &str) -> Result<(), ControlError> {
        let booted = self.with_vm(uuid, |pool, state, vm| {
            let now = state
                .db
                .get(Cls::Vm, vm, "power_state")
                .map(|v| v.as_str().to_owned())
                .unwrap_or_default();
            match to {
                "Halted" => {
                    halt(state, vm, Halt::Halted);
                    drop_image_now(state, vm);
                }
                "Suspended" if now != "Suspended" => suspend_now(state, vm),
                "Suspended" => {}
                "Paused" => state.db.set_if(Cls::Vm, vm, "power_state", "Paused"),
                "Running" if now == "Paused" => state.db.set_if(Cls::Vm, vm, "power_state", "Running"),
                "Running" if now == "Running" => {}
                "Running" => {
                    let host = placement::choose(state, vm).map_err(|f| refused(&f))?;
                    attach_devices(state, vm, true);
                    running(state, vm, &host, Begin::Start, false);
                    drop_image_now(state, vm);
                    return Ok(Some((pool.clone(), vm.clone())));
                }
                other => {
                    return Err(ControlError::Refused {
                        message: format!("`{other}` is not a power state"),
                    });
                }
            }
            operations::refresh_vm(&mut state.db, vm);
            Ok(None)
        })?;
        if let Some((pool, vm)) = booted {
            guest::boot(&pool, &vm);
        }
        Ok(())
    }

    /// Replaces the tags of a VM.
    ///
    /// # Errors
    /// No such VM.
    pub fn set_tags(&self, uuid: &str, tags: Vec<String>) -> Result<(), ControlError> {
        self.set_on_vm(uuid, "tags", Value::strings(tags))
    }

    /// Replaces the `other_config` of a VM.
    ///
    /// # Errors
    /// No such VM.
    pub fn set_other_config(&self, uuid: &str, map: StringMap) -> Result<(), ControlError> {
        self.set_on_vm(uuid, "other_config", Value::map(map))
    }

    /// Renames a VM.
    ///
    /// # Errors
    /// No such VM.
    pub fn rename_vm(&self, uuid: &str, name: &str) -> Result<(), ControlError> {
        self.set_on_vm(uuid, "name_label", Value::str(name))
    }

    /// Replaces the tags of the pool object.
    ///
    /// # Errors
    /// No such pool.
    pub fn set_pool_tags(&self, pool: &str, tags: Vec<String>) -> Result<(), ControlError> {
        self.set_on_pool(pool, "tags", Value::strings(tags))
    }

    /// Replaces the `other_config` of the pool object.
    ///
    /// # Errors
    /// No such pool.
    pub fn set_pool_other_config(&self, pool: &str, map: StringMap) -> Result<(), ControlError> {
        self.set_on_pool(pool, "other_config", Value::map(map))
    }

    /// Replaces `guest_metrics.networks` of a VM.
    ///
    /// # Errors
    /// No such VM, or one without guest metrics.
    pub fn set_networks(&self, uuid: &str, networks: StringMap) -> Result<(), ControlError> {
        self.with_vm(uuid, |_, state, vm| {
            let metrics = state
                .db
                .get(Cls::Vm, vm, "guest_metrics")
                .map_or_else(|_| Ref::null(), Value::as_ref);
            let set = state
                .db
                .set(Cls::VmGuestMetrics, &metrics, "networks", Value::map(networks));
            set.map_err(|f| refused(&f))
        })
    }

    /// Makes the guest of a VM silent: it names no address from now on.
    ///
    /// # Errors
    /// No such VM.
    pub fn guest_never(&self, uuid: &str) -> Result<(), ControlError> {
        self.with_vm(uuid, |_, state, vm| {
            state.muted.insert(vm.clone());
            Ok(())
        })
    }

    /// Enables or disables a host by name.
    ///
    /// # Errors
    /// No such host.
    pub fn set_host_enabled(&self, pool: &str, host: &str, enabled: bool) -> Result<(), ControlError> {
        self.pool(pool)?.with(|state| {
            let found = toolstack::find_host(state, host).map_err(|_| missing("host", host))?;
            state.db.set_if(Cls::Host, &found, "enabled", Value::Bool(enabled));
            operations::refresh(&mut state.db, Cls::Host, &found);
            Ok(())
        })
    }

    /// Restarts xapi: connections are cut, operations under way die where they stand, sessions and tasks are forgotten.
    ///
    /// # Errors
    /// No such pool.
    pub fn restart_toolstack(&self, pool: &str) -> Result<(), ControlError> {
        toolstack::restart(self.pool(pool)?);
        Ok(())
    }

    /// Copies the database to the members, for [`Control::roll_back`].
    ///
    /// # Errors
    /// No such pool.
    pub fn back_up(&self, pool: &str) -> Result<(), ControlError> {
        self.pool(pool)?.with(toolstack::back_up);
        Ok(())
    }

    /// Restarts xapi from the copy that [`Control::back_up`] made: all that was written since is gone.
    ///
    /// # Errors
    /// No such pool, or no copy.
    pub fn roll_back(&self, pool: &str) -> Result<(), ControlError> {
        if toolstack::roll_back(self.pool(pool)?) {
            return Ok(());
        }
        Err(ControlError::Refused {
            message: "no copy of the database was made".to_owned(),
        })
    }

    /// Gives the pool object a new UUID, as if another pool stood behind the URL; returns it.
    ///
    /// # Errors
    /// No such pool.
    pub fn change_pool_uuid(&self, pool: &str) -> Result<String, ControlError> {
        self.pool(pool)?.with(|state| {
            let uuid = state.random.uuid();
            let reference = state.db.pool();
            state
                .db
                .set(Cls::Pool, &reference, "uuid", Value::str(&uuid))
                .map_err(|f| refused(&f))?;
            Ok(uuid)
        })
    }

    /// Replaces everything behind the pool's URLs by a freshly built pool with other UUIDs.
    ///
    /// # Errors
    /// No such pool.
    pub fn replace_pool(&self, pool: &str) -> Result<(), ControlError> {
        let pool = self.pool(pool)?;
        let addresses: Vec<String> = pool.hosts.iter().map(|h| h.address.clone()).collect();
        pool.with(|state| {
            state.epoch.cancel();
            crate::session::close_all(state);
            let seed = pool.seed ^ state.random.next();
            *state = build::build(&pool.spec, &pool.name, seed, &addresses, state.wall);
        });
        pool.hosts.iter().for_each(toolstack::cut_connections);
        Ok(())
    }

    /// Gives every host of the pool a new certificate.
    ///
    /// # Errors
    /// No such pool, or one without TLS.
    pub fn change_certificate(&self, pool: &str) -> Result<(), ControlError> {
        let pool = self.pool(pool)?;
        if !pool.spec.tls {
            return Err(ControlError::Refused {
                message: "the pool has no TLS".to_owned(),
            });
        }
        for host in &pool.hosts {
            let made = Identity::generate(&host.name).map_err(|message| ControlError::Refused { message })?;
            *host.identity.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(made);
            toolstack::cut_connections(host);
        }
        Ok(())
    }

    /// Moves the pool's wall clock this many seconds against the real one.
    ///
    /// # Errors
    /// No such pool.
    pub fn set_clock_offset(&self, pool: &str, seconds: i64) -> Result<(), ControlError> {
        self.pool(pool)?.set_clock_offset(seconds);
        Ok(())
    }

    /// Leaves this many bytes free on an SR.
    ///
    /// # Errors
    /// No such SR.
    pub fn set_sr_free(&self, pool: &str, name: &str, bytes: u64) -> Result<(), ControlError> {
        self.pool(pool)?.with(|state| {
            let found = state
                .db
                .all(Cls::Sr)
                .find(|(_, r)| r.str("name_label") == name || r.str("uuid") == name);
            let (reference, size) = found
                .map(|(r, record)| (r.clone(), record.int("physical_size")))
                .ok_or_else(|| missing("SR", name))?;
            state.used.insert(
                reference.clone(),
                size.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX)),
            );
            sr::report(state, &reference);
            Ok(())
        })
    }

    /// Makes another host the coordinator; sessions and tasks are forgotten.
    ///
    /// # Errors
    /// No such host.
    pub fn set_coordinator(&self, pool: &str, host: &str) -> Result<(), ControlError> {
        let pool = self.pool(pool)?;
        let found = pool
            .with(|state| toolstack::find_host(state, host))
            .map_err(|_| missing("host", host))?;
        toolstack::set_coordinator(pool, &found).map_err(|f| refused(&f))
    }

    /// Makes a host unreachable (connections are closed at once, calls that need it fail) or reachable again. After ten
    /// minutes of silence it counts as dead.
    ///
    /// # Errors
    /// No such host.
    pub fn set_host_reachable(&self, pool: &str, host: &str, reachable: bool) -> Result<(), ControlError> {
        let pool = self.pool(pool)?;
        let endpoint = pool
            .hosts
            .iter()
            .find(|h| h.name == host)
            .ok_or_else(|| missing("host", host))?;
        let found = pool
            .with(|state| toolstack::find_host(state, host))
            .map_err(|_| missing("host", host))?;
        endpoint.reachable.store(reachable, Ordering::SeqCst);
        if reachable {
            pool.with(|state| state.unreachable.remove(&found));
            return self.set_host_live(&pool.name, host, true);
        }
        toolstack::cut_connections(endpoint);
        pool.with(|state| state.unreachable.insert(found.clone()));
        toolstack::declare_dead_later(pool, &found);
        Ok(())
    }

    /// Says whether a host's heartbeat is seen (`host_metrics.live`).
    ///
    /// # Errors
    /// No such host.
    pub fn set_host_live(&self, pool: &str, host: &str, live: bool) -> Result<(), ControlError> {
        self.pool(pool)?.with(|state| {
            let found = toolstack::find_host(state, host).map_err(|_| missing("host", host))?;
            toolstack::set_live(state, &found, live);
            Ok(())
        })
    }
}
