//! The control API over HTTP: every call of [`Control`] under `/control/...`, with the same types as JSON.
//!
//! | request | call |
//! |---|---|
//! | `GET pools`, `world`, `requests`, `request_index`, `events`, `sr_operations`, `instants`, `clock`, `disks/{uuid}` | the call of that name |
//! | `DELETE requests`, `faults` | `reset_requests`, `clear_faults` |
//! | `POST faults` (a rule) | `fault` |
//! | `POST holds/{index}/before` or `after`; `GET` and `DELETE holds/{index}` | `hold`; `held`, `release` |
//! | `POST clock/advance` `{"ms": 5000}` | `advance` |
//! | `DELETE vms/{uuid}`; `POST vms/{uuid}/{power_state, name, tags, other_config, networks, never}` (the value) | pokes of a VM |
//! | `POST vms/{uuid}/{snapshot, clone, copy}` (the name) | `snapshot_vm` and the like; answers with the UUID |
//! | `POST vms/{uuid}/disk` `{"name": "data", "gib": 10}` | `attach_disk`; answers with the disk's UUID |
//! | `POST vms/{uuid}/template` | `turn_into_template` |
//! | `POST pools/{pool}/{restart, back_up, roll_back, replace, uuid, certificate}` | pokes of a pool |
//! | `POST pools/{pool}/{clock_offset, coordinator, tags, other_config}` (the value) | pokes of a pool |
//! | `POST pools/{pool}/{host_enabled, host_reachable, host_live}` `{"host": "xen11", "on": false}` | pokes of a host |
//! | `POST pools/{pool}/sr_free` `{"sr": "ssd", "bytes": 0}` | `set_sr_free` |
//! | `POST pools/{pool}/call/{method}` (parameters without the session) | `call` |

use std::future::IntoFuture;
use std::time::Duration;

use axum::extract::{Json as Body, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Control, ControlError, FaultRule, HoldPoint, StringMap};

/// Serves until the simulator ends.
pub(crate) async fn serve(control: Control, listener: TcpListener, stop: CancellationToken) {
    let served = axum::serve(listener, router(control)).into_future();
    tokio::select! {
        ended = served => if let Err(error) = ended { tracing::warn!(%error, "the control API ended") },
        () = stop.cancelled() => {}
    }
}

