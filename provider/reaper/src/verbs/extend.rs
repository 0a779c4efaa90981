//! `extend`: servers end later. What is acknowledged here is never followed by the deletion of that lease.

use fleet::lease::format_time;
use fleet::{Extended, Extension};
use futures::future::join_all;

use super::VerbError;
use super::change::{Change, tell};
use super::choose::{Found, choose};
use crate::cli::{Extend, Length};
use crate::output::{Printer, span};
use crate::setup::Setup;

/// Extends servers; gives the exit code.
pub(super) async fn extend(
    setup: &Setup,
    asked: &Extend,
    person: &str,
    printer: &mut Printer<'_>,
) -> Result<u8, VerbError> {
    let extension = extension(&asked.length)?;
    let by = format!("dynvm-reaper/{} {person}", env!("CARGO_PKG_VERSION"));
    let found = choose(setup, &asked.chosen, |sight| sight.marks.is_managed()).await?;
    let changes = found.iter().map(|one| extend_one(one, extension, &by));
    tell(&join_all(changes).await, printer)
}

/// The command line lets one of the two through, and not neither.
fn extension(length: &Length) -> Result<Extension, VerbError> {
    let by = length.by.map(Extension::By);
    let until = length.until.map(Extension::Until);
    by.or(until)
        .ok_or_else(|| VerbError::Usage("until when? --for or --until".to_owned()))
}

async fn extend_one(found: &Found, extension: Extension, by: &str) -> Change {
    let extended = async {
        let now = found.now().await.map_err(|error| error.to_string())?;
        let extended = fleet::extend(&found.client, &found.vm, extension, now, by.to_owned()).await;
        extended.map_err(|error| error.to_string())
    };
    match extended.await {
        Ok(extended) => Change::new(found, Ok(text(extended))).with_lease(extended.before, extended.until),
        Err(why) => Change::new(found, Err(why)),
    }
}

fn text(extended: Extended) -> String {
    let (before, until) = (format_time(extended.before), format_time(extended.until));
    let longer = extended.until.as_second().saturating_sub(extended.before.as_second());
    if longer == 0 {
        return format!("ends at {until}, as before");
    }
    format!(
        "ends at {until}, {} later than at {before}",
        span(longer.unsigned_abs())
    )
}
