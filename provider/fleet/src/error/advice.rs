//! For each error a short title, the setting at fault, and what to do.

use xenapi::ErrorKind;

use super::{ConnectionField, Error, Subject, What};
use crate::address::Missed;

impl Error {
    /// A short title.
    pub fn title(&self) -> &'static str {
        match self {
            Error::NoPools => "No pool",
            Error::UnknownPool { .. } => "Unknown pool",
            Error::SamePool { .. } => "One pool configured twice",
            Error::OtherPool { .. } => "Another pool behind the address",
            Error::UnknownOs { .. } => "Unknown os",
            Error::Labels { .. } => "No pool with such labels",
            Error::Missing { what, .. } => match what {
                What::Template => "No such template",
                What::Storage => "No such storage",
                What::Network => "No such network",
                What::Interface => "No such interface",
                What::Server => "No such server",
                What::Host => "No such host",
            },
            Error::Ambiguous { .. } => "Name is not unique",
            Error::NoPoolFits { .. } => "No pool can take the server",
            Error::Full { .. } => "No room",
            Error::ChangedInPart { .. } => "Reservation changed in part",
            Error::Reservation { .. } => "Reservation cannot be used",
            Error::Unsteady { .. } => "Pool cannot be looked at",
            Error::RoleLacks { .. } => "Role does not suffice",
            Error::TicketLost { .. } => "Tickets contested",
            Error::Refused { .. } => "Setting refused",
            Error::Call { cause, .. } => title_of_cause(cause),
            Error::CloneUnknown { .. } => "Outcome of the clone is unknown",
            Error::CreateTimeout { .. } => "Creating took too long",
            Error::Timeout { .. } => "Pool took too long",
            Error::NoAddress {
                missed: Missed::PortClosed(_),
                ..
            } => "Port closed",
            Error::NoAddress { .. } => "No usable address",
            Error::Stopped { .. } => "Server stopped",
            Error::BeingReaped { .. } => "Being reaped",
            Error::ExtendedElsewhere { .. } => "Lease extended elsewhere",
            Error::MarksContested { .. } => "Marks contested",
            Error::TtlPast { .. } => "Lease would be over",
            Error::TtlTooLong { .. } => "ttl too long",
            Error::NotOurs { .. } => "Not a server of dynvm",
            Error::Gone { .. } => "Server is gone",
            Error::NoLongerDue { .. } => "No longer due",
            Error::Promised { .. } => "Server is wanted",
            Error::DiskHeld { .. } => "Disk is held",
            Error::Cancelled { .. } | Error::CloneGivenUp { .. } => "Cancelled",
            Error::NotTakenBack { error, .. }
            | Error::NotUndone { error, .. }
            | Error::PutBack { error, .. }
            | Error::NotPutBack { error, .. }
            | Error::Kept { error, .. } => error.title(),
        }
    }

    /// The setting at fault.
    pub fn subject(&self) -> Subject {
        match self {
            Error::UnknownPool { wanted, .. } => Subject::Pool(wanted.clone()),
            Error::SamePool { second: pool, .. } | Error::OtherPool { pool, .. } => Subject::Connection {
                pool: pool.clone(),
                field: ConnectionField::Url,
            },
            Error::UnknownOs { .. } => Subject::Os,
            Error::Labels { .. } => Subject::PoolLabels,
            Error::Missing { what, .. } | Error::Ambiguous { what, .. } => match what {
                What::Template => Subject::Template,
                What::Storage => Subject::Storage,
                What::Network | What::Interface => Subject::Network,
                What::Server => Subject::Name,
                What::Host => Subject::Host,
            },
            Error::NoPoolFits { reasons } => match reasons.as_slice() {
                [(_, only)] => only.subject(),
                _ => Subject::None,
            },
            Error::Reservation { .. } => Subject::Reservation,
            Error::RoleLacks { pool, .. } => Subject::Connection {
                pool: pool.clone(),
                field: ConnectionField::Username,
            },
            Error::Refused { subject, .. } => subject.clone(),
            Error::Call { cause, .. } | Error::CloneUnknown { cause, .. } => subject_of_cause(cause),
            Error::NoAddress { missed, .. } => match missed {
                Missed::OutsideCidrs => Subject::IpCidrs,
                Missed::PortClosed(_) => Subject::ReadyPorts,
                Missed::NotStarted
                | Missed::NoAgent
                | Missed::NoAddress
                | Missed::OnlyLinkLocal
                | Missed::WrongFamily => Subject::WaitForIp,
            },
            Error::TtlPast { .. } | Error::TtlTooLong { .. } => Subject::Ttl,
            Error::NotTakenBack { error, .. }
            | Error::NotUndone { error, .. }
            | Error::ChangedInPart { error, .. }
            | Error::PutBack { error, .. }
            | Error::NotPutBack { error, .. }
            | Error::Kept { error, .. } => error.subject(),
            Error::NoPools
            | Error::Full { .. }
            | Error::Unsteady { .. }
            | Error::TicketLost { .. }
            | Error::CreateTimeout { .. }
            | Error::Timeout { .. }
            | Error::Stopped { .. }
            | Error::BeingReaped { .. }
            | Error::ExtendedElsewhere { .. }
            | Error::MarksContested { .. }
            | Error::NotOurs { .. }
            | Error::Gone { .. }
            | Error::NoLongerDue { .. }
            | Error::Promised { .. }
            | Error::DiskHeld { .. }
            | Error::Cancelled { .. }
            | Error::CloneGivenUp { .. } => Subject::None,
        }
    }

    /// Says whether it is about what was asked for, not about reaching a pool.
    pub fn is_about_a_setting(&self) -> bool {
        matches!(
            self,
            Error::Refused { .. } | Error::Missing { .. } | Error::Ambiguous { .. }
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Error::NoPools => "Configure a pool: `pools`, or DYNVM_URL.".into(),
            Error::UnknownPool { .. } | Error::UnknownOs { .. } | Error::Missing { .. } => {
                "Correct the name, or give the UUID.".into()
            }
            Error::Labels { .. } => "Ask for a label that a pool has, or give the pool's entry the label.".into(),
            Error::SamePool { second, .. } => format!("Remove the entry {second:?}, or point it at another pool."),
            Error::OtherPool { .. } => {
                "Point the entry at the pool that the server was made in. The state is left as it is.".into()
            }
            Error::Ambiguous { .. } => "Give the UUID, or rename all but one.".into(),
            Error::NoPoolFits { reasons } => match reasons.as_slice() {
                [(_, only)] => only.hint(),
                _ => "Put one of these right, or name a pool.".into(),
            },
            Error::ChangedInPart { .. } => "The state says what is held. Apply again when the pools can be asked, or destroy it.".into(),
            Error::Full { .. } => "Destroy servers, ask for smaller ones, or add a pool.".into(),
            Error::Reservation { .. } => "Reserve anew, or leave out capacity_id.".into(),
            Error::Unsteady { .. } => "Apply again; look at whether the coordinator restarts or is overloaded.".into(),
            Error::RoleLacks { role, .. } => format!("Give the user the role {role}, or go without."),
            Error::TicketLost { .. } => "Find the tool that writes other_config of the pool as a whole.".into(),
            Error::Refused { .. } => "Change the setting, or the template.".into(),
            Error::Call { cause, .. } => hint_of_cause(cause),
            Error::CloneUnknown { .. } => {
                "Apply again. If the clone was made it falls under its creation lease, and a reaper removes it.".into()
            }
            Error::CreateTimeout { .. } => "Raise timeouts.create, or look at what the pool is busy with.".into(),
            Error::Timeout { .. } => "Apply again, or raise the timeout; look at what the pool is busy with.".into(),
            Error::NoAddress { missed, .. } => hint_of_missed(*missed).into(),
            Error::Stopped { .. } => "Look at the guest's console; the template may power itself off.".into(),
            Error::BeingReaped { .. } => "It cannot be renewed any more. Refresh: once it is gone, the next plan makes it anew. If the claim stays and no reaper \
                 is at work, `dynvm-reaper unclaim` takes it away."
                .into(),
            Error::ExtendedElsewhere { .. } => "Refresh, and apply again if it is to end earlier all the same.".into(),
            Error::NotTakenBack { error, mark, .. } => {
                format!("Take the tag and the other_config key {mark} off the VM. {}", error.hint())
            }
            Error::MarksContested { .. } => {
                "Find the tool that writes tags or other_config of this VM as a whole.".into()
            }
            Error::TtlPast { .. } => "Give a longer ttl, or start the lease anew.".into(),
            Error::TtlTooLong { .. } => "Give a shorter ttl, or raise max_ttl of the provider.".into(),
            Error::NotOurs { .. } => {
                "Look at the VM; remove it from the state if it is not this server any more.".into()
            }
            Error::Gone { .. } => "Refresh: the next plan makes it anew.".into(),
            Error::NoLongerDue { .. } => "Look at the VM: somebody wants it still, and parts of it may be gone.".into(),
            Error::Promised { .. } => {
                "It is in the state, tainted: the next apply destroys it all the same. Ask who wants it, or untaint it.".into()
            }
            Error::DiskHeld { .. } => "Release the disk, then destroy again.".into(),
            Error::Cancelled { left: None } => String::new(),
            Error::CloneGivenUp { .. } => {
                "If the clone is made it falls under its creation lease, and a reaper removes it.".into()
            }
            Error::Cancelled { left: Some(_) } => {
                "It is in the state, tainted; without that it falls under its creation lease.".into()
            }
            Error::NotUndone { undo, .. } if matches!(**undo, Error::Promised { .. } | Error::NoLongerDue { .. }) => undo.hint(),
            Error::NotUndone { .. } => "It is in the state, tainted, and expires; destroy it, or let it expire.".into(),
            Error::Kept { error, .. } | Error::PutBack { error, .. } => error.hint(),
            Error::NotPutBack { .. } => "Look at the VM: the next plan starts from what it is now.".into(),
        }
    }

    /// What the pool said, or what became of the connection, where a call is at the bottom of it.
    pub fn cause(&self) -> Option<&xenapi::Error> {
        match self {
            Error::Call { cause, .. } | Error::CloneUnknown { cause, .. } => Some(cause),
            Error::Full { cause, .. } => cause.as_ref(),
            Error::NotTakenBack { cause, .. } => cause.cause(),
            Error::NotUndone { error, .. }
            | Error::Kept { error, .. }
            | Error::PutBack { error, .. }
            | Error::NotPutBack { error, .. } => error.cause(),
            Error::NoPools
            | Error::UnknownPool { .. }
            | Error::SamePool { .. }
            | Error::OtherPool { .. }
            | Error::UnknownOs { .. }
            | Error::Labels { .. }
            | Error::Missing { .. }
            | Error::Ambiguous { .. }
            | Error::NoPoolFits { .. }
            | Error::Reservation { .. }
            | Error::RoleLacks { .. }
            | Error::Unsteady { .. }
            | Error::TicketLost { .. }
            | Error::Refused { .. }
            | Error::CreateTimeout { .. }
            | Error::Timeout { .. }
            | Error::NoAddress { .. }
            | Error::Stopped { .. }
            | Error::BeingReaped { .. }
            | Error::ExtendedElsewhere { .. }
            | Error::MarksContested { .. }
            | Error::TtlPast { .. }
            | Error::TtlTooLong { .. }
            | Error::NotOurs { .. }
            | Error::Gone { .. }
            | Error::NoLongerDue { .. }
            | Error::Promised { .. }
            | Error::DiskHeld { .. }
            | Error::ChangedInPart { .. }
            | Error::Cancelled { .. }
            | Error::CloneGivenUp { .. } => None,
        }
    }
}

