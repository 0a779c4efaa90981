//! Read: what the pool shows now. Never waits for a guest, and drops a server from the state only on the word of its own pool.

use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::private::Private;
use engine::schema::Schema;
use plugin::provider::{Context, Imported, ReadAnswer, ReadRequest};

use super::identity::Meant;
use super::schema::TIMEOUTS;
use super::{identity, import, lost, state};
use crate::diagnose;
use crate::settings::{Settings, SharedSettings};

pub(super) async fn read(settings: &SharedSettings, schema: &Schema, request: ReadRequest, cx: &Context) -> ReadAnswer {
    let ReadRequest {
        state: known,
        mut private,
    } = request;
    if identity::is_begun(&known, &private) {
        return moved(settings, schema, known, private, cx).await;
    }
    if matches!(settings.now(), Settings::Postponed(_)) {
        return answer(known, private);
    }
    let found = async {
        let lab = settings.lab()?;
        let limit = TIMEOUTS.get(&known, "read");
        let read = async {
            let Some(key) = identity::find(&lab, &known, &mut private).await? else {
                return Ok(None);
            };
            let server = lab.fleet.read(&key).await;
            server.map_err(|error| Diagnostics::from(diagnose::error(&error)))
        };
        tokio::select! {
            () = cx.cancel.cancelled() => Err(diagnose::interrupted("reading the server")),
            read = tokio::time::timeout(limit, read) => match read {
                Ok(read) => Ok(read?.map(|server| (lab, server))),
                Err(_) => {
                    let pool = known.get("pool").as_str().unwrap_or_default();
                    Err(diagnose::too_slow("Reading the server", "read", limit, pool))
                }
            },
        }
    };
    match found.await {
        Ok(Some((lab, server))) => {
            if let Some(name) = identity::failed_as(&private) {
                lab.admission.failed(name);
            }
            lost::note(&mut private, &known, &server);
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

/// The first read after a move. Unlike others it cannot be put off: nothing is known yet that would be true without it.
async fn moved(settings: &SharedSettings, schema: &Schema, known: Value, private: Private, cx: &Context) -> ReadAnswer {
    let found = async { import::complete(&*settings.lab()?, schema, &known, cx).await };
    match found.await {
        Ok(Imported { state, private }) => answer(state, private),
        Err(diagnostics) => ReadAnswer {
            state: Some(known),
            private,
            diagnostics,
        },
    }
}

fn answer(state: Value, private: Private) -> ReadAnswer {
    ReadAnswer {
        state: Some(state),
        private,
        diagnostics: Default::default(),
    }
}
