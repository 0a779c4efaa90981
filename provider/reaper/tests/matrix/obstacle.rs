//! Waits that are no request: something does not come, and the caller gives up.

use std::time::Duration;

use sim::{FaultKind, FaultRule};

use crate::lab::{Lab, POOL};
use crate::operation::Operation;

/// What an operation waits for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The guest names no address.
    SilentGuest,
    /// The ports of the guest stay shut.
    ShutPorts,
    /// The pool's host takes no connection.
    Unreachable,
    /// Every connection is cut.
    Cut,
    /// The pool is too busy.
    Throttled,
    /// The disk is in use.
    DiskInUse,
    /// The answer to the clone is lost, and the clone is looked for.
    CloneLost,
    /// Another server of the same process is being cloned: its storage has a line.
    Line,
    /// There is no room.
    FullPool,
}

impl Obstacle {
    /// Those that are in the way of an operation.
    pub(crate) fn of(operation: Operation) -> Vec<Self> {
        let own: &[Self] = match operation {
            Operation::Create => &[
                Obstacle::SilentGuest,
                Obstacle::ShutPorts,
                Obstacle::CloneLost,
                Obstacle::Line,
            ],
            Operation::Copy => &[Obstacle::CloneLost],
            Operation::Delete => &[Obstacle::DiskInUse],
            Operation::Reserve => &[Obstacle::FullPool],
            Operation::Read
            | Operation::Resize
            | Operation::Suspend
            | Operation::Move
            | Operation::Renew
            | Operation::Reap
            | Operation::Release => &[],
        };
        let of_all = [Obstacle::Unreachable, Obstacle::Cut, Obstacle::Throttled];
        own.iter().copied().chain(of_all).collect()
    }

    /// How long after its begin the operation surely waits.
    pub(crate) fn patience(self) -> Duration {
        Duration::from_millis(match self {
            Obstacle::SilentGuest | Obstacle::ShutPorts => 18_000,
            Obstacle::DiskInUse => 7000,
            Obstacle::Throttled | Obstacle::CloneLost | Obstacle::Line | Obstacle::FullPool => 3000,
            // A pool that takes no connection is given up after some tries.
            Obstacle::Unreachable | Obstacle::Cut => 400,
        })
    }

    /// Puts it in the way.
    pub(crate) fn put(self, lab: &Lab) {
        let always = |method: &str, kind| lab.control.fault(FaultRule::always(method, kind));
        let refused = |code: &str, params: &[&str]| FaultKind::Error {
            code: code.to_owned(),
            params: params.iter().map(|&param| param.to_owned()).collect(),
        };
        match self {
            // The process itself asks for something that does not come.
            Obstacle::SilentGuest | Obstacle::FullPool => {}
            Obstacle::ShutPorts => lab.shut_ports(true),
            Obstacle::Unreachable => lab.control.set_host_reachable(POOL, "xen11", false).unwrap(),
            Obstacle::Cut => always("*", FaultKind::CutBefore),
            Obstacle::Throttled => always("*", refused("TOO_MANY_PENDING_TASKS", &[])),
            Obstacle::DiskInUse => always("VDI.destroy", refused("VDI_IN_USE", &["OpaqueRef:another", "destroy"])),
            Obstacle::CloneLost => {
                always("VM.clone", FaultKind::CutBefore);
                always("VM.copy", FaultKind::CutBefore);
            }
            Obstacle::Line => lab.control.fault(FaultRule::once("VM.clone", FaultKind::Delay(60_000))),
        }
    }

    /// Takes it out of the way.
    pub(crate) fn take_away(self, lab: &Lab) {
        match self {
            Obstacle::Unreachable => lab.control.set_host_reachable(POOL, "xen11", true).unwrap(),
            Obstacle::ShutPorts => lab.shut_ports(false),
            Obstacle::SilentGuest
            | Obstacle::Cut
            | Obstacle::Throttled
            | Obstacle::DiskInUse
            | Obstacle::CloneLost
            | Obstacle::Line
            | Obstacle::FullPool => {}
        }
    }
}
