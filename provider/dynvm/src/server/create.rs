//! Create: a VM from nothing, in a task that outlives the request.

use std::sync::{Mutex, PoisonError};

use cty::Value;
use engine::private::Private;
use fleet::{CreateFailure, Progress, Server, ServerSpec};
use history::{EndReason, Entry};
use plugin::provider::{Applied, Context, CreateRequest};

use super::identity::Meant;
use super::rows::{self, Removal};
use super::{chronicled, identity, refused, request, state};
use crate::diagnose;
use crate::settings::{Lab, SharedSettings};

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
    let undone = Mutex::new(Vec::new());
    let progress = |step: &Progress| match step {
        Progress::Exists(server) => {
            let (state, private) = unready(&planned, server);
            cx.partial.save(state, private);
        }
        Progress::Undone { server, took } => {
            cx.partial.clear();
            let mut undone = undone.lock().unwrap_or_else(PoisonError::into_inner);
            undone.push(Removal::of(server.clone(), *took));
        }
    };
    let made = lab.fleet.create(spec.clone(), cx.cancel.clone(), &progress).await;
    let undone = undone.into_inner().unwrap_or_else(PoisonError::into_inner);
    let applied = answer(&planned, private, &made);
    chronicled(&lab, applied, entries(&lab, &spec, &made, &undone), cx).await
}

fn answer(planned: &Value, private: Private, made: &Result<Server, CreateFailure>) -> Applied {
    let failure = match made {
        Ok(server) => {
            let (state, private) = kept(planned, server);
            return refused(Some(state), private, diagnose::after_create(server));
        }
        Err(failure) => failure,
    };
    let diagnostics = diagnose::error_about(planned, &failure.error).into();
    match &failure.left {
        Some(server) => {
            let (state, private) = unready(planned, server);
            refused(Some(state), private, diagnostics)
        }
        None => refused(None, private, diagnostics),
    }
}

/// What the history is told: of each attempt that was undone, and of the server that exists.
async fn entries(lab: &Lab, spec: &ServerSpec, made: &Result<Server, CreateFailure>, undone: &[Removal]) -> Vec<Entry> {
    let now = match undone.first() {
        Some(first) => lab.clock(&first.server.pool).await,
        None => None,
    };
    let removed = undone.iter().map(|removal| {
        let row = rows::unready(&removal.server, spec);
        removal.end(row, now.and_then(|now| removal.at(now)), EndReason::Failed)
    });
    let left = match made {
        Ok(server) => Some(rows::created(server)),
        Err(failure) => failure.left.as_ref().map(|server| rows::unready(server, spec)),
    };
    removed.chain(left).map(Entry::Server).collect()
}

/// State and private state for a server that exists. What the plan left is about the one that it replaces.
fn kept(planned: &Value, server: &Server) -> (Value, Private) {
    let mut private = Private::new();
    identity::remember(&mut private, server);
    let meant = Meant::by(&private);
    (state::applied(planned, &meant, server), private)
}

/// The same for one that is not ready, and may never be.
fn unready(planned: &Value, server: &Server) -> (Value, Private) {
    let (state, mut private) = kept(planned, server);
    identity::remember_failure(&mut private, planned.get("name").as_str().unwrap_or_default());
    (state, private)
}
