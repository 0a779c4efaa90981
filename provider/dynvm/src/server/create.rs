//! Create: a VM from nothing, in a task that outlives the request.

use cty::Value;
use engine::private::Private;
use fleet::Server;
use plugin::provider::{Applied, Context, CreateRequest};

use super::identity::Meant;
use super::{identity, refused, request, state};
use crate::diagnose;
use crate::settings::SharedSettings;

pub(super) async fn create(settings: &SharedSettings, request: CreateRequest, cx: &Context) -> Applied {
    let CreateRequest { planned, private, .. } = request;
    let lab = match settings.lab() {
        Ok(lab) => lab,
        Err(diagnostics) => return refused(None, private, diagnostics),
    };
    let spec = match request::spec(&planned, lab.ip_timeout) {
        Ok(spec) => spec,
        Err(diagnostics) => return refused(None, private, diagnostics),
    };
    let progress = |server: &Server| {
        let (state, private) = kept(&planned, &private, server);
        cx.partial.save(state, private);
    };
    match lab.fleet.create(spec, cx.cancel.clone(), &progress).await {
        Ok(server) => {
            let (state, private) = kept(&planned, &private, &server);
            Applied {
                state: Some(state),
                private,
                diagnostics: diagnose::after_create(&server),
            }
        }
        Err(failure) => {
            let diagnostics = diagnose::error_about(&planned, &failure.error).into();
            match &failure.left {
                Some(server) => {
                    let (state, private) = kept(&planned, &private, server);
                    refused(Some(state), private, diagnostics)
                }
                None => refused(None, private, diagnostics),
            }
        }
    }
}

/// State and private state for a server that exists.
fn kept(planned: &Value, private: &Private, server: &Server) -> (Value, Private) {
    let mut private = private.clone();
    identity::remember(&mut private, server);
    let meant = Meant::by(&private);
    (state::applied(planned, &meant, server), private)
}
