//! `ImportResourceState`. The host reads the object right afterwards, so an identifier alone is enough.

use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    oracle::Occasion,
};
use proto::tfplugin6::{
    ClientCapabilities,
    import_resource_state::{self, ImportedResource},
};

use super::{check, identity};
use crate::{
    calls::{Call, Subject},
    provider::{Context, Resource, Saved, Sought},
    served::{Offered, Served},
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
    let sought = sought(request, resource)?;
    let mut imported = resource.item.import(&sought, cx).await?;
    imported.private.mark_imported();
    let (state, _) = wire::without_unknowns(imported.state.canonical(resource.ty()));
    let mut found = check::import(resource.schema(), &state);
    let before = request.identity.as_ref();
    let seen = (&state, &imported.private);
    let identity = identity::of(resource, seen, before, Occasion::Found, &mut found);
    let imported = ImportedResource {
        type_name: request.type_name.clone(),
        state: Some(wire::encode(&state, resource.ty())?),
        private: imported.private.to_bytes(),
        identity,
    };
    Ok(import_resource_state::Response {
        imported_resources: vec![imported],
        ..nothing(found)
    })
}

/// What is to be imported. A host that names an identity leaves the identifier empty.
fn sought(request: &import_resource_state::Request, resource: &Offered<dyn Resource>) -> Result<Sought, Diagnostic> {
    if !request.id.is_empty() {
        return Ok(Sought::Id(request.id.clone()));
    }
    if request.identity.is_none() {
        let detail = format!("An existing {} is imported by its identifier.", request.type_name);
        return Err(Diagnostic::error("No identifier", detail));
    }
    let schema = identity::declared(resource, &request.type_name)?;
    let identity = wire::decode_identity(request.identity.as_ref(), schema)?;
    let missing = schema.missing(&identity);
    if missing.is_empty() && identity.is_wholly_known() {
        return Ok(Sought::Identity(identity));
    }
    let detail = format!(
        "The identity of a {} needs {}, known and not null.",
        request.type_name,
        missing.join(", ")
    );
    Err(Diagnostic::error("Incomplete identity", detail))
}
