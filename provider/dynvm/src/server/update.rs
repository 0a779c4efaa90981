//! Update in place: lease, name and tags, which do not touch the guest; then size, power state and host.

use std::time::Duration;

use cty::Value;
use engine::diagnostics::Diagnostics;
use fleet::{Birth, Changes, UpdateFailure, Updated, Uuid};
use history::Entry;
use plugin::provider::{Applied, Context, UpdateRequest};

use super::identity::Meant;
use super::lease::{self, Course};
use super::schema::TIMEOUTS;
use super::{chronicled, identity, refused, request, reshape, rows, state};
use crate::diagnose;
use crate::settings::SharedSettings;

pub(super) async fn update(settings: &SharedSettings, request: UpdateRequest, cx: &Context) -> Applied {
    let UpdateRequest {
        prior,
        planned,
        private,
        ..
    } = request;
    let asked = settings.lab().and_then(|lab| {
        let changes = changes(&prior, &planned, lab.ip_timeout)?;
        let key = identity::key(&prior, &private)?;
        Ok((lab, changes, key))
    });
    let (lab, changes, key) = match asked {
        Ok(asked) => asked,
        Err(diagnostics) => return refused(Some(prior), private, diagnostics),
    };
    if changes == Changes::default() && planned.is_wholly_known() {
        return refused(Some(planned), private, Diagnostics::new());
    }
    let limit = TIMEOUTS.get(&planned, "update");
    let updated = lab.fleet.update(&key, changes, limit, cx.cancel.clone()).await;
    let entries = entries(key.vm, &updated);
    let applied = match updated {
        Ok(updated) => refused(
            Some(state::applied(&planned, &Meant::by(&private), &updated.server)),
            private,
            Diagnostics::new(),
        ),
        Err(failure) => {
            let now = partly(&prior, &planned, &Meant::by(&private), &failure).unwrap_or(prior);
            refused(Some(now), private, diagnose::error(&failure.error).into())
        }
    };
    chronicled(&lab, applied, std::future::ready(entries), cx).await
}

/// What the history is told: of the lease, if that was changed. All else about a server is kept as it was at first.
fn entries(vm: Uuid, updated: &Result<Updated, UpdateFailure>) -> Vec<Entry> {
    let (server, renewed) = match updated {
        Ok(updated) => (Some(&updated.server), &updated.renewed),
        Err(failure) => (failure.server.as_ref(), &failure.renewed),
    };
    renewed
        .as_ref()
        .map(|renewed| rows::renewed(vm, server, renewed))
        .unwrap_or_default()
}

/// What is true after a change that failed half-way: the pool's word for what it shows, the new tags as far as they arrived, and what was asked of the lease
/// if that was acknowledged, so that it is not asked for again.
fn partly(prior: &Value, planned: &Value, meant: &Meant, failure: &UpdateFailure) -> Option<Value> {
    let server = failure.server.as_ref()?;
    let tags = Value::set(request::tags(prior).union(&request::tags(planned)).map(String::as_str));
    let mut known = prior.clone().with("tags", tags);
    if failure.is_lease_changed {
        for name in ["ttl", lease::TRIGGERS] {
            known = known.with(name, planned.get(name).clone());
        }
    }
    Some(state::shown(&known, meant, server))
}

/// What differs, as far as a pool must know it.
fn changes(prior: &Value, planned: &Value, ip_timeout: Option<Duration>) -> Result<Changes, Diagnostics> {
    let name = planned
        .get("name")
        .as_str()
        .filter(|name| prior.get("name").as_str() != Some(name))
        .map(str::to_owned);
    let (old, new) = (request::tags(prior), request::tags(planned));
    let ttl = match Course::between(prior, planned) {
        Course::Anew | Course::Moves { .. } => Some(request::ttl(planned)?),
        Course::Stays { .. } => None,
    };
    Ok(Changes {
        name,
        tags: (old != new).then_some((old, new)),
        ttl,
        renew: lease::is_renewed(prior, planned),
        birth: birth(prior),
        reshape: reshape::wanted(prior, planned, ip_timeout)?,
    })
}

/// What the state remembers of the server's birth, for marks that are lost.
fn birth(prior: &Value) -> Option<Birth> {
    let text = |name: &str| prior.get(name).as_str();
    let is_lost = prior.get("expires_at").is_null();
    Some(Birth {
        created_at: text("created_at").filter(|_| is_lost)?.parse().ok()?,
        template_uuid: text("template_uuid").and_then(|uuid| uuid.parse().ok()),
        template_name: text("template").unwrap_or_default().to_owned(),
        os: text("os").map(str::to_owned),
    })
}