fn title_of_cause(cause: &xenapi::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::Failure(failure) if failure.is_permission() => "Role does not suffice",
        ErrorKind::Failure(failure) if failure.is_login_refused() => "Login refused",
        ErrorKind::Failure(_) => "Pool refused a call",
        ErrorKind::Unreachable { .. } => "Pool cannot be reached",
        ErrorKind::Untrusted { .. } => "Certificate not trusted",
        ErrorKind::Broken | ErrorKind::TimedOut(_) | ErrorKind::TaskVanished | ErrorKind::StaleToken => {
            "No answer from the pool"
        }
        ErrorKind::Http(_) | ErrorKind::Malformed(_) => "Answer not understood",
        ErrorKind::Unsendable(_) | ErrorKind::Config(_) => "Call cannot be made",
        ErrorKind::OtherPool { .. } => "Another pool behind the address",
        ErrorKind::Closed => "Provider is shutting down",
    }
}

fn subject_of_cause(cause: &xenapi::Error) -> Subject {
    let connection = |field| Subject::Connection {
        pool: cause.pool().to_owned(),
        field,
    };
    match cause.kind() {
        ErrorKind::Failure(failure) if failure.is_login_refused() => connection(ConnectionField::Password),
        ErrorKind::Failure(failure) if failure.is_permission() => connection(ConnectionField::Username),
        ErrorKind::Failure(_) => Subject::None,
        ErrorKind::Untrusted { .. } => connection(ConnectionField::Tls),
        ErrorKind::Unreachable { .. } | ErrorKind::Http(_) | ErrorKind::OtherPool { .. } | ErrorKind::Config(_) => {
            connection(ConnectionField::Url)
        }
        ErrorKind::Broken
        | ErrorKind::TimedOut(_)
        | ErrorKind::Malformed(_)
        | ErrorKind::Unsendable(_)
        | ErrorKind::TaskVanished
        | ErrorKind::StaleToken
        | ErrorKind::Closed => Subject::None,
    }
}

