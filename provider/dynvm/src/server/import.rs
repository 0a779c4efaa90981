//! Import: a VM that exists comes into the state, by its UUID or by `<pool>/<uuid>`. Nothing is changed in its pool.
//!
//! Of a server that dynvm made, its marks tell all that its configuration may say; a plan after that is empty. A VM without a lease gets one by the
//! `ttl` of its first apply.

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::private::Private;
use engine::schema::Schema;
use fleet::{Server, Uuid};
use plugin::provider::{Context, Imported};

use super::identity::{self, Meant};
use super::schema::TIMEOUTS;
use super::state;
use crate::diagnose;
use crate::settings::SharedSettings;

pub(super) async fn import(
    settings: &SharedSettings,
    schema: &Schema,
    id: &str,
    cx: &Context,
) -> Result<Imported, Diagnostics> {
    let (pool, vm) = parse(id)?;
    let lab = settings.lab()?;
    let limit = TIMEOUTS.get(&schema.empty(), "read");
    let found = tokio::select! {
        () = cx.cancel.cancelled() => return Err(diagnose::interrupted("importing the server")),
        found = tokio::time::timeout(limit, lab.fleet.adoptable(pool, vm)) => found,
    };
    match found {
        Ok(Ok(server)) => Ok(imported(schema, &server)),
        Ok(Err(error)) => Err(diagnose::error(&error).into()),
        Err(_) => Err(diagnose::too_slow(
            "Importing the server",
            "read",
            limit,
            pool.unwrap_or_default(),
        )),
    }
}

/// The pool, if one is named, and the VM.
fn parse(id: &str) -> Result<(Option<&str>, Uuid), Diagnostics> {
    let (pool, uuid) = match id.rsplit_once('/') {
        Some((pool, uuid)) => (Some(pool), uuid),
        None => (None, id),
    };
    match (pool, uuid.parse()) {
        (Some(""), _) | (_, Err(_)) => Err(Diagnostic::error(
            "Not the identifier of a server",
            format!(
                "A server is imported by its VM's UUID, or by the name of its pool in the provider's `pools` and the UUID: \"lab1/<uuid>\". \"{id}\" is neither."
            ),
        )
        .into()),
        (pool, Ok(uuid)) => Ok((pool, uuid)),
    }
}

/// What the pool and the marks tell; options that only a configuration knows are at their defaults.
fn imported(schema: &Schema, server: &Server) -> Imported {
    let mut private = Private::new();
    identity::remember(&mut private, server);
    let known = schema
        .defaults()
        .with("tags", tags(server))
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
        let check = |id: &str, expect: Option<Option<&str>>| {
            let found = parse(id).ok();
            assert_eq!(found.map(|(pool, _)| pool), expect, "{id}");
        };
        check(uuid, Some(None));
        check(&format!("lab1/{uuid}"), Some(Some("lab1")));
        check(&format!("a/b/{uuid}"), Some(Some("a/b")));
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
