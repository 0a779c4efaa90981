//! `ReadResource`. A state left out of the answer would take the object out of the state, and private data left out
//! would be lost.

use cty::{Path, Value};
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    oracle::Occasion,
    refresh,
};
use proto::tfplugin6::{ClientCapabilities, read_resource};

use super::{check, identity};
use crate::{
    calls::{Call, Subject},
    provider::{Context, ReadAnswer, ReadRequest, Saved},
    served::Served,
    wire,
};

impl Call for read_resource::Request {
    type Answer = read_resource::Response;

    const NAME: &'static str = "ReadResource";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    fn client(&self) -> Option<&ClientCapabilities> {
        self.client_capabilities.as_ref()
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        answer(self, served, cx)
            .await
            .unwrap_or_else(|found| unchanged(self, found))
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        unchanged(self, why.into())
    }
}

/// The state as it was.
fn unchanged(request: &read_resource::Request, found: Diagnostics) -> read_resource::Response {
    read_resource::Response {
        new_state: request.current_state.clone(),
        private: request.private.clone(),
        new_identity: request.current_identity.clone(),
        diagnostics: wire::diagnostics(found),
        ..read_resource::Response::default()
    }
}

async fn answer(
    request: &read_resource::Request,
    served: &Served,
    cx: &Context,
) -> Result<read_resource::Response, Diagnostics> {
    let resource = served.resource(&request.type_name)?;
    let prior = wire::decode(request.current_state.as_ref(), resource.ty())?;
    let private = wire::private(&request.private)?;
    let ReadAnswer {
        state,
        mut private,
        mut diagnostics,
    } = resource
        .item
        .read(
            ReadRequest {
                state: prior.clone(),
                private,
            },
            cx,
        )
        .await;
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    // The mark is for the first read after an import only.
    private.take_imported();
    let (new_state, new_identity) = match state {
        None => (None, None),
        Some(state) => {
            let state = known(refresh::settle(resource.schema(), &prior, state))?;
            diagnostics.extend(check::read(resource.schema(), &state));
            let before = request.current_identity.as_ref();
            let seen = (&state, &private);
            let identity = identity::of(resource, seen, before, Occasion::Refreshed, &mut diagnostics);
            (Some(wire::encode(&state, resource.ty())?), identity)
        }
    };
    Ok(read_resource::Response {
        new_state,
        new_identity,
        private: private.to_bytes(),
        diagnostics: wire::diagnostics(diagnostics),
        ..read_resource::Response::default()
    })
}

/// What was read must be known: a host drops the whole answer else.
pub(super) fn known(value: Value) -> Result<Value, Diagnostics> {
    let (value, unknown) = wire::without_unknowns(value);
    let told = |path: Path| {
        let detail = format!("{path} was answered as unknown, although it was read. Please report this.");
        Diagnostic::error("Bug in the provider", detail).at(path)
    };
    if unknown.is_empty() {
        Ok(value)
    } else {
        Err(unknown.into_iter().map(told).collect())
    }
}