fn hint_of_cause(cause: &xenapi::Error) -> String {
    match cause.kind() {
        ErrorKind::Untrusted { fingerprint, .. } => {
            format!(
                "If this is the pool's own certificate, pin it: tls = {{ fingerprints = [\"{fingerprint}\"] }}; or give its ca_file."
            )
        }
        ErrorKind::Failure(_)
        | ErrorKind::Unreachable { .. }
        | ErrorKind::Broken
        | ErrorKind::TimedOut(_)
        | ErrorKind::Http(_)
        | ErrorKind::Malformed(_)
        | ErrorKind::Unsendable(_)
        | ErrorKind::Config(_)
        | ErrorKind::OtherPool { .. }
        | ErrorKind::TaskVanished
        | ErrorKind::StaleToken
        | ErrorKind::Closed => cause.advice().to_string(),
    }
}

fn hint_of_missed(missed: Missed) -> &'static str {
    match missed {
        Missed::NotStarted => "Look at the guest's console.",
        Missed::NoAgent => "Install the guest tools in the template, or set wait_for_ip = false.",
        Missed::NoAddress => "Look at the guest's network: no DHCP answer, or the wrong network.",
        Missed::OnlyLinkLocal => "Look at the network's DHCP: the guest gave itself an address.",
        Missed::WrongFamily => "Set ip_family to what the network offers.",
        Missed::OutsideCidrs => "Correct ip_cidrs, or choose another network.",
        Missed::PortClosed(_) => {
            "Does a service listen there, and does a firewall let this machine through? Correct ready_ports, or raise the timeouts if it is only slow."
        }
    }
}
