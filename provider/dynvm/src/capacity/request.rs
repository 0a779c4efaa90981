//! A planned value, in the words of [`fleet`].

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::private::Private;
use fleet::{ReservationChanges, ReservationKey, ReservationSpec, Uuid, Wish};

use super::schema::TIMEOUTS;
use crate::server::request::{self, number, unexpected};

/// The key of private state under which the pools are, by name, with the UUID that each had.
pub(super) const POOLS: &str = "pools";

/// What a planned value asks for.
///
/// # Errors
/// One diagnostic, if a value is not what the table promises.
pub(super) fn spec(planned: &Value) -> Result<ReservationSpec, Diagnostics> {
    Ok(ReservationSpec {
        each: each(planned)?,
        servers: servers(planned)?,
        ttl: request::ttl(planned)?,
        queue: TIMEOUTS.get(planned, "create"),
    })
}

/// What differs, as far as the pools must know it.
///
/// # Errors
/// As above.
pub(super) fn changes(prior: &Value, planned: &Value) -> Result<ReservationChanges, Diagnostics> {
    let (old, new) = (servers(prior)?, servers(planned)?);
    let (before, after) = (request::ttl(prior)?, request::ttl(planned)?);
    Ok(ReservationChanges {
        servers: (old != new).then_some(new),
        ttl: (before != after).then_some(after),
    })
}

/// The reservation that a state means. Private state may be empty: Terraform keeps nothing of it when it replaces a tainted object.
///
/// # Errors
/// One diagnostic, if the state or its private part is damaged.
pub(super) fn key(state: &Value, private: &Private) -> Result<ReservationKey, Diagnostics> {
    let id = state.get("id").as_str().and_then(|id| id.parse().ok());
    let pools = private.get(POOLS).and_then(serde_json::Value::as_object);
    let pools = pools.into_iter().flatten().map(|(name, uuid)| {
        let uuid: Option<Uuid> = uuid.as_str().and_then(|uuid| uuid.parse().ok());
        Some((name.clone(), uuid?))
    });
    let key = id.zip(pools.collect::<Option<_>>());
    key.map(|(id, pools)| ReservationKey { id, pools })
        .ok_or_else(|| {
            Diagnostic::error(
                "Damaged state",
                "The state does not say which reservation this is (`id` or its pools in private state are malformed). Nothing was changed in any pool; the \
                 reservation ends with its time. Remove the resource from the state with `terraform state rm`.",
            )
            .into()
        })
}

/// What one server of a reservation asks of the pools.
///
/// # Errors
/// As above.
pub(super) fn each(planned: &Value) -> Result<Wish, Diagnostics> {
    let plain = planned
        .clone()
        .with("host", Value::Null)
        .with("storage", Value::Null)
        .with("network", Value::Null);
    request::wish(&plain).ok_or_else(|| unexpected("os"))
}

fn servers(object: &Value) -> Result<u32, Diagnostics> {
    number(object, "servers")?.ok_or_else(|| unexpected("servers"))
}
