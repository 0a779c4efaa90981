//! What concerns this machine: the configuration, the state folder, the history.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use history::{Filter, History, SinkUrl};

use super::Check;
use crate::memory;
use crate::setup::Setup;

/// How long the history may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn checks(setup: &Setup) -> Vec<Check> {
    let mut checks = configuration(setup);
    checks.push(state_dir(&setup.config.state_dir));
    checks.push(history(setup.sink.as_ref()).await);
    checks
}

fn configuration(setup: &Setup) -> Vec<Check> {
    let warnings = setup.config.warnings.iter();
    let mut checks: Vec<Check> = warnings.map(|warning| Check::warn("configuration", warning)).collect();
    if checks.is_empty() {
        let count = setup.clients.len();
        checks.push(Check::ok("configuration", format!("can be read; pools: {count}")));
    }
    checks
}

/// The folder is not made here: whoever asks is perhaps not the user of the service.
fn state_dir(folder: &Path) -> Check {
    let shown = folder.display();
    let wanted = "make it writable for the user of the service, and use every verb as that user";
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else {
        return Check::fail("state_dir", format!("{shown} cannot be made")).advice(wanted);
    };
    if let Err(error) = tempfile::tempfile_in(there) {
        let text = format!("{} cannot be written to: {error}", there.display());
        return Check::fail("state_dir", text).advice(wanted);
    }
    for name in memory::FILES {
        match File::open(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let text = format!("{name} in {shown} cannot be read: {error}");
                return Check::fail("state_dir", text).advice(wanted);
            }
            Ok(_) | Err(_) => {}
        }
    }
    if there == folder {
        Check::ok("state_dir", format!("{shown} can be used"))
    } else {
        Check::ok("state_dir", format!("{shown} will be made by the first run"))
    }
}

async fn history(sink: Option<&SinkUrl>) -> Check {
    let Some(sink) = sink else {
        return Check::ok("history", "none is kept, as configured");
    };
    if sink.path().is_some_and(|path| !path.exists()) {
        return Check::ok("history", format!("{sink} will be made by the first run"));
    }
    let history = History::new(sink);
    let read = tokio::time::timeout(PATIENCE, history.rows(&Filter::default(), 1)).await;
    let wrong = match read {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.full()),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    if let Err(error) = history.close().await {
        tracing::debug!(error = error.full(), "closing the history failed");
    }
    match wrong {
        None => Check::ok("history", format!("{sink} can be read")),
        Some(why) => Check::fail("history", format!("{sink} cannot be read: {why}"))
            .advice("no deletion waits for it: entries are kept in state_dir until it is back"),
    }
}
