//! Destroy: the VM, its own disks, its snapshots, and nothing else. Already gone is success.

use engine::diagnostics::Diagnostics;
use history::{EndReason, Entry};
use plugin::provider::{Applied, Context, DeleteRequest};
use tokio::time::Instant;

use super::rows::{self, Removal};
use super::schema::TIMEOUTS;
use super::{chronicled, identity, refused};
use crate::diagnose;
use crate::settings::{Lab, SharedSettings};

pub(super) async fn delete(settings: &SharedSettings, request: DeleteRequest, cx: &Context) -> Applied {
    let DeleteRequest { prior, mut private } = request;
    let meant = async {
        let lab = settings.lab()?;
        let key = tokio::select! {
            () = cx.cancel.cancelled() => return Err(diagnose::interrupted("looking for the server")),
            key = identity::find(&lab, &prior, &mut private) => key?,
        };
        Ok((lab, key))
    };
    let (lab, key) = match meant.await {
        Ok((lab, Some(key))) => (lab, key),
        Ok((_, None)) => return refused(None, private, Diagnostics::new()),
        Err(diagnostics) => return refused(Some(prior), private, diagnostics),
    };
    let limit = TIMEOUTS.get(&prior, "delete");
    let begun = Instant::now();
    let report = match lab.fleet.delete(&key, limit, cx.cancel.clone()).await {
        Ok(report) => report,
        Err(error) => return refused(Some(prior), private, diagnose::error(&error).into()),
    };
    let applied = refused(None, private, diagnose::after_delete(&report));
    let removal = report.server.map(|server| Removal::of(server, begun.elapsed()));
    chronicled(&lab, applied, entries(&lab, removal.as_ref()), cx).await
}

/// What the history is told. How a server ended that was gone already, whoever ended it tells.
async fn entries(lab: &Lab, removal: Option<&Removal>) -> Vec<Entry> {
    let Some(removal) = removal else {
        return Vec::new();
    };
    let now = lab.clock(&removal.server.pool).await;
    let row = rows::seen(&removal.server);
    let row = removal.end(row, now.and_then(|now| removal.at(now)), EndReason::Destroyed);
    vec![row.into()]
}
