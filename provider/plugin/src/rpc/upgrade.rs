//! `UpgradeResourceState`: called for each instance in each run, whether or not anything is to be upgraded.

use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    upgrade,
};
use proto::tfplugin6::upgrade_resource_state;

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, Saved},
    served::Served,
    wire,
};

impl Call for upgrade_resource_state::Request {
    type Answer = upgrade_resource_state::Response;

    const NAME: &'static str = "UpgradeResourceState";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        answer(self, served).unwrap_or_else(|found| upgrade_resource_state::Response {
            upgraded_state: None,
            diagnostics: wire::diagnostics(found),
        })
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        upgrade_resource_state::Response {
            upgraded_state: None,
            diagnostics: wire::diagnostics([why]),
        }
    }
}

fn answer(
    request: &upgrade_resource_state::Request,
    served: &Served,
) -> Result<upgrade_resource_state::Response, Diagnostics> {
    let resource = served.resource(&request.type_name)?;
    let raw = request
        .raw_state
        .as_ref()
        .map(|raw| raw.json.as_slice())
        .unwrap_or_default();
    if raw.is_empty() {
        // Flat maps were written by hosts before 0.12, which no provider of this protocol ever served.
        let detail = format!(
            "The state of {} is not in the form that Terraform 0.12 and later write.",
            request.type_name
        );
        return Err(Diagnostic::error("Unreadable state", detail).into());
    }
    let state = upgrade::state(resource.schema(), resource.item.upgraders(), request.version, raw)?;
    let found = check::upgrade(resource.schema(), &state);
    let upgraded_state = Some(wire::encode(&state, resource.ty())?);
    Ok(upgrade_resource_state::Response {
        upgraded_state,
        diagnostics: wire::diagnostics(found),
    })
}
