//! What befalls a request: the other axis of the matrix.
//!
//! The codes are those of XenAPI's catalogue of errors. Which method can be refused with which is a judgement by what they mean: the lists
//! that the datamodel declares per message are not whole. Codes by which the pool would say something untrue about an object
//! (`VM_BAD_POWER_STATE` of a VM that is in the right one, `VM_IS_TEMPLATE` of one that is none) stand in no table.

use std::fmt;

use sim::{FaultKind, FaultRule};

use crate::trace::Request;

/// What befalls one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The pool says no, with this code and these parameters.
    Refused(&'static str, &'static [&'static str]),
    /// The connection is cut before the pool acts.
    CutBefore,
    /// The pool acts, and the connection is cut before it answers.
    CutAfter,
    /// Nothing comes until the time is over.
    NoAnswer,
    /// The web server in front of the toolstack fails.
    Http500,
    /// An answer that is none.
    Garbage,
    /// The session is not known any more.
    SessionGone,
    /// Another host is the coordinator.
    Moved,
    /// The toolstack restarts before it acts: connections, sessions and tasks are gone.
    Restarted,
    /// It restarts when it has acted.
    RestartedAfter,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused(code, _) => f.write_str(code),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Those that are no refusals.
const OTHERS: [Fault; 9] = [
    Fault::CutBefore,
    Fault::CutAfter,
    Fault::NoAnswer,
    Fault::Http500,
    Fault::Garbage,
    Fault::SessionGone,
    Fault::Moved,
    Fault::Restarted,
    Fault::RestartedAfter,
];

impl Fault {
    /// All that can befall a request.
    pub(crate) fn of(request: &Request) -> Vec<Self> {
        let refusals = refusals(&request.method);
        let refusals = refusals.into_iter().map(|(code, params)| Fault::Refused(code, params));
        refusals.chain(OTHERS).collect()
    }

    /// Why a pair is left out, if it is.
    pub(crate) fn left_out(self, request: &Request) -> Option<&'static str> {
        let is_login = request.method.starts_with("session.");
        match self {
            Fault::SessionGone if is_login => Some("a login is made on no session"),
            Fault::Refused("HANDLE_INVALID", _) => {
                Some("the object is there: a pool that denies it says something untrue")
            }
            Fault::Refused(..)
            | Fault::CutBefore
            | Fault::CutAfter
            | Fault::NoAnswer
            | Fault::Http500
            | Fault::Garbage
            | Fault::SessionGone
            | Fault::Moved
            | Fault::Restarted
            | Fault::RestartedAfter => None,
        }
    }

    /// What makes it befall that request.
    pub(crate) fn rule(self, request: &Request) -> FaultRule {
        let kind = match self {
            Fault::Refused(code, params) => FaultKind::Error {
                code: code.to_owned(),
                params: params.iter().map(|&param| param.to_owned()).collect(),
            },
            Fault::CutBefore => FaultKind::CutBefore,
            Fault::CutAfter => FaultKind::CutAfter,
            Fault::NoAnswer => FaultKind::Hang,
            Fault::Http500 => FaultKind::Http500,
            Fault::Garbage => FaultKind::Garbage(b"<html>busy</html>".to_vec()),
            Fault::SessionGone => FaultKind::SessionInvalid,
            Fault::Moved => FaultKind::Coordinator("xen12".to_owned()),
            Fault::Restarted => FaultKind::Restart,
            Fault::RestartedAfter => FaultKind::RestartAfter,
        };
        FaultRule {
            skip: request.before,
            ..FaultRule::once(&request.method, kind)
        }
    }
}

type Code = (&'static str, &'static [&'static str]);

const REF: &str = "OpaqueRef:another";

/// Of the toolstack as a whole: any call.
const ANY: &[Code] = &[
    ("INTERNAL_ERROR", &["Not_found"]),
    ("HOST_STILL_BOOTING", &[]),
    ("TOO_MANY_PENDING_TASKS", &[]),
];
/// Any call on a session.
const ON_SESSION: &[Code] = &[("RBAC_PERMISSION_DENIED", &["a.permission", "not yours"])];
/// Any call about an object.
const OF_OBJECT: &[Code] = &[("HANDLE_INVALID", &["VM", REF])];
const LOGIN: &[Code] = &[
    ("SESSION_AUTHENTICATION_FAILED", &["root", "Authentication failure"]),
    ("SESSION_AUTHORIZATION_FAILED", &["root", "no role"]),
    ("HOST_IN_EMERGENCY_MODE", &[]),
];
/// What is forbidden, or is being done by somebody else.
const ON_OBJECT: &[Code] = &[
    ("OTHER_OPERATION_IN_PROGRESS", &["VM", REF, "snapshot", REF]),
    ("OPERATION_NOT_ALLOWED", &["not now"]),
    ("OPERATION_BLOCKED", &[REF, "BLOCKED"]),
];
const CLONE: &[Code] = &[
    ("SR_BACKEND_FAILURE_44", &["", "There is insufficient space", ""]),
    ("SR_BACKEND_FAILURE_81", &["", "Failed to clone VDI", ""]),
    ("SR_BACKEND_FAILURE_109", &["", "The snapshot chain is too long", ""]),
    ("SR_BACKEND_FAILURE_46", &["", "The VDI is not available", ""]),
    ("SR_NOT_ATTACHED", &[REF]),
    ("SR_HAS_NO_PBDS", &[REF]),
    ("LICENCE_RESTRICTION", &["clones"]),
    ("TASK_CANCELLED", &[REF]),
];
const COPY: &[Code] = &[
    ("SR_FULL", &["21474836480", "1"]),
    ("VDI_COPY_FAILED", &[]),
    ("VDI_IO_ERROR", &["device"]),
    ("CANNOT_CONTACT_HOST", &[REF]),
];
const START: &[Code] = &[
    ("HOST_NOT_ENOUGH_FREE_MEMORY", &["4294967296", "1048576"]),
    ("HOST_NOT_ENOUGH_PCPUS", &["64", "32"]),
    ("HOST_OFFLINE", &[REF]),
    ("HOST_NOT_LIVE", &[]),
    ("HOST_DISABLED", &[REF]),
    ("HOST_EVACUATE_IN_PROGRESS", &[REF]),
    ("CANNOT_CONTACT_HOST", &[REF]),
    ("NO_HOSTS_AVAILABLE", &[]),
    ("VM_REQUIRES_SR", &[REF, REF]),
    ("VM_REQUIRES_NETWORK", &[REF, REF]),
    ("HOST_CANNOT_ATTACH_NETWORK", &[REF, REF]),
    ("VM_INCOMPATIBLE_WITH_THIS_HOST", &[REF, REF, "feature"]),
    ("VM_HVM_REQUIRED", &[REF]),
    ("NOT_SUPPORTED_DURING_UPGRADE", &[]),
    ("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN", &[]),
    ("SR_BACKEND_FAILURE_46", &["", "The VDI is not available", ""]),
    ("BOOTLOADER_FAILED", &[REF, "no kernel"]),
    ("FAILED_TO_START_EMULATOR", &[REF, "qemu", "it died"]),
    ("DOMAIN_BUILDER_ERROR", &["build", "1", "no memory"]),
    ("TASK_CANCELLED", &[REF]),
];
const MIGRATE: &[Code] = &[
    ("VM_MIGRATE_FAILED", &[REF, REF, REF, "the link is down"]),
    ("VM_HOST_INCOMPATIBLE_VERSION_MIGRATE", &[REF, REF]),
    ("VM_LACKS_FEATURE", &[REF]),
    ("HOST_NOT_ENOUGH_FREE_MEMORY", &["4294967296", "1048576"]),
    ("HOST_DISABLED", &[REF]),
    ("CANNOT_CONTACT_HOST", &[REF]),
    ("TASK_CANCELLED", &[REF]),
];
const STOP: &[Code] = &[
    ("CANNOT_CONTACT_HOST", &[REF]),
    ("HOST_OFFLINE", &[REF]),
    ("DEVICE_DETACH_REJECTED", &["VBD", REF, "in use"]),
    ("TASK_CANCELLED", &[REF]),
];
const SUSPEND: &[Code] = &[
    ("VM_LACKS_FEATURE", &[REF]),
    ("SR_BACKEND_FAILURE_44", &["", "There is insufficient space", ""]),
    ("DEFAULT_SR_NOT_FOUND", &[REF]),
    ("CANNOT_CONTACT_HOST", &[REF]),
    ("TASK_CANCELLED", &[REF]),
];
const DROP_DISK: &[Code] = &[
    ("VDI_IN_USE", &[REF, "destroy"]),
    ("SR_BACKEND_FAILURE_80", &["", "Failed to mark VDI as hidden", ""]),
    ("SR_BACKEND_FAILURE_24", &["", "The VDI is in use", ""]),
    ("SR_BACKEND_FAILURE_46", &["", "The VDI is not available", ""]),
    ("SR_NOT_ATTACHED", &[REF]),
    ("SR_HAS_NO_PBDS", &[REF]),
];
const MAKE_DISK: &[Code] = &[
    ("SR_BACKEND_FAILURE_44", &["", "There is insufficient space", ""]),
    ("SR_NOT_ATTACHED", &[REF]),
    ("SR_HAS_NO_PBDS", &[REF]),
];
const MAKE_DEVICE: &[Code] = &[("DEVICE_ALREADY_EXISTS", &["3"]), ("INVALID_DEVICE", &["3"])];
const KEY: &[Code] = &[("MAP_DUPLICATE_KEY", &["VM", "other_config", REF, "a key"])];
const SIZE: &[Code] = &[
    ("MEMORY_CONSTRAINT_VIOLATION", &["static_max"]),
    ("INVALID_VALUE", &["VCPUs", "0"]),
    ("VALUE_NOT_SUPPORTED", &["VCPUs", "0", "not so many"]),
    ("HOST_NOT_ENOUGH_FREE_MEMORY", &["4294967296", "1048576"]),
];
const POLL: &[Code] = &[
    ("EVENT_FROM_TOKEN_PARSE_FAILURE", &["token"]),
    ("EVENT_SUBSCRIPTION_PARSE_FAILURE", &["class"]),
];

/// With what a method can be refused.
fn refusals(method: &str) -> Vec<Code> {
    let lists: &[&[Code]] = match method {
        "session.login_with_password" => &[LOGIN],
        "PUT /import_raw_vdi" => &[ON_SESSION, &[("VDI_IO_ERROR", &["device"]), ("VDI_IN_USE", &[REF])]],
        "event.from" => &[ON_SESSION, POLL],
        "VM.clone" => &[ON_SESSION, ON_OBJECT, CLONE],
        "VM.copy" => &[ON_SESSION, ON_OBJECT, CLONE, COPY],
        "VM.start" | "VM.start_on" | "VM.resume" | "VM.resume_on" => &[ON_SESSION, ON_OBJECT, START],
        "VM.pool_migrate" => &[ON_SESSION, ON_OBJECT, MIGRATE],
        "VM.hard_shutdown" | "VM.clean_shutdown" | "VBD.unplug" => &[ON_SESSION, ON_OBJECT, STOP],
        "VM.suspend" => &[ON_SESSION, ON_OBJECT, SUSPEND],
        "VM.destroy" | "VBD.destroy" | "VIF.destroy" => &[ON_SESSION, ON_OBJECT],
        "VDI.destroy" => &[ON_SESSION, ON_OBJECT, DROP_DISK],
        "VDI.create" => &[ON_SESSION, MAKE_DISK],
        "VBD.create" | "VIF.create" => &[ON_SESSION, ON_OBJECT, MAKE_DEVICE],
        "VM.set_is_a_template" => &[ON_SESSION, ON_OBJECT],
        named if named.ends_with(".add_to_other_config") => &[ON_SESSION, KEY],
        named if named.starts_with("VM.set_VCPUs") || named.starts_with("VM.set_memory") => {
            &[ON_SESSION, ON_OBJECT, SIZE]
        }
        _ => &[ON_SESSION],
    };
    let is_of_pool = ["session.", "event.", "host.get_servertime", "PUT ", "task.create"]
        .iter()
        .any(|&start| method.starts_with(start));
    let has_no_object = is_of_pool || method.ends_with("get_all_records_where") || method.ends_with("get_all_records");
    let of_object: &[Code] = if has_no_object { &[] } else { OF_OBJECT };
    let lists = lists.iter().copied().chain([of_object, ANY]);
    lists.flatten().copied().collect()
}
