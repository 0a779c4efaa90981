//! A pool that is prepared for one operation, which can be begun again and again, and the end that each case comes to.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use acceptance::{Lab, Outcome, Reaper, Running, Tool, Workspace, assert_unchanged, group_members, is_alive};
use serde_json::Value as Json;
use sim::RequestRecord;

use super::left::left_behind;
use super::operation::Operation;
use super::{LIMIT, POOL};

/// How far the pool's clock is behind while servers are made: later than a creation lease (create timeout and 10 minutes) and the hour for
/// which a birth leftover is spared, and later than any lease that is asked for.
pub(super) const BEHIND: i64 = 150 * 60;

/// As the world file says.
const COORDINATOR: &str = "xen11";

const STATE: &str = "terraform.tfstate";
const APPLY: [&str; 4] = ["apply", "-input=false", "-no-color", "tfplan"];
const READ: [&str; 5] = ["apply", "-refresh-only", "-auto-approve", "-input=false", "-no-color"];

/// A lab, a module, and how both were when the operation began.
pub(super) struct Scene {
    pub(super) lab: Lab,
    pub(super) operation: Operation,
    workspace: Workspace,
    empty: Json,
    state: Option<Vec<u8>>,
}

/// A run that has ended, one way or the other.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// All that it asked for, which the pool has finished.
    pub(super) requests: Vec<RequestRecord>,
}

impl Scene {
    pub(super) fn new(tool: &Tool, operation: Operation) -> Self {
        let lab = Lab::standard();
        operation.furnish(&lab);
        let workspace = lab.workspace(tool, &[]);
        let mut scene = Self {
            empty: lab.world(),
            lab,
            operation,
            workspace,
            state: None,
        };
        scene.is_behind(true);
        scene.prepare();
        scene
    }

    fn prepare(&mut self) {
        let provider = self.lab.provider().only(POOL).to_string();
        if let Some(before) = self.operation.before() {
            self.workspace.main(&[&provider, &before]);
            self.workspace.apply();
        }
        self.workspace.main(&[&provider, &self.operation.module()]);
        if let Some(further) = self.operation.plan() {
            let plan = ["plan", "-out=tfplan", "-input=false", "-no-color"];
            self.workspace.run(&[&plan, further].concat()).expect_success();
        }
        self.until_quiet();
        self.state = fs::read(self.workspace.in_module(STATE)).ok();
        self.back_up();
    }

    fn back_up(&self) {
        self.lab.control().back_up(POOL).expect("a copy");
    }

    fn is_behind(&self, is_behind: bool) {
        let offset = if is_behind { -BEHIND } else { 0 };
        self.lab
            .control()
            .set_clock_offset(POOL, offset)
            .expect("another clock");
    }

    /// Makes everything as it was when the operation began.
    pub(super) fn rewind(&self) {
        self.lab.control().roll_back(POOL).expect("the copy");
        self.back_up();
        self.is_behind(true);
        let file = self.workspace.in_module(STATE);
        match &self.state {
            Some(state) => fs::write(file, state).expect("the state file"),
            None => match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
                Ok(()) | Err(_) => {}
            },
        }
        self.lab.forget_requests();
    }

    /// Begins the operation.
    pub(super) fn begin(&self) -> Running {
        let command: &[&str] = if self.operation.plan().is_some() { &APPLY } else { &READ };
        self.workspace.spawn(command)
    }

    /// Waits until a run, and all that it has started or asked for, has ended.
    pub(super) fn await_end(&self, running: Running) -> Ended {
        let group = running.pid();
        let outcome = running.wait(LIMIT);
        let left = group_members(group);
        let has_ended = || left.iter().all(|process| !is_alive(*process));
        self.lab.until("all that was started has ended", has_ended);
        self.lab.control().clear_faults();
        self.until_quiet();
        Ended {
            outcome,
            requests: self.lab.requests(),
        }
    }

    fn until_quiet(&self) {
        self.lab.until("the pool has finished what it was asked for", || {
            self.lab.requests().iter().all(|request| request.ended_us.is_some())
        });
    }

    /// How many tasks nobody has ended.
    pub(super) fn pending_tasks(&self) -> usize {
        let tasks = self.lab.records(POOL, "task").into_values();
        tasks.filter(|task| task["status"] == "pending").count()
    }

    /// The VMs that are there, with their names; each has a deadline.
    #[track_caller]
    pub(super) fn left(&self) -> BTreeMap<String, String> {
        left_behind(&self.lab, &self.empty)
    }

    /// Applies what is asked for once more, and demands that it has come to be.
    #[track_caller]
    pub(super) fn converge(&self) {
        self.workspace.apply();
        self.check();
    }

    /// Demands that what is asked for is there, in the pool, in the state and by a plan.
    #[track_caller]
    pub(super) fn check(&self) {
        self.workspace.expect_empty_plan();
        self.operation.check(&self.lab, &self.attributes());
    }

    /// Destroys all, lets the reaper come when the time is over, and demands the world of before.
    #[track_caller]
    pub(super) fn end(&self) {
        self.workspace.destroy();
        self.until_quiet();
        let left = self.left();
        self.is_behind(false);
        let reaped = Reaper::new(&self.lab).run_once().expect_success();
        let is_collected = left.keys().all(|uuid| !self.lab.has_vm(uuid));
        assert!(is_collected, "not collected: {left:?}\n{reaped}");
        // Which host coordinates the pool is not asked for.
        self.lab
            .control()
            .set_coordinator(POOL, COORDINATOR)
            .expect("the first host");
        assert_unchanged(&self.lab, &self.empty);
    }

    /// The attributes of the only resource in the state file; null when there is none.
    pub(super) fn attributes(&self) -> Json {
        let state = fs::read_to_string(self.workspace.in_module(STATE)).unwrap_or_default();
        let state: Json = serde_json::from_str(&state).unwrap_or_default();
        state["resources"][0]["instances"][0]["attributes"].clone()
    }
}
