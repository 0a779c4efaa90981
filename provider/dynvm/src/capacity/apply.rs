//! What is asked of the pools for a reservation: to hold, to tell, to change, to release.

use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::private::Private;
use fleet::{ChangeFailure, ReservationChanges};
use jiff::Timestamp;
use plugin::provider::{Applied, Context, CreateRequest, DeleteRequest, ReadAnswer, ReadRequest, UpdateRequest};

use super::{request, state};
use crate::diagnose;
use crate::settings::{Lab, Settings, SharedSettings};

pub(super) async fn create(settings: &SharedSettings, request: CreateRequest, cx: &Context) -> Applied {
    let CreateRequest { planned, config, .. } = request;
    let reserved = async {
        let (lab, spec) = (settings.lab()?, request::spec(&planned)?);
        let reserved = lab.fleet.reserve(spec, cx.cancel.clone()).await;
        reserved.map_err(|error| Diagnostics::from(diagnose::error_about(&config, &error)))
    };
    match reserved.await {
        Ok(reservation) => {
            let mut private = Private::new();
            state::remember(&mut private, &reservation);
            Applied::done(state::applied(&planned, &reservation), private)
        }
        Err(diagnostics) => Applied::failed(Private::new(), diagnostics),
    }
}

/// What the pools show. Of one of which they show nothing its own time says whether it is over; one that should hold still was released by somebody.
pub(super) async fn read(settings: &SharedSettings, request: ReadRequest, cx: &Context) -> ReadAnswer {
    let ReadRequest {
        state: known,
        mut private,
    } = request;
    if matches!(settings.now(), Settings::Postponed(_)) || known.get("status").as_str() == Some("expired") {
        return answer(Some(known), private);
    }
    let seen = async {
        let (lab, key) = (settings.lab()?, request::key(&known, &private)?);
        let seen = tokio::select! {
            () = cx.cancel.cancelled() => return Err(diagnose::interrupted("reading the reservation")),
            seen = lab.fleet.reservation(&key) => seen.map_err(|error| Diagnostics::from(diagnose::error(&error)))?,
        };
        match seen {
            Some(reservation) => {
                state::remember(&mut private, &reservation);
                Ok(Some(state::shown(&known, &reservation)))
            }
            None if is_over(&lab, &known, key.pools.keys().next()).await => Ok(Some(state::expired(&known))),
            None => Ok(None),
        }
    };
    match seen.await {
        Ok(state) => answer(state, private),
        Err(diagnostics) => ReadAnswer {
            state: Some(known),
            private,
            diagnostics,
        },
    }
}

/// Whether the time of a reservation is over, by the clock of one of its pools.
async fn is_over(lab: &Lab, known: &Value, pool: Option<&String>) -> bool {
    let end: Option<Timestamp> = known.get("expires_at").as_str().and_then(|end| end.parse().ok());
    let now = match pool {
        Some(pool) => lab.clock(pool).await,
        None => None,
    };
    // Without a clock it is taken for over: that it is gone only its pools may say.
    end.zip(now).is_none_or(|(end, now)| end <= now)
}

pub(super) async fn update(settings: &SharedSettings, request: UpdateRequest, cx: &Context) -> Applied {
    let UpdateRequest {
        prior,
        planned,
        config,
        mut private,
    } = request;
    match request::changes(&prior, &planned) {
        // Options of the configuration alone: no pool has to hear of it.
        Ok(changes) if changes == ReservationChanges::default() => return Applied::done(planned, private),
        Ok(_) | Err(_) => {}
    }
    let changed = async {
        let (lab, key) = (settings.lab()?, request::key(&prior, &private)?);
        let (each, changes) = (request::each(&planned)?, request::changes(&prior, &planned)?);
        let changed = lab.fleet.change_reservation(&key, each, changes, cx.cancel.clone());
        Ok::<_, Diagnostics>(changed.await)
    };
    let (state, diagnostics) = match changed.await {
        Ok(Ok(reservation)) => {
            state::remember(&mut private, &reservation);
            (state::applied(&planned, &reservation), Diagnostics::new())
        }
        Ok(Err(ChangeFailure { error, now })) => {
            let state = now.map_or_else(|| prior.clone(), |now| state::shown(&prior, &now));
            (state, diagnose::error_about(&config, &error).into())
        }
        Err(diagnostics) => (prior, diagnostics),
    };
    Applied {
        state: Some(state),
        private,
        diagnostics,
    }
}

pub(super) async fn delete(settings: &SharedSettings, request: DeleteRequest, cx: &Context) -> Applied {
    let DeleteRequest { prior, private } = request;
    if prior.get("status").as_str() == Some("expired") {
        return Applied::deleted();
    }
    let released = async {
        let (lab, key) = (settings.lab()?, request::key(&prior, &private)?);
        tokio::select! {
            () = cx.cancel.cancelled() => Err(diagnose::interrupted("releasing the reservation")),
            released = lab.fleet.release(&key) => released.map_err(|error| diagnose::error(&error).into()),
        }
    };
    match released.await {
        Ok(()) => Applied::deleted(),
        Err(diagnostics) => Applied {
            state: Some(prior),
            private,
            diagnostics,
        },
    }
}

fn answer(state: Option<Value>, private: Private) -> ReadAnswer {
    ReadAnswer {
        state,
        private,
        diagnostics: Diagnostics::new(),
    }
}
