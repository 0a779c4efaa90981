//! How a pool stands, as figures for monitoring.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::act::Deed;
use crate::classify::LABELS;
use crate::decide::Plan;
use crate::metrics::{Deletion, Due, PoolMetrics, RailState};
use crate::rails;
use crate::tickets::State;

/// The rails that only a survey raises and lifts.
pub(super) const OF_LISTINGS: [&str; 2] = [rails::LISTING_FAILED, rails::LISTING_INCOMPLETE];

/// Shows a plan and the coordinator's clock by which it was made.
pub(super) fn show(metrics: &PoolMetrics, plan: &Plan, now: Timestamp) {
    let mut counts: BTreeMap<&'static str, u64> = LABELS.iter().map(|label| (*label, 0)).collect();
    for decision in &plan.decisions {
        if let Some(count) = counts.get_mut(decision.verdict) {
            *count += 1;
        }
    }
    counts.remove("foreign");
    metrics.managed(counts);
    metrics.tickets(State::ALL.map(|state| (state.label(), tickets(plan, state))));
    metrics.oldest_due(match (plan.oldest_due(), plan.next) {
        (Some(due), _) => Due::Since(until(now, due)),
        (None, Some(next)) => Due::In(until(next, now)),
        (None, None) => Due::Nothing,
    });
    for name in rails::NAMES.iter().filter(|name| !OF_LISTINGS.contains(name)) {
        let is_active = plan.rails.iter().any(|rail| rail.name() == *name);
        let state = if is_active { RailState::Active } else { RailState::Clear };
        metrics.rail(name, state);
    }
    metrics.clock_skew(now.duration_since(Timestamp::now()));
    metrics.succeeded(Timestamp::now());
}

fn tickets(plan: &Plan, state: State) -> u64 {
    let of_state = plan.tickets.iter().filter(|ticket| ticket.state == state);
    u64::try_from(of_state.count()).unwrap_or(u64::MAX)
}

/// How a deletion counts.
pub(super) fn result(deed: &Deed) -> Deletion {
    match deed {
        Deed::Deleted { .. } => Deletion::Deleted,
        Deed::Gone => Deletion::Gone,
        Deed::GivenUp { .. } => Deletion::Refused,
        Deed::Failed { .. } => Deletion::Failed,
    }
}

/// How long it is from one time to a later one.
pub(super) fn until(later: Timestamp, earlier: Timestamp) -> Duration {
    let left: SignedDuration = later.duration_since(earlier);
    Duration::try_from(left).unwrap_or_default()
}
