//! `ReadDataSource`.

use engine::diagnostics::{Diagnostic, Diagnostics};
use proto::tfplugin6::{ClientCapabilities, read_data_source};

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, DataAnswer, Saved},
    served::Served,
    wire,
};

impl Call for read_data_source::Request {
    type Answer = read_data_source::Response;

    const NAME: &'static str = "ReadDataSource";

    fn subject(&self) -> Subject<'_> {
        Subject::DataSource(&self.type_name)
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

fn nothing(found: Diagnostics) -> read_data_source::Response {
    read_data_source::Response {
        diagnostics: wire::diagnostics(found),
        ..read_data_source::Response::default()
    }
}

async fn answer(
    request: &read_data_source::Request,
    served: &Served,
    cx: &Context,
) -> Result<read_data_source::Response, Diagnostics> {
    let source = served.data_source(&request.type_name)?;
    let config = wire::decode(request.config.as_ref(), source.ty())?;
    let DataAnswer { state, mut diagnostics } = source.item.read(&config, cx).await;
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let Some(state) = state else {
        diagnostics.error(
            "Bug in the provider",
            "The data source was read without an error, but also without a result. Please report this.",
        );
        return Err(diagnostics);
    };
    let state = super::read::known(state.canonical(source.ty()))?;
    diagnostics.extend(check::data(source.schema(), &state));
    Ok(read_data_source::Response {
        state: Some(wire::encode(&state, source.ty())?),
        ..nothing(diagnostics)
    })
}
