//! Which VM a state means: its UUID and its pool in the state, the pool's own UUID and the request in private state.
//!
//! What Terraform keeps as the identity is the two UUIDs: a pool's name in the provider's `pools` may change.

use cty::{Type, Value};
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::identity::{IdentityAttribute, IdentitySchema};
use engine::private::Private;
use fleet::{Error, Named, Server, ServerKey, ServerQuery, Uuid};

use crate::diagnose;
use crate::settings::Lab;

const POOL_UUID: &str = "pool_uuid";
const REQUEST_ID: &str = "request_id";
const NETWORK_UUID: &str = "network_uuid";
const STORAGE_UUID: &str = "storage_uuid";
const FAILED_AS: &str = "failed_as";

/// The identity's table.
pub(super) fn table() -> IdentitySchema {
    let uuid = |name: &str, what: &str| IdentityAttribute::required(name, Type::String, what);
    IdentitySchema::new(vec![
        uuid(POOL_UUID, "The UUID of the XenAPI pool (`xe pool-list`)."),
        uuid("id", "The VM's UUID."),
    ])
}

/// The identity of a server that was found in its pool.
pub(super) fn of(pool: Uuid, vm: Uuid) -> Value {
    Value::object([(POOL_UUID, pool.to_string()), ("id", vm.to_string())].map(|(name, uuid)| (name, Value::from(uuid))))
}

/// The identity of a server by what Terraform keeps of it, if that says enough.
pub(super) fn kept(state: &Value, private: &Private) -> Option<Value> {
    let (_, vm) = named(state).ok()?;
    Some(of(private.get_str(POOL_UUID)?.parse().ok()?, vm))
}

/// The pool and the VM that an identity names.
///
/// # Errors
/// If one of them is no UUID.
pub(super) fn named_by(identity: &Value) -> Result<(Uuid, Uuid), Diagnostics> {
    let uuid = |name: &str| {
        let text = identity.get(name).as_str().unwrap_or_default();
        text.parse().map_err(|_| {
            let detail = format!("`{name}` in the identity of a server is a UUID. \"{text}\" is none.");
            Diagnostic::error("Not the identity of a server", detail)
        })
    };
    Ok((uuid(POOL_UUID)?, uuid("id")?))
}

/// Keeps in private state what finds the server again, and only it; and which network and storage repository its names meant.
pub(super) fn remember(private: &mut Private, server: &Server) {
    let mut keep = |key: &str, value: Option<String>| {
        if let Some(value) = value
            && let Err(error) = private.set(key, value)
        {
            tracing::error!(%error, key, "private state cannot be kept");
        }
    };
    let uuid = |object: &Option<Named>| object.as_ref().map(|object| object.uuid.to_string());
    keep(POOL_UUID, Some(server.pool_uuid.to_string()));
    keep(REQUEST_ID, server.request_id.map(|request| request.to_string()));
    keep(NETWORK_UUID, uuid(&server.network));
    keep(STORAGE_UUID, uuid(&server.storage));
}

/// Keeps in private state that the server is not ready, and what its name was to be: while that is so, Terraform holds it for tainted.
pub(super) fn remember_failure(private: &mut Private, name: &str) {
    if let Err(error) = private.set(FAILED_AS, name) {
        tracing::error!(%error, "private state cannot be kept");
    }
}

/// The name that a server was to have whose creation failed.
pub(super) fn failed_as(private: &Private) -> Option<&str> {
    private.get_str(FAILED_AS)
}

/// Says whether private state is about a server that exists. That of a plan to create one is, if it replaces one: Terraform hands on what the plan for
/// the old one left.
pub(super) fn is_of_a_server(private: &Private) -> bool {
    private.get(POOL_UUID).is_some()
}

/// The objects that the names in a state meant when they were resolved: one that was renamed since is still the same.
pub(super) struct Meant {
    pub(super) network: Option<Uuid>,
    pub(super) storage: Option<Uuid>,
}