fn router(control: Control) -> Router {
    Router::new()
        .route(
            "/control/pools",
            get(|State(c): State<Control>| async move { Json(c.pools()) }),
        )
        .route(
            "/control/world",
            get(|State(c): State<Control>| async move { Json(c.world()) }),
        )
        .route(
            "/control/requests",
            get(|State(c): State<Control>| async move { Json(c.requests()) }).delete(reset),
        )
        .route(
            "/control/request_index",
            get(|State(c): State<Control>| async move { Json(c.request_index()) }),
        )
        .route("/control/faults", post(add_fault).delete(clear_faults))
        .route("/control/holds/{index}/{point}", post(hold))
        .route("/control/holds/{index}", get(held).delete(release))
        .route(
            "/control/events",
            get(|State(c): State<Control>| async move { Json(c.events()) }),
        )
        .route(
            "/control/sr_operations",
            get(|State(c): State<Control>| async move { Json(c.sr_operations()) }),
        )
        .route(
            "/control/instants",
            get(|State(c): State<Control>| async move { Json(c.instants()) }),
        )
        .route("/control/disks/{uuid}", get(disk))
        .route("/control/clock", get(clock))
        .route("/control/clock/advance", post(advance))
        .route("/control/vms/{uuid}", delete(destroy_vm))
        .route("/control/vms/{uuid}/{action}", post(vm_action))
        .route("/control/pools/{pool}/{action}", post(pool_action))
        .route("/control/pools/{pool}/call/{method}", post(call))
        .with_state(control)
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Refused { .. } => StatusCode::CONFLICT,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

type Done = Result<Json<Value>, ControlError>;

fn done(result: Result<(), ControlError>) -> Done {
    result.map(|()| Json(Value::Null))
}

async fn reset(State(control): State<Control>) -> Json<Value> {
    control.reset_requests();
    Json(Value::Null)
}

async fn add_fault(State(control): State<Control>, Body(rule): Body<FaultRule>) -> Json<Value> {
    control.fault(rule);
    Json(Value::Null)
}

async fn clear_faults(State(control): State<Control>) -> Json<Value> {
    control.clear_faults();
    Json(Value::Null)
}

async fn hold(State(control): State<Control>, Path((index, point)): Path<(u64, HoldPoint)>) -> Json<Value> {
    control.hold(index, point);
    Json(Value::Null)
}

/// Answers once the request is held.
async fn held(State(control): State<Control>, Path(index): Path<u64>) -> Json<Value> {
    control.held(index).await;
    Json(Value::Null)
}

async fn release(State(control): State<Control>, Path(index): Path<u64>) -> Json<Value> {
    control.release(index);
    Json(Value::Null)
}

async fn disk(State(control): State<Control>, Path(uuid): Path<String>) -> Result<Vec<u8>, ControlError> {
    control.disk_content(&uuid).ok_or(ControlError::NotFound {
        kind: "content of disk".to_owned(),
        name: uuid,
    })
}

async fn clock(State(control): State<Control>) -> Json<Value> {
    Json(json!({ "now_ms": control.now().as_millis(), "real_us": control.real_us(), "scale": control.time_scale() }))
}

#[derive(Deserialize)]
struct Advance {
    ms: u64,
}

async fn advance(State(control): State<Control>, Body(by): Body<Advance>) -> Done {
    done(control.advance(Duration::from_millis(by.ms)).await)
}

async fn destroy_vm(State(control): State<Control>, Path(uuid): Path<String>) -> Done {
    done(control.destroy_vm(&uuid))
}

/// Bodies of the actions: the value alone.
fn value<T: serde::de::DeserializeOwned>(body: Option<Body<Value>>) -> Result<T, ControlError> {
    let value = body.map_or(Value::Null, |Body(value)| value);
    serde_json::from_value(value).map_err(|error| ControlError::Refused {
        message: error.to_string(),
    })
}

fn made(result: Result<String, ControlError>) -> Done {
    result.map(|uuid| Json(Value::String(uuid)))
}

#[derive(Deserialize)]
struct NewDisk {
    name: String,
    gib: u64,
}

async fn vm_action(
    State(control): State<Control>,
    Path((uuid, action)): Path<(String, String)>,
    body: Option<Body<Value>>,
) -> Done {
    done(match action.as_str() {
        "power_state" => control.set_power_state(&uuid, &value::<String>(body)?),
        "tags" => control.set_tags(&uuid, value(body)?),
        "other_config" => control.set_other_config(&uuid, value::<StringMap>(body)?),
        "name" => control.rename_vm(&uuid, &value::<String>(body)?),
        "networks" => control.set_networks(&uuid, value::<StringMap>(body)?),
        "never" => control.guest_never(&uuid),
        "snapshot" => return made(control.snapshot_vm(&uuid, &value::<String>(body)?).await),
        "clone" => return made(control.clone_vm(&uuid, &value::<String>(body)?).await),
        "copy" => return made(control.copy_vm(&uuid, &value::<String>(body)?).await),
        "disk" => {
            let NewDisk { name, gib } = value(body)?;
            return made(control.attach_disk(&uuid, &name, gib).await);
        }
        "template" => control.turn_into_template(&uuid).await,
        _ => Err(ControlError::NotFound {
            kind: "action".to_owned(),
            name: action,
        }),
    })
}

#[derive(Deserialize)]
struct HostSwitch {
    host: String,
    on: bool,
}

#[derive(Deserialize)]
struct SrFree {
    sr: String,
    bytes: u64,
}

async fn pool_action(
    State(control): State<Control>,
    Path((pool, action)): Path<(String, String)>,
    body: Option<Body<Value>>,
) -> Done {
    done(match action.as_str() {
        "restart" => control.restart_toolstack(&pool),
        "uuid" => return made(control.change_pool_uuid(&pool)),
        "back_up" => control.back_up(&pool),
        "roll_back" => control.roll_back(&pool),
        "replace" => control.replace_pool(&pool),
        "certificate" => control.change_certificate(&pool),
        "clock_offset" => control.set_clock_offset(&pool, value(body)?),
        "tags" => control.set_pool_tags(&pool, value(body)?),
        "other_config" => control.set_pool_other_config(&pool, value::<StringMap>(body)?),
        "coordinator" => control.set_coordinator(&pool, &value::<String>(body)?),
        "host_enabled" => {
            let HostSwitch { host, on } = value(body)?;
            control.set_host_enabled(&pool, &host, on)
        }
        "host_reachable" => {
            let HostSwitch { host, on } = value(body)?;
            control.set_host_reachable(&pool, &host, on)
        }
        "host_live" => {
            let HostSwitch { host, on } = value(body)?;
            control.set_host_live(&pool, &host, on)
        }
        "sr_free" => {
            let SrFree { sr, bytes } = value(body)?;
            control.set_sr_free(&pool, &sr, bytes)
        }
        _ => Err(ControlError::NotFound {
            kind: "action".to_owned(),
            name: action,
        }),
    })
}

/// Calls a XenAPI method as the superuser; the body is the list of parameters without the session.
async fn call(
    State(control): State<Control>,
    Path((pool, method)): Path<(String, String)>,
    Body(params): Body<Vec<Value>>,
) -> Response {
    match control.call(&pool, &method, params).await {
        Ok(value) => Json(value).into_response(),
        Err(failure) => (StatusCode::CONFLICT, Json(json!({ "failure": failure }))).into_response(),
    }
}
