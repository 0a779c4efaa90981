//! `ImportResourceState`. The host reads the object right afterwards, so an identifier alone is enough.

use engine::diagnostics::{Diagnostic, Diagnostics};
use proto::tfplugin6::{
    ClientCapabilities,
    import_resource_state::{self, ImportedResource},
};

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, Saved},
    served::Served,
    wire,
};

impl Call for import_resource_state::Request {
    type Answer = import_resource_state::Response;

    const NAME: &'static str = "ImportResourceState";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    fn client(&self) -> Option<&ClientCapabilities> {
        self.client_capabilities.as_ref()
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        answer(self, served, cx).await.unwrap_or_else(nothing)
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        nothing(why.into())
    }
}

fn nothing(found: Diagnostics) -> import_resource_state::Response {
    import_resource_state::Response {
        diagnostics: wire::diagnostics(found),
        ..import_resource_state::Response::default()
    }
}

async fn answer(
    request: &import_resource_state::Request,
    served: &Served,
    cx: &Context,
) -> Result<import_resource_state::Response, Diagnostics> {
    let resource = served.resource(&request.type_name)?;
    if request.id.is_empty() {
        let detail = format!("An existing {} is imported by its identifier.", request.type_name);
        return Err(Diagnostic::error("No identifier", detail).into());
    }
    let mut imported = resource.item.import(&request.id, cx).await?;
    imported.private.mark_imported();
    let (state, _) = wire::without_unknowns(imported.state.canonical(resource.ty()));
    let found = check::import(resource.schema(), &state);
    let imported = ImportedResource {
        type_name: request.type_name.clone(),
        state: Some(wire::encode(&state, resource.ty())?),
        private: imported.private.to_bytes(),
        identity: None,
    };
    Ok(import_resource_state::Response {
        imported_resources: vec![imported],
        ..nothing(found)
    })
}
