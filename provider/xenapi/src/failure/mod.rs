//! Failures that a pool answers with, and what they mean.
//!
//! A failure keeps its code and its parameters. What a code means stands in one table; callers ask predicates and never match text.

mod table;

use std::fmt;

use self::table::{Meaning, TABLE};
use crate::reference::Ref;

/// An answer of the pool that says "no": a code and its parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    code: String,
    params: Vec<String>,
}

const REDACTED: &str = "***";

impl Failure {
    /// Takes an answer's `ErrorDescription`. Session references among the parameters are dropped here, once for all.
    pub fn new(code: impl Into<String>, params: Vec<String>) -> Self {
        let code = code.into();
        let mut params = params;
        let echoes_session = matches!(code.as_str(), "SESSION_INVALID" | "SESSION_NOT_REGISTERED")
            || params
                .first()
                .is_some_and(|class| code == "HANDLE_INVALID" && class.eq_ignore_ascii_case("session"));
        if echoes_session {
            for param in &mut params {
                if param.contains("OpaqueRef:") || code == "SESSION_INVALID" {
                    *param = REDACTED.to_owned();
                }
            }
        }
        Self { code, params }
    }

    /// Replaces every occurrence of a secret text in the parameters: some codes quote what was sent.
    #[must_use]
    pub(crate) fn without(mut self, secret: &str) -> Self {
        if secret.len() >= 4 {
            for param in &mut self.params {
                if param.contains(secret) {
                    *param = param.replace(secret, REDACTED);
                }
            }
        }
        self
    }

    /// Gives the code, such as `VM_BAD_POWER_STATE`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Gives the parameters in the pool's order.
    pub fn params(&self) -> &[String] {
        &self.params
    }

    /// Gives one parameter.
    pub fn param(&self, at: usize) -> Option<&str> {
        self.params.get(at).map(String::as_str)
    }