impl Meant {
    /// What private state remembers.
    pub(super) fn by(private: &Private) -> Self {
        let uuid = |key: &str| private.get(key)?.as_str()?.parse().ok();
        Self {
            network: uuid(NETWORK_UUID),
            storage: uuid(STORAGE_UUID),
        }
    }
}

/// The server that a state means.
///
/// # Errors
/// One diagnostic, if the state or its private part is damaged.
pub(super) fn key(state: &Value, private: &Private) -> Result<ServerKey, Diagnostics> {
    let (pool, vm) = named(state)?;
    let pool_uuid = private.get_str(POOL_UUID).and_then(|uuid| uuid.parse().ok());
    Ok(ServerKey {
        pool,
        pool_uuid: pool_uuid.ok_or_else(damaged)?,
        vm,
        request_id: private.get_str(REQUEST_ID).and_then(|request| request.parse().ok()),
    })
}

/// The same, also where private state says nothing: then it is made anew. `None` if the server is gone.
///
/// Terraform keeps nothing of it when it replaces a tainted server: the destroy is given what the plan to create the new one left.
///
/// # Errors
/// If the state is damaged, or the pool cannot be asked or may be another one.
pub(super) async fn find(lab: &Lab, state: &Value, private: &mut Private) -> Result<Option<ServerKey>, Diagnostics> {
    if is_of_a_server(private) {
        return key(state, private).map(Some);
    }
    let (pool, vm) = named(state)?;
    let query = ServerQuery::Id {
        id: vm,
        pool: Some(pool.clone()),
    };
    match lab.fleet.find(&query).await {
        Ok(server) => {
            remember(private, &server);
            key(state, private).map(Some)
        }
        Err(Error::Missing { .. }) if has_template(lab, &pool, state).await => Ok(None),
        Err(Error::Missing { .. }) => Err(unwitnessed(&pool, vm)),
        Err(error) => Err(diagnose::error(&error).into()),
    }
}

/// Says whether the pool has the template that a server was cloned from. A clone never leaves its pool: if so, it was made in this one, whose word that it
/// is gone counts.
async fn has_template(lab: &Lab, pool: &str, state: &Value) -> bool {
    match state.get("template_uuid").as_str() {
        Some(uuid) => lab.fleet.resolve_template(pool, uuid).await.is_ok(),
        None => false,
    }
}

/// What a state says by itself: the pool's configured name, and the VM.
fn named(state: &Value) -> Result<(String, Uuid), Diagnostics> {
    let pool = state.get("pool").as_str().map(str::to_owned);
    Ok((pool.ok_or_else(damaged)?, vm(state)?))
}

/// The VM that a state names.
///
/// # Errors
/// If the state is damaged.
pub(super) fn vm(state: &Value) -> Result<Uuid, Diagnostics> {
    let vm = state.get("id").as_str().and_then(|id| id.parse().ok());
    vm.ok_or_else(damaged)
}

/// Says whether a state is no more than the beginning that a move made: its pool is not known yet, and nothing can be done to it.
pub(super) fn is_begun(state: &Value, private: &Private) -> bool {
    state.get("pool").is_null() && !is_of_a_server(private)
}

fn unwitnessed(pool: &str, vm: Uuid) -> Diagnostics {
    Diagnostic::error(
        "Server not found",
        format!(
            "Pool \"{pool}\" has neither the server {vm} nor the template that it was cloned from. It may be another pool than the one that the server was \
             made in, so the server is not known to be gone, and stays in the state. If it is gone, remove it with `terraform state rm`."
        ),
    )
    .into()
}

fn damaged() -> Diagnostics {
    Diagnostic::error(
        "Damaged state",
        "The state does not say which VM of which pool this is (`id`, `pool`, or the pool's UUID in private state is missing or malformed). \
         Nothing was changed in any pool. A resource that was just moved here is to be read first: run without `-refresh=false`. Otherwise restore the state \
         from a backup, or remove the resource from it with `terraform state rm`.",
    )
    .into()
}
