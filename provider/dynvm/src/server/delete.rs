//! Destroy: the VM, its own disks, its snapshots, and nothing else. Already gone is success.

use plugin::provider::{Applied, Context, DeleteRequest};

use super::schema::TIMEOUTS;
use super::{identity, refused};
use crate::diagnose;
use crate::settings::SharedSettings;

pub(super) async fn delete(settings: &SharedSettings, request: DeleteRequest, cx: &Context) -> Applied {
    let DeleteRequest { prior, private, .. } = request;
    let (lab, key) = match settings
        .lab()
        .and_then(|lab| Ok((lab, identity::key(&prior, &private)?)))
    {
        Ok(both) => both,
        Err(diagnostics) => return refused(Some(prior), private, diagnostics),
    };
    let limit = TIMEOUTS.get(&prior, "delete");
    match lab.fleet.delete(&key, limit, cx.cancel.clone()).await {
        Ok(report) => refused(None, private, diagnose::after_delete(&report)),
        Err(error) => refused(Some(prior), private, diagnose::error(&error).into()),
    }
}
