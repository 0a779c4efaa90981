//! A reservation as its pools show it, in the words of the table.

use cty::Value;
use engine::private::Private;
use fleet::{Reservation, ReservationStatus};

use super::request::POOLS;

/// What Terraform knows of a reservation whose time is over: its pools show nothing more, and what was read before stays.
pub(super) fn expired(known: &Value) -> Value {
    known.clone().with("status", "expired")
}

/// What Terraform knows, overlaid with what the pools show.
pub(super) fn shown(known: &Value, reservation: &Reservation) -> Value {
    let placements = reservation
        .placements
        .iter()
        .map(|(pool, servers)| (pool.as_str(), Value::from(*servers)));
    known
        .clone()
        .with("status", status(reservation.status))
        .with("id", reservation.key.id.to_string())
        .with("placements", Value::object(placements))
        .with("used", reservation.used)
        .with("expires_at", reservation.expires_at.to_string())
}

/// The answer to an apply: whatever was planned known is returned as planned. A later refresh corrects what differs.
pub(super) fn applied(planned: &Value, reservation: &Reservation) -> Value {
    let shown = shown(planned, reservation);
    let fields = planned.as_map().into_iter().flatten();
    fields
        .filter(|(_, value)| value.is_wholly_known())
        .fold(shown, |shown, (name, value)| shown.with(name.as_str(), value.clone()))
}

/// Keeps in private state what finds the reservation again, and only it.
pub(super) fn remember(private: &mut Private, reservation: &Reservation) {
    let pools = reservation.key.pools.iter();
    let pools: serde_json::Map<String, serde_json::Value> = pools
        .map(|(name, uuid)| (name.clone(), uuid.to_string().into()))
        .collect();
    if let Err(error) = private.set(POOLS, pools) {
        tracing::error!(%error, "private state cannot be kept");
    }
}

fn status(status: ReservationStatus) -> &'static str {
    match status {
        ReservationStatus::Held => "held",
        ReservationStatus::UsedUp => "used_up",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fleet::{ReservationChanges, ReservationKey};

    use super::super::{request, schema};
    use super::*;

    fn planned() -> Value {
        schema::table()
            .empty()
            .with("servers", 3)
            .with("os", "debian12")
            .with("cpus", 2)
            .with("ttl", "1h")
    }

    fn reservation(status: ReservationStatus) -> Reservation {
        let uuid = "00000000-0000-0000-0000-0000000000aa".parse().expect("a UUID");
        Reservation {
            key: ReservationKey {
                id: ulid::Ulid(7),
                pools: [("lab1".to_owned(), uuid)].into(),
            },
            placements: [("lab1".to_owned(), 3)].into(),
            used: 1,
            expires_at: "2026-11-20T11:00:00Z".parse().expect("an instant"),
            status,
        }
    }

    #[test]
    fn a_plan_is_asked_for_as_it_is() {
        let spec = request::spec(&planned()).expect("a spec");
        assert_eq!(
            (spec.servers, spec.ttl, spec.queue),
            (3, Duration::from_secs(3600), Duration::ZERO)
        );
        assert_eq!(
            (spec.each.cpus, spec.each.memory_mib, spec.each.host),
            (Some(2), None, None)
        );
        let queued = planned().with("timeouts", Value::object([("create", Value::from("5m"))]));
        assert_eq!(request::spec(&queued).expect("a spec").queue, Duration::from_secs(300));
    }

    #[test]
    fn only_what_differs_is_changed() {
        let change = |after: Value| request::changes(&planned(), &after).expect("changes");
        assert_eq!(change(planned().with("ttl", "60m")), ReservationChanges::default());
        let both = change(planned().with("servers", 4).with("ttl", "2h"));
        assert_eq!((both.servers, both.ttl), (Some(4), Some(Duration::from_secs(7200))));
    }

    #[test]
    fn what_was_held_stays_known_when_it_is_over() {
        let state = shown(&planned(), &reservation(ReservationStatus::Held));
        assert_eq!(state.get("status").as_str(), Some("held"));
        assert_eq!(state.get("placements").get("lab1").as_u64(), Some(3));
        assert_eq!(expired(&state), state.with("status", "expired"));
    }

    #[test]
    fn what_was_planned_known_comes_out_as_planned() {
        let state = shown(&planned(), &reservation(ReservationStatus::Held));
        let larger = state
            .with("servers", 4)
            .with("used", 0)
            .with("placements", Value::unknown())
            .with("status", Value::unknown());
        let applied = applied(&larger, &reservation(ReservationStatus::UsedUp));
        assert_eq!(applied.get("used").as_u64(), Some(0));
        assert_eq!(applied.get("status").as_str(), Some("used_up"));
        assert!(applied.is_wholly_known());
    }

    #[test]
    fn it_is_found_again() {
        let reservation = reservation(ReservationStatus::Held);
        let (state, mut private) = (shown(&planned(), &reservation), Private::new());
        assert!(request::key(&planned(), &private).is_err(), "without an id");
        remember(&mut private, &reservation);
        assert_eq!(request::key(&state, &private).expect("a key"), reservation.key);
    }
}
