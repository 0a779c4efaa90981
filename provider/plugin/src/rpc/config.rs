//! `ConfigureProvider`. A value that is unknown during a plan is passed on: whoever needs it will say so.

use engine::diagnostics::{Diagnostic, Diagnostics};
use proto::tfplugin6::{ClientCapabilities, configure_provider};

use crate::{
    calls::Call,
    provider::{Context, Saved},
    served::Served,
    wire,
};

impl Call for configure_provider::Request {
    type Answer = configure_provider::Response;

    const NAME: &'static str = "ConfigureProvider";

    // Each walk of the host configures its provider anew; with an attached provider, many walks share one process.
    const BEGINS_RUN: bool = true;

    fn client(&self) -> Option<&ClientCapabilities> {
        self.client_capabilities.as_ref()
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        let version = served.provider.version();
        tracing::debug!(host_version = %self.terraform_version, provider_version = version, "configuring");
        let found = match wire::decode(self.config.as_ref(), served.provider_type()) {
            Ok(config) => served.provider.configure(&config, cx).await,
            Err(error) => Diagnostics::from(error),
        };
        configure_provider::Response {
            diagnostics: wire::diagnostics(found),
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        configure_provider::Response {
            diagnostics: wire::diagnostics([why]),
        }
    }
}
