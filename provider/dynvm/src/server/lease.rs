//! What a plan says of the lease: where the expiry will be, that it is past, that the marks are lost.

use std::time::Duration;

use engine::diagnostics::Diagnostics;
use engine::plan::Draft;
use jiff::Timestamp;

use super::request;
use crate::settings::Settings;

/// How far the caller's clock may be off the pool's for a lease that is over to be noticed in the plan. It only decides whether the pool is asked for the
/// time, never what the time is; the apply asks in any case.
const DOUBT: Duration = Duration::from_secs(15 * 60);

/// A changed ttl moves the expiry, which is known if the start of the lease is; lost marks are written again by an update; an unchanged lease that is over
/// is worth a warning.
pub(super) async fn plan(settings: &Settings, draft: &mut Draft<'_>, found: &mut Diagnostics) {
    if draft.prior().is_null() {
        return;
    }
    let Some(end) = instant(draft, "expires_at") else {
        draft.mark_unknown("lease_started_at");
        draft.mark_unknown("expires_at");
        return;
    };
    let ttl = request::ttl(draft.planned()).ok();
    if ttl.is_some() && ttl == request::ttl(draft.prior()).ok() {
        if let Some(now) = past(settings, draft, end).await {
            over(end, now, found);
        }
        return;
    }
    let start = instant(draft, "lease_started_at");
    let Some(end) = ttl.zip(start).and_then(|(ttl, start)| start.checked_add(ttl).ok()) else {
        draft.mark_unknown("expires_at");
        return;
    };
    draft.set("expires_at", end.to_string());
    if let Some(now) = past(settings, draft, end).await {
        too_short(end, now, found);
    }
}

fn instant(draft: &Draft<'_>, name: &str) -> Option<Timestamp> {
    draft.prior().get(name).as_str()?.parse().ok()
}

/// The pool's time, if an instant is past by it. The pool is asked only if that could be.
async fn past(settings: &Settings, draft: &Draft<'_>, end: Timestamp) -> Option<Timestamp> {
    let Settings::Ready(lab) = settings else {
        return None;
    };
    let could_be = Timestamp::now().checked_add(DOUBT).is_ok_and(|latest| end <= latest);
    let pool = draft.prior().get("pool").as_str().filter(|_| could_be)?;
    let now = lab.fleet.clock(pool).await.ok()?;
    (end <= now).then_some(now)
}

fn over(end: Timestamp, now: Timestamp, found: &mut Diagnostics) {
    found.warning_at(
        "ttl",
        "Lease is over",
        format!(
            "The server's lease ended at {end}; by the clock of its pool it is {now:.0}. It may be removed at any moment. A longer `ttl` keeps it.",
        ),
    );
}

fn too_short(end: Timestamp, now: Timestamp, found: &mut Diagnostics) {
    found.error_at(
        "ttl",
        "Lease would be over",
        format!(
            "With this ttl the lease would have ended at {end}, and by the clock of the server's pool it is {now:.0}. The ttl counts from \
             `lease_started_at`. Give a longer one, or destroy the server.",
        ),
    );
}