    /// Says in a few words what a person can do about it; empty for a code that is not in the table.
    pub fn advice(&self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self.code).map_or("", |row| row.2)
    }

    /// Tells whether the object of the call, or one that it needs, is gone.
    pub fn is_gone(&self) -> bool {
        self.means(&[Meaning::Gone])
    }

    /// Tells whether exactly this object is gone, and not another one that the call needed.
    pub fn is_gone_object<C>(&self, object: &Ref<C>) -> bool {
        self.is_gone() && self.param(1) == Some(object.as_str())
    }

    /// Tells whether another operation stands in the way for now.
    pub fn is_busy(&self) -> bool {
        self.means(&[Meaning::Busy, Meaning::InUse, Meaning::Throttled])
    }

    /// Tells whether a disk is in use or not yet detached.
    pub fn is_in_use(&self) -> bool {
        self.means(&[Meaning::InUse])
    }

    /// Tells whether the pool asks for fewer calls at a time.
    pub fn is_throttled(&self) -> bool {
        self.means(&[Meaning::Throttled])
    }

    /// Tells whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        self.means(&[
            Meaning::Busy,
            Meaning::InUse,
            Meaning::Throttled,
            Meaning::Emergency,
            Meaning::SessionInvalid,
            Meaning::OtherMaster,
        ])
    }

    /// Tells whether the session ended.
    pub fn is_session_invalid(&self) -> bool {
        self.means(&[Meaning::SessionInvalid])
    }

    /// Tells whether another member is the coordinator; see [`Failure::master_address`].
    pub fn is_other_master(&self) -> bool {
        self.means(&[Meaning::OtherMaster])
    }

    /// Gives the management address of the coordinator that a member names.
    pub fn master_address(&self) -> Option<&str> {
        if self.is_other_master() { self.param(0) } else { None }
    }

    /// Tells whether user name or password were refused.
    pub fn is_login_refused(&self) -> bool {
        self.means(&[Meaning::LoginRefused])
    }

    /// Tells whether the user's role lacks a permission; see [`Failure::permission`].
    pub fn is_permission(&self) -> bool {
        self.means(&[Meaning::Permission])
    }

    /// Gives the permission that the role lacks.
    pub fn permission(&self) -> Option<&str> {
        if self.code == "RBAC_PERMISSION_DENIED" {
            self.param(0)
        } else {
            None
        }
    }

    /// Tells whether the member is starting or cut off from its coordinator.
    pub fn is_emergency(&self) -> bool {
        self.means(&[Meaning::Emergency])
    }

    /// Tells whether the pool lacks room: memory, a host that fits, or what high availability keeps free.
    pub fn is_no_capacity(&self) -> bool {
        self.means(&[Meaning::NoMemory, Meaning::NoHost, Meaning::HighAvailability])
    }

    /// Tells whether this host refuses but another one may take the VM.
    pub fn is_other_host(&self) -> bool {
        self.means(&[Meaning::OtherHost, Meaning::NoMemory, Meaning::HighAvailability])
    }

    /// Tells whether the storage repository is full.
    pub fn is_storage_full(&self) -> bool {
        self.means(&[Meaning::StorageFull])
    }

    /// Tells whether the storage repository should be avoided for a while.
    pub fn is_storage_broken(&self) -> bool {
        self.means(&[Meaning::StorageBroken])
    }

    /// Tells whether the disk or its storage repository can never do this.
    pub fn is_storage_refusal(&self) -> bool {
        self.means(&[Meaning::StorageRefuses])
    }

    /// Tells whether the object is in another state than the call needs; often the work is done already.
    pub fn is_wrong_power_state(&self) -> bool {
        self.means(&[Meaning::WrongState])
    }

    /// Gives the power state that the VM is in, lower case, if the failure names it.
    pub fn actual_power_state(&self) -> Option<String> {
        if self.code == "VM_BAD_POWER_STATE" {
            self.param(2).map(str::to_ascii_lowercase)
        } else {
            None
        }
    }

    /// Tells whether the object is a template or a snapshot.
    pub fn is_wrong_object(&self) -> bool {
        self.means(&[Meaning::WrongObject])
    }

    /// Tells whether somebody or something forbids this on purpose.
    pub fn is_blocked(&self) -> bool {
        self.means(&[Meaning::Blocked])
    }

    /// Tells whether the key stands in the map already, with whatever value.
    pub fn is_duplicate_key(&self) -> bool {
        self.means(&[Meaning::Duplicate])
    }

    /// Tells whether the pool refuses an argument.
    pub fn is_invalid_value(&self) -> bool {
        self.means(&[Meaning::Invalid])
    }

    /// Tells whether this release of the pool lacks the call or this form of it.
    pub fn is_unsupported(&self) -> bool {
        self.means(&[Meaning::Unsupported])
    }

    /// Tells whether the licence forbids it.
    pub fn is_licence(&self) -> bool {
        self.means(&[Meaning::Licence])
    }

    /// Tells whether the pool is being upgraded.
    pub fn is_upgrade(&self) -> bool {
        self.means(&[Meaning::Upgrade])
    }

    /// Tells whether the guest itself is at fault: no boot, no agent, no answer.
    pub fn is_guest(&self) -> bool {
        self.means(&[Meaning::Guest])
    }

    /// Tells whether a task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.means(&[Meaning::Cancelled])
    }

    /// Tells whether an event token cannot be used any more.
    pub fn is_token_invalid(&self) -> bool {
        self.means(&[Meaning::EventToken])
    }

    /// Tells whether the call may have taken effect although the pool answered with a failure.
    pub fn is_outcome_unknown(&self) -> bool {
        self.means(&[Meaning::Unknown])
    }

    fn means(&self, wanted: &[Meaning]) -> bool {
        TABLE
            .iter()
            .find(|row| row.0 == self.code)
            .is_some_and(|row| wanted.contains(&row.1))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.code)?;
        for (at, param) in self.params.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let short: String = param.chars().take(300).collect();
            write!(f, "{separator}{short}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, TABLE};
    use crate::reference::Ref;

    fn failure(code: &str, params: &[&str]) -> Failure {
        Failure::new(code, params.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn no_code_stands_twice_and_each_has_advice() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|earlier| earlier.0 != row.0), "{} twice", row.0);
            assert!(!row.2.is_empty(), "{} without advice", row.0);
        }
    }

    #[test]
    fn session_references_never_stay() {
        let shown = format!(
            "{:?} {}",
            failure("SESSION_INVALID", &["OpaqueRef:secret"]),
            failure("HANDLE_INVALID", &["session", "OpaqueRef:secret"])
        );
        assert!(!shown.contains("secret"), "{shown}");
        let quoted = failure("INTERNAL_ERROR", &["Failure(OpaqueRef:secret)"]).without("OpaqueRef:secret");
        assert_eq!(quoted.to_string(), "INTERNAL_ERROR [Failure(***)]");
    }

    #[test]
    fn predicates_follow_the_table() {
        let vm = Ref::<()>::new("OpaqueRef:dead");
        let gone = failure("HANDLE_INVALID", &["VM", "OpaqueRef:dead"]);
        assert!(gone.is_gone() && gone.is_gone_object(&vm) && !gone.is_retryable());
        assert!(!failure("HANDLE_INVALID", &["VDI", "OpaqueRef:other"]).is_gone_object(&vm));
        assert_eq!(
            failure("HOST_IS_SLAVE", &["10.0.0.1"]).master_address(),
            Some("10.0.0.1")
        );
        assert_eq!(
            failure("RBAC_PERMISSION_DENIED", &["vm.start_on", "x"]).permission(),
            Some("vm.start_on")
        );
        assert_eq!(
            failure("VM_BAD_POWER_STATE", &["r", "halted", "Running"])
                .actual_power_state()
                .as_deref(),
            Some("running")
        );
        assert!(failure("TOO_MANY_PENDING_TASKS", &[]).is_throttled());
        assert!(failure("HOST_NOT_ENOUGH_FREE_MEMORY", &["2", "1"]).is_other_host());
        assert!(failure("SR_BACKEND_FAILURE_44", &["", "full", ""]).is_storage_full());
        let unheard = failure("SOMETHING_NEW", &[]);
        assert!(!unheard.is_retryable() && !unheard.is_gone() && unheard.advice().is_empty());
    }
}
