//! What is known about one VM, for people: a line for each fact, what matters first.

use fleet::lease::format_time;

use super::{Document, Lease};
use crate::output::{Printer, left, plain, span};
use crate::verbs::VerbError;

/// Prints it.
pub(super) fn show(document: &Document, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    for (name, value) in facts(document) {
        printer.line(format_args!("{name:<11}{}", plain(&value)))?;
    }
    for lease in &document.leases {
        printer.line(format_args!("{:<11}{}", "lease", plain(&text(lease))))?;
    }
    let count = if document.marks.tags_count {
        ""
    } else {
        " (do not name this VM, and do not count)"
    };
    for tag in &document.marks.tags {
        printer.line(format_args!("{:<11}{}{count}", "tag", plain(tag)))?;
    }
    for (key, value) in &document.marks.other_config {
        printer.line(format_args!("{:<11}{}", "key", plain(&format!("{key} = {value}"))))?;
    }
    for disk in &document.stray_disks {
        printer.line(format_args!("{:<11}{}", "disk", plain(&disk.text())))?;
    }
    for rail in &document.rails {
        printer.line(rail.text())?;
    }
    Ok(())
}

fn facts(document: &Document) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("vm", format!("{} ({})", document.name, document.vm)),
        ("pool", document.pool.clone()),
        ("verdict", document.verdict.to_owned()),
        ("action", format!("{}: {}", document.action, document.reason)),
    ];
    if let Some(due) = document.due_at {
        let left = left(due, document.now);
        facts.push(("due", format!("{} ({left})", format_time(due))));
    }
    let state = match &document.host {
        Some(host) => format!("{} {} on {host}", document.power_state, document.kind),
        None => format!("{} {}", document.power_state, document.kind),
    };
    facts.push(("state", state));
    facts.extend(document.operation.clone().map(|operation| ("busy", operation)));
    facts.extend(document.owner.clone().map(|owner| ("owner", owner)));
    if let Some(spec) = &document.spec {
        let os = spec.os.as_deref().unwrap_or("no alias");
        let (template, born) = (&spec.template_name, format_time(spec.created_at));
        facts.push((
            "made",
            format!("{born} of {template} ({os}) by provider {}", spec.provider),
        ));
    }
    facts
}

fn text(lease: &Lease) -> String {
    let sides = if lease.is_on_both_sides {
        "on both sides"
    } else {
        "on one side only"
    };
    let (ends, made) = (format_time(lease.expires_at), format_time(lease.made_at));
    let record = match &lease.record {
        Some(record) => format!(
            ", {} since {}, by {}",
            span(record.ttl_seconds),
            format_time(record.start),
            record.by
        ),
        None => ", without a record".to_owned(),
    };
    format!("ends at {ends}, written at {made}, {sides}{record}")
}
