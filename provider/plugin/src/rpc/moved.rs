//! `MoveResourceState`: a `moved` block that names a resource of another type, of this provider or another. The provider is not
//! configured; the host reads the object right afterwards, as after an import.

use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    moved::{self, Source},
    private::Private,
};
use proto::tfplugin6::move_resource_state;

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, Saved},
    served::Served,
    wire,
};

impl Call for move_resource_state::Request {
    type Answer = move_resource_state::Response;

    const NAME: &'static str = "MoveResourceState";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.target_type_name)
    }

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        answer(self, served).unwrap_or_else(not_moved)
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        not_moved(why.into())
    }
}

fn not_moved(found: Diagnostics) -> move_resource_state::Response {
    move_resource_state::Response {
        diagnostics: wire::diagnostics(found),
        ..move_resource_state::Response::default()
    }
}

fn answer(
    request: &move_resource_state::Request,
    served: &Served,
) -> Result<move_resource_state::Response, Diagnostics> {
    let resource = served.resource(&request.target_type_name)?;
    let source = Source {
        provider: &request.source_provider_address,
        resource: &request.source_type_name,
    };
    let raw = request.source_state.as_ref().map(|raw| raw.json.as_slice());
    let state = moved::state(
        resource.schema(),
        resource.item.movers(),
        source,
        raw.unwrap_or_default(),
    )?;
    let found = check::upgrade(resource.schema(), &state);
    // What the other provider remembered is its own.
    let mut private = Private::new();
    private.mark_imported();
    Ok(move_resource_state::Response {
        target_state: Some(wire::encode(&state, resource.ty())?),
        target_private: private.to_bytes(),
        ..not_moved(found)
    })
}
