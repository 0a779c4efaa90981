//! Failures of [`fleet`] as diagnostics: a short title, then what happened and where, then what to do, tied to the attribute at fault.

use std::time::Duration;

use cty::{Path, Value};
use engine::diagnostics::{Diagnostic, Diagnostics};
use fleet::{AddressSource, DeleteReport, Error, Server, Subject};

/// A wait for an address this long, with the agent as the cause, is worth a word: seconds.
const SLOW_ADDRESS: f64 = 30.0;

/// The diagnostic of a failure.
pub(crate) fn error(error: &Error) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.title(), sentences(&[&error.to_string(), &error.hint()]));
    match path(&error.subject()) {
        Some(path) => diagnostic.at(path),
        None => diagnostic,
    }
}

/// The same for a failure about this object: a template that was asked for by its alias is at fault at `os`.
pub(crate) fn error_about(object: &Value, failure: &Error) -> Diagnostic {
    let diagnostic = error(failure);
    let by_alias = matches!(failure.subject(), Subject::Template) && object.get("template").is_null();
    if by_alias && object.get("os").is_set() {
        diagnostic.at("os")
    } else {
        diagnostic
    }
}

/// The attribute of a resource or data source that a failure is about. A setting of the provider has no path here: the text names it.
fn path(subject: &Subject) -> Option<Path> {
    let attribute = match subject {
        Subject::Name => "name",
        Subject::Os => "os",
        Subject::Template => "template",
        Subject::Pool(_) | Subject::Connection { .. } => "pool",
        Subject::Storage => "storage",
        Subject::Network => "network",
        Subject::MacAddress => "mac_address",
        Subject::Memory => "memory_mib",
        Subject::Host => "host",
        Subject::Reservation => "capacity_id",
        Subject::PoolLabels => "pool_labels",
        Subject::Cpus => "cpus",
        Subject::WaitForIp => "wait_for_ip",
        Subject::IpCidrs => "ip_cidrs",
        Subject::ReadyPorts => "ready_ports",
        Subject::Ttl => "ttl",
        Subject::None => return None,
    };
    Some(Path::from(attribute))
}

/// A read was cut by Ctrl-C.
pub(crate) fn interrupted(doing: &str) -> Diagnostics {
    Diagnostic::error(
        "Interrupted",
        format!("Interrupted while {doing}. Nothing was changed."),
    )
    .into()
}

/// An operation took longer than its timeout.
pub(crate) fn too_slow(doing: &str, timeout: &str, limit: Duration, pool: &str) -> Diagnostics {
    Diagnostic::error(
        "Timeout",
        format!(
            "{doing} in pool \"{pool}\" took longer than `timeouts.{timeout}` ({}). Is the pool overloaded or unreachable? Raise the timeout if it is only slow.",
            engine::duration::format(limit)
        ),
    )
    .at(Path::from("timeouts").attribute(timeout))
    .into()
}

/// What a successful create has to say all the same.
pub(crate) fn after_create(server: &Server) -> Diagnostics {
    let mut found = Diagnostics::new();
    let waited = server.timings.map_or(0.0, |timings| timings.address);
    if waited >= SLOW_ADDRESS && server.address_source == Some(AddressSource::LaterReport) {
        found.warning(
            "Address came late",
            format!(
                "{waited:.0} s of creating \"{}\" passed between the start and a usable address, and the guest agent had reported without one before: by \
                 default it looks only every 60 s. The guide for template makers in the provider's documentation says how to make it report at once.",
                server.name
            ),
        );
    }
    found
}

/// What a successful destroy has to say all the same.
pub(crate) fn after_delete(report: &DeleteReport) -> Diagnostics {
    let mut found = Diagnostics::new();
    for disk in &report.kept_disks {
        found.warning(
            "Disk kept",
            format!(
                "The disk \"{}\" ({}) was attached to the server but is not its own ({}): it was detached and kept.",
                disk.name, disk.uuid, disk.reason
            ),
        );
    }
    found
}

/// Sentences in one text: each begins with a capital letter and ends with a full stop.
fn sentences(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let mut letters = part.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
        if !part.ends_with(['.', '!', '?']) {
            text.push('.');
        }
    }
    text
}
