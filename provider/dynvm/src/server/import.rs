//! Import: a VM that exists comes into the state, by its UUID, by `<pool>/<uuid>` or by its identity. Nothing is changed in its pool.
//!
//! Of a server that dynvm made, its marks tell all that its configuration may say; a plan after that is empty. A VM without a lease gets one by the
//! `ttl` of its first apply.

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::private::Private;
use engine::schema::Schema;
use fleet::{Server, Uuid, Within};
use plugin::provider::{Context, Imported, Sought};

use super::identity::{self, Meant};
use super::schema::TIMEOUTS;
use super::state;
use crate::diagnose;
use crate::settings::{Lab, SharedSettings};

pub(super) async fn import(
    settings: &SharedSettings,
    schema: &Schema,
    sought: &Sought,
    cx: &Context,
) -> Result<Imported, Diagnostics> {
    let lab = settings.lab()?;
    let is_entry = |name: &str| lab.fleet.pools().any(|pool| pool == name);
    let (within, vm) = match sought {
        Sought::Id(id) => parse(id, is_entry)?,
        Sought::Identity(identity) => {
            let (pool, vm) = identity::named_by(identity)?;
            (Within::Pool(pool), vm)
        }
    };
    find(&lab, schema, within, vm, cx)
        .await
        .map(|server| of(schema, &server))
}

/// What an import of this server brings into the state.
pub(super) fn of(schema: &Schema, server: &Server) -> Imported {
    imported(schema, server, tags(server))
}

/// Completes a state of which only the VM is known: it was moved here from another provider. The tags that its configuration has
/// put on it are those that the other provider put there.
pub(super) async fn complete(lab: &Lab, schema: &Schema, begun: &Value, cx: &Context) -> Result<Imported, Diagnostics> {
    let vm = identity::vm(begun)?;
    let server = find(lab, schema, Within::AnyPool, vm, cx).await?;
    Ok(imported(schema, &server, begun.get("tags").clone()))
}

/// The VM, if it is one that can become a server.
async fn find(lab: &Lab, schema: &Schema, within: Within<'_>, vm: Uuid, cx: &Context) -> Result<Server, Diagnostics> {
    let limit = TIMEOUTS.get(&schema.empty(), "read");
    let found = tokio::select! {
        () = cx.cancel.cancelled() => return Err(diagnose::interrupted("importing the server")),
        found = tokio::time::timeout(limit, lab.fleet.adoptable(within, vm)) => found,
    };
    match found {
        Ok(found) => found.map_err(|error| diagnose::error(&error).into()),
        Err(_) => {
            let pool = match within {
                Within::Entry(name) => name,
                Within::AnyPool | Within::Pool(_) => "",
            };
            Err(diagnose::too_slow("Importing the server", "read", limit, pool))
        }
    }
}

/// Where to look, and the VM. What stands before the slash is a pool's name, or its UUID if no pool is called that.
fn parse(id: &str, is_entry: impl Fn(&str) -> bool) -> Result<(Within<'_>, Uuid), Diagnostics> {
    let (within, uuid) = match id.rsplit_once('/') {
        None => (Some(Within::AnyPool), id),
        Some(("", uuid)) => (None, uuid),
        Some((pool, uuid)) if is_entry(pool) => (Some(Within::Entry(pool)), uuid),
        Some((pool, uuid)) => (Some(pool.parse().map_or(Within::Entry(pool), Within::Pool)), uuid),
    };
    within.zip(uuid.parse().ok()).ok_or_else(|| {
        let detail = format!(
            "A server is imported by its VM's UUID, or by its pool and the UUID: \"lab1/<uuid>\", with the pool's name in the provider's `pools` or the \
             pool's UUID. \"{id}\" is neither."
        );
        Diagnostic::error("Not the identifier of a server", detail).into()
    })
}

/// What the pool and the marks tell; options that only a configuration knows are at their defaults.
fn imported(schema: &Schema, server: &Server, tags: Value) -> Imported {
    let mut private = Private::new();
    identity::remember(&mut private, server);
    let known = schema
        .defaults()
        .with("tags", tags)
        .with("os", server.os.clone())
        .with("template", server.template_name.clone().filter(|_| server.os.is_none()))
        .with("ttl", server.lease.ttl.map(engine::duration::format));
    Imported {
        state: state::shown(&known, &Meant::by(&private), server),
        private,
    }
}

fn tags(server: &Server) -> Value {
    if server.tags.is_empty() {
        Value::Null
    } else {
        Value::set(server.tags.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_uuid_with_or_without_a_pool() {
        let uuid = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
        let pool = "6f0c7d52-9a1e-4a7f-8d5b-0f5c2f6f3a10";
        let named = "6f0c7d52-9a1e-4a7f-8d5b-0f5c2f6f3a11";
        let check = |id: &str, expect: Option<Within<'_>>| {
            let found = parse(id, |name| name == named).ok();
            assert_eq!(found.map(|(within, _)| within), expect, "{id}");
        };
        check(uuid, Some(Within::AnyPool));
        check(&format!("lab1/{uuid}"), Some(Within::Entry("lab1")));
        check(&format!("a/b/{uuid}"), Some(Within::Entry("a/b")));
        check(&format!("{named}/{uuid}"), Some(Within::Entry(named)));
        let pool_uuid = pool.parse().expect("a UUID");
        check(&format!("{pool}/{uuid}"), Some(Within::Pool(pool_uuid)));
        for wrong in [
            "",
            "web",
            "lab1/",
            "lab1/web",
            &format!("/{uuid}"),
            &format!("{uuid}/lab1"),
        ] {
            check(wrong, None);
        }
    }
}
