//! Setters with rules: memory, virtual CPUs, priorities.

use super::invalid;
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations::{self, check_vm};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

const LIMITS: [&str; 4] = [
    "memory_static_min",
    "memory_static_max",
    "memory_dynamic_min",
    "memory_dynamic_max",
];

pub(super) fn call(ctx: &Context, vm: &Ref, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let n = |i| args.int(i);
    let outcome = ctx.with(|state| match name {
        "set_memory_limits" => Some(set_limits(
            state,
            vm,
            "changing_memory_limits",
            [n(1), n(2), n(3), n(4)],
        )),
        "set_memory" => {
            let old = limits(state, vm);
            Some(old.and_then(|old| set_limits(state, vm, "changing_memory_limits", [old[0], n(1), n(1), n(1)])))
        }
        "set_memory_static_range" => {
            let old = limits(state, vm);
            Some(old.and_then(|old| set_limits(state, vm, "changing_static_range", [n(1), n(2), old[2], old[3]])))
        }
        "set_memory_dynamic_range" => {
            let old = limits(state, vm);
            Some(old.and_then(|old| set_limits(state, vm, "changing_dynamic_range", [old[0], old[1], n(1), n(2)])))
        }
        "set_memory_static_min" => Some(set_one(state, vm, 0, n(1))),
        "set_memory_static_max" => Some(set_one(state, vm, 1, n(1))),
        "set_memory_dynamic_min" => Some(set_one(state, vm, 2, n(1))),
        "set_memory_dynamic_max" => Some(set_one(state, vm, 3, n(1))),
        "set_VCPUs_max" => Some(set_vcpus_max(state, vm, n(1))),
        "set_VCPUs_at_startup" => Some(set_vcpus_at_startup(state, vm, n(1))),
        "set_VCPUs_number_live" => Some(set_vcpus_live(state, vm, n(1))),
        "set_ha_restart_priority" => Some(set_priority(state, vm, args.str(1))),
        "set_HVM_shadow_multiplier" => Some(set_shadow(state, vm, args.get(1).as_float())),
        "set_bios_strings" => Some(set_bios_strings(state, vm, args.get(1))),
        _ => None,
    });
    Some(outcome?.map(|()| Value::Void))
}

fn limits(state: &State, vm: &Ref) -> Outcome<[i64; 4]> {
    let record = state.db.record(Cls::Vm, vm)?;
    Ok(LIMITS.map(|field| record.int(field)))
}

fn set_limits(state: &mut State, vm: &Ref, op: &str, values: [i64; 4]) -> Outcome<()> {
    check_vm(&state.db, vm, op)?;
    let [static_min, static_max, dynamic_min, dynamic_max] = values;
    for (field, value) in LIMITS.iter().zip(values) {
        if value < 0 {
            return Err(invalid(field, value));
        }
    }
    if !(static_min <= dynamic_min && dynamic_min <= dynamic_max && dynamic_max <= static_max) {
        return Err(Failure::new("MEMORY_CONSTRAINT_VIOLATION_ORDER", []));
    }
    for (field, value) in LIMITS.iter().zip(values) {
        state.db.set(Cls::Vm, vm, field, Value::Int(value))?;
    }
    Ok(())
}

fn set_one(state: &mut State, vm: &Ref, index: usize, value: i64) -> Outcome<()> {
    let mut values = limits(state, vm)?;
    if let Some(slot) = values.get_mut(index) {
        *slot = value;
    }
    set_limits(state, vm, "changing_memory_limits", values)
}

fn set_vcpus_max(state: &mut State, vm: &Ref, n: i64) -> Outcome<()> {
    check_vm(&state.db, vm, "changing_VCPUs")?;
    if n < 1 || n < state.db.get(Cls::Vm, vm, "VCPUs_at_startup")?.as_int() {
        return Err(Failure::new(
            "INVALID_VALUE",
            [
                "VCPU values must satisfy: 0 < VCPUs_at_startup ≤ VCPUs_max",
                &n.to_string(),
            ],
        ));
    }
    state.db.set(Cls::Vm, vm, "VCPUs_max", Value::Int(n))
}

/// Without any lock.
fn set_vcpus_at_startup(state: &mut State, vm: &Ref, n: i64) -> Outcome<()> {
    let record = state.db.record(Cls::Vm, vm)?;
    if n < 1 || n > record.int("VCPUs_max") {
        return Err(Failure::new(
            "INVALID_VALUE",
            [
                "VCPU values must satisfy: 0 < VCPUs_at_startup ≤ VCPUs_max",
                &n.to_string(),
            ],
        ));
    }
    state.db.set(Cls::Vm, vm, "VCPUs_at_startup", Value::Int(n))
}

fn set_vcpus_live(state: &mut State, vm: &Ref, n: i64) -> Outcome<()> {
    check_vm(&state.db, vm, "changing_VCPUs_live")?;
    let record = state.db.record(Cls::Vm, vm)?;
    if n < 1 || n > record.int("VCPUs_max") {
        return Err(invalid("VCPU values must satisfy: 0 < VCPUs ≤ VCPUs_max", n));
    }
    let metrics = record.reference("metrics");
    state.db.set_if(Cls::VmMetrics, &metrics, "VCPUs_number", Value::Int(n));
    state.db.set(Cls::Vm, vm, "VCPUs_at_startup", Value::Int(n))
}

fn set_priority(state: &mut State, vm: &Ref, priority: &str) -> Outcome<()> {
    if !["", "restart", "best-effort"].contains(&priority) {
        return Err(Failure::new("INVALID_VALUE", ["ha_restart_priority", priority]));
    }
    state.db.set(Cls::Vm, vm, "ha_restart_priority", priority)
}

fn set_shadow(state: &mut State, vm: &Ref, multiplier: f64) -> Outcome<()> {
    check_vm(&state.db, vm, "changing_shadow_memory")?;
    if multiplier < 1.0 {
        return Err(Failure::new(
            "INVALID_VALUE",
            ["HVM_shadow_multiplier", &multiplier.to_string()],
        ));
    }
    state
        .db
        .set(Cls::Vm, vm, "HVM_shadow_multiplier", Value::Float(multiplier))
}

fn set_bios_strings(state: &mut State, vm: &Ref, strings: &Value) -> Outcome<()> {
    if !state.db.get(Cls::Vm, vm, "bios_strings")?.as_map().is_empty() {
        return Err(Failure::new("VM_BIOS_STRINGS_ALREADY_SET", []));
    }
    let bad = strings
        .as_map()
        .into_iter()
        .find(|(_, v)| v.as_str().len() > 512 || !v.as_str().is_ascii());
    if let Some((key, value)) = bad {
        return Err(Failure::new("INVALID_VALUE", [&key, value.as_str()]));
    }
    state.db.set(Cls::Vm, vm, "bios_strings", strings.clone())?;
    operations::refresh(&mut state.db, Cls::Vm, vm);
    Ok(())
}
