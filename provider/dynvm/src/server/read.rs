//! Read: what the pool shows now. Never waits for a guest, and drops a server from the state only on the word of its own pool.

use plugin::provider::{Context, ReadAnswer, ReadRequest};

use super::identity::Meant;
use super::schema::TIMEOUTS;
use super::{identity, state};
use crate::diagnose;
use crate::settings::{Settings, SharedSettings};

pub(super) async fn read(settings: &SharedSettings, request: ReadRequest, cx: &Context) -> ReadAnswer {
    let ReadRequest {
        state: known, private, ..
    } = request;
    if matches!(settings.now(), Settings::Postponed(_)) {
        return answer(known, private);
    }
    let found = async {
        let lab = settings.lab()?;
        let key = identity::key(&known, &private)?;
        let limit = TIMEOUTS.get(&known, "read");
        tokio::select! {
            () = cx.cancel.cancelled() => Err(diagnose::interrupted("reading the server")),
            read = tokio::time::timeout(limit, lab.fleet.read(&key)) => match read {
                Ok(Ok(server)) => Ok(server.map(|server| (lab, server))),
                Ok(Err(error)) => Err(diagnose::error(&error).into()),
                Err(_) => Err(diagnose::too_slow("Reading the server", "read", limit, &key.pool)),
            },
        }
    };
    match found.await {
        Ok(Some((lab, server))) => {
            if let Some(name) = identity::failed_as(&private) {
                lab.admission.failed(name);
            }
            answer(state::shown(&known, &Meant::by(&private), &server), private)
        }
        Ok(None) => ReadAnswer {
            state: None,
            private,
            diagnostics: Default::default(),
        },
        Err(diagnostics) => ReadAnswer {
            state: Some(known),
            private,
            diagnostics,
        },
    }
}

fn answer(state: cty::Value, private: engine::private::Private) -> ReadAnswer {
    ReadAnswer {
        state: Some(state),
        private,
        diagnostics: Default::default(),
    }
}
