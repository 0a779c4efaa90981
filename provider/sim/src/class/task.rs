//! `task`: rows of calls under way, their completion, cancelling and collection.

use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;
use crate::wire::xml;

/// Seconds after which a finished task goes.
const KEEP: i64 = 65 * 60;
/// Tasks above which finished ones go earlier.
const MOST: usize = 200;

pub(super) fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let task = args.reference(0);
    ctx.with(|state| match name {
        "create" => {
            let task = create(state, args.str(0), args.str(1));
            Some(Ok(Value::from(task)))
        }
        "destroy" => Some(destroy(state, &task).map(|()| Value::Void)),
        "cancel" => Some(cancel(state, &task).map(|()| Value::Void)),
        "set_status" => Some(set_status(state, &task, args.str(1)).map(|()| Value::Void)),
        _ => None,
    })
}

/// Adds a pending task.
pub(crate) fn create(state: &mut State, label: &str, description: &str) -> Ref {
    let reference = state.random.reference();
    let uuid = state.random.uuid();
    let host = state.host_refs.first().cloned().unwrap_or_else(Ref::null);
    let fields = vec![
        ("uuid", Value::from(uuid)),
        ("name_label", Value::str(label)),
        ("name_description", Value::str(description)),
        ("status", Value::str("pending")),
        ("created", Value::Time(state.wall)),
        ("resident_on", Value::from(host)),
        ("type", Value::str("<none/>")),
        ("allowed_operations", Value::strings(["cancel"])),
    ];
    state.db.create(Cls::Task, &reference, fields);
    reference
}

/// Removes the row of a call that has been answered.
pub(crate) fn drop_row(state: &mut State, task: &Ref) {
    state.cancels.remove(task);
    state.db.delete(Cls::Task, task);
}

/// Writes the end of a task, its status last.
pub(crate) fn complete(state: &mut State, task: &Ref, outcome: &Outcome<Value>) {
    state.cancels.remove(task);
    let now = Value::Time(state.wall);
    let db = &mut state.db;
    db.set_if(Cls::Task, task, "allowed_operations", Value::Set(Vec::new()));
    db.set_if(Cls::Task, task, "finished", now);
    db.set_if(Cls::Task, task, "progress", Value::Float(1.0));
    let status = match outcome {
        Ok(value) => {
            db.set_if(Cls::Task, task, "result", xml::fragment(value));
            "success"
        }
        Err(failure) => {
            db.set_if(Cls::Task, task, "error_info", Value::strings(failure.description()));
            if failure.code == "TASK_CANCELLED" {
                "cancelled"
            } else {
                "failure"
            }
        }
    };
    db.set_if(Cls::Task, task, "status", status);
}

/// Removes old finished tasks, and those destroyed while they were pending.
pub(crate) fn collect(state: &mut State) {
    let now = state.wall;
    let is_pending = |r: &crate::db::Record| matches!(r.str("status"), "pending" | "cancelling");
    let finished = state.db.all(Cls::Task).filter(|(_, r)| !is_pending(r));
    let mut finished: Vec<(i64, Ref)> = finished.map(|(t, r)| (r.int("finished"), t.clone())).collect();
    finished.sort();
    let excess = state.db.table(Cls::Task).rows.len().saturating_sub(MOST);
    for (i, (at, task)) in finished.iter().enumerate() {
        if i < excess || now - at > KEEP || state.doomed.contains(task) {
            state.doomed.remove(task);
            state.db.delete(Cls::Task, task);
        }
    }
}

fn destroy(state: &mut State, task: &Ref) -> Outcome<()> {
    let status = state.db.get(Cls::Task, task, "status")?.as_str();
    if matches!(status, "pending" | "cancelling") && state.cancels.contains_key(task) {
        state.doomed.insert(task.clone());
    } else {
        state.db.delete(Cls::Task, task);
    }
    Ok(())
}

fn cancel(state: &mut State, task: &Ref) -> Outcome<()> {
    let status = state.db.get(Cls::Task, task, "status")?.as_str().to_owned();
    if status != "pending" {
        return Err(Failure::new("OPERATION_NOT_ALLOWED", ["The task has already finished"]));
    }
    state.db.set(Cls::Task, task, "status", "cancelling")?;
    state
        .db
        .set(Cls::Task, task, "allowed_operations", Value::Set(Vec::new()))?;
    if let Some(token) = state.cancels.get(task) {
        token.cancel();
    }
    Ok(())
}

fn set_status(state: &mut State, task: &Ref, status: &str) -> Outcome<()> {
    state.db.set(Cls::Task, task, "status", status)?;
    let now = Value::Time(state.wall);
    if status != "pending" {
        state.db.set(Cls::Task, task, "finished", now)?;
    }
    operations::refresh(&mut state.db, Cls::Task, task);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{World, build};

    #[test]
    fn finished_tasks_go_when_there_are_too_many() {
        let world = World::from_hcl("pool \"p\" {\n  host \"h\" {\n  }\n}\n").unwrap();
        let mut state = build::build(&world.pools["p"], "p", 1, &[String::new()], 0);
        let pending = create(&mut state, "pending", "");
        let tasks: Vec<Ref> = (0..MOST + 9).map(|_| create(&mut state, "done", "")).collect();
        for (second, task) in tasks.iter().enumerate() {
            state.wall = i64::try_from(second).unwrap();
            complete(&mut state, task, &Ok(Value::Void));
        }
        collect(&mut state);
        assert_eq!(state.db.table(Cls::Task).rows.len(), MOST);
        assert!(state.db.exists(Cls::Task, &pending) && !state.db.exists(Cls::Task, &tasks[9]));
        assert!(state.db.exists(Cls::Task, &tasks[10]));
        state.wall += KEEP + 1;
        collect(&mut state);
        assert_eq!(state.db.table(Cls::Task).rows.len(), 1);
    }
}
