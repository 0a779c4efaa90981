//! Which VM a state means: its UUID and its pool in the state, the pool's own UUID and the request in private state.

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::private::Private;
use fleet::{Server, ServerKey};

const POOL_UUID: &str = "pool_uuid";
const REQUEST_ID: &str = "request_id";

/// Keeps in private state what finds the server again, and only it.
pub(super) fn remember(private: &mut Private, server: &Server) {
    let mut keep = |key: &str, value: String| {
        if let Err(error) = private.set(key, value) {
            tracing::error!(%error, key, "private state cannot be kept");
        }
    };
    keep(POOL_UUID, server.pool_uuid.to_string());
    if let Some(request) = server.request_id {
        keep(REQUEST_ID, request.to_string());
    }
}

/// The server that a state means.
///
/// # Errors
/// One diagnostic, if the state or its private part is damaged.
pub(super) fn key(state: &Value, private: &Private) -> Result<ServerKey, Diagnostics> {
    let text = |name: &str| private.get(name).and_then(|value| value.as_str());
    let read = || {
        Some(ServerKey {
            pool: state.get("pool").as_str()?.to_owned(),
            pool_uuid: text(POOL_UUID)?.parse().ok()?,
            vm: state.get("id").as_str()?.parse().ok()?,
            request_id: text(REQUEST_ID).and_then(|request| request.parse().ok()),
        })
    };
    read().ok_or_else(|| {
        Diagnostic::error(
            "Damaged state",
            "The state does not say which VM of which pool this is (`id`, `pool`, or the pool's UUID in private state is missing or malformed). \
             Nothing was changed in any pool. Restore the state from a backup, or remove the resource from it with `terraform state rm`.",
        )
        .into()
    })
}
