//! What became of VMs that a person wanted changed, told in the same way by each verb that changes them.

use jiff::Timestamp;
use serde::Serialize;

use super::VerbError;
use super::choose::Found;
use crate::cli::Form;
use crate::output::{Printer, plain};

/// One VM, and what became of the wish.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    pool: String,
    vm: String,
    name: String,
    /// Says whether it is as it was wished.
    done: bool,
    /// When it would have ended, where that has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Timestamp>,
    /// When it ends now, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    text: String,
    #[serde(skip)]
    title: String,
}

/// What became of a wish, in words; `Err` if it did not come true.
pub(super) type Told = Result<String, String>;

impl Change {
    /// Tells what became of a wish.
    pub(super) fn new(found: &Found, told: Told) -> Self {
        let done = told.is_ok();
        Self {
            pool: found.pool().to_owned(),
            vm: found.record.uuid.to_string(),
            name: found.record.name_label.clone(),
            done,
            before: None,
            expires_at: None,
            text: told.unwrap_or_else(|why| why),
            title: found.title(),
        }
    }

    /// With the end of its lease, before and now.
    pub(super) fn with_lease(self, before: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            before: Some(before),
            expires_at: Some(expires_at),
            ..self
        }
    }
}

/// Prints what became of all; gives the exit code.
pub(super) fn tell(changes: &[Change], printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    #[derive(Serialize)]
    struct Document<'a> {
        servers: &'a [Change],
    }
    match printer.form() {
        Form::Json => printer.json(&Document { servers: changes })?,
        Form::Table | Form::Csv => {
            for change in changes {
                let failed = if change.done { "" } else { "failed: " };
                printer.line(format_args!("{}: {failed}{}", change.title, plain(&change.text)))?;
            }
        }
    }
    Ok(u8::from(changes.iter().any(|change| !change.done)))
}
