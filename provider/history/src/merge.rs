//! The merge rule: how what is told becomes what is known.
//!
//! Two writers tell of the same servers, in any order, some of it twice: the provider while it works, the reaper while it
//! watches. So a row is a sum of facts, and every sink sums by this one function:
//!
//! - An entry adds what it knows. What is known stays as it was first told; addresses are collected.
//! - `expires_at` is the latest that was told.
//! - The end of a server is told whole, reason and time together. `vanished` is a guess and yields to any other reason,
//!   whose time then counts; two that are no guess: the first stays.
//! - `live_seconds` is worked out as soon as both ends of the life are known, unless somebody told it.
//!
//! Telling an entry again changes nothing, and where the writers agree on the facts their order does not matter.

use jiff::Timestamp;

use crate::row::{EndReason, ServerRow};
use crate::storable;

/// Adds what was told of a server to what is known of it.
pub fn merge(known: &mut ServerRow, told: &ServerRow) {
    debug_assert_eq!(known.vm_uuid, told.vm_uuid, "two servers are not one");
    fill(&mut known.name, &told.name);
    fill(&mut known.owner, &told.owner);
    fill(&mut known.pool, &told.pool);
    fill(&mut known.host, &told.host);
    fill(&mut known.os, &told.os);
    fill(&mut known.template, &told.template);
    fill(&mut known.cpus, &told.cpus);
    fill(&mut known.memory_bytes, &told.memory_bytes);
    fill(&mut known.disk_bytes, &told.disk_bytes);
    fill(&mut known.created_at, &told.created_at);
    fill(&mut known.ready_at, &told.ready_at);
    fill(&mut known.create_seconds, &told.create_seconds);
    known.ip_addresses.extend(&told.ip_addresses);
    known.expires_at = known.expires_at.max(told.expires_at);
    merge_end(known, told);
    if known.live_seconds.is_none() {
        known.live_seconds = lived(known.created_at, known.deleted_at);
    }
}

fn merge_end(known: &mut ServerRow, told: &ServerRow) {
    let is_guess = |reason: Option<EndReason>| reason.is_some_and(EndReason::is_guess);
    let is_sure = |reason: Option<EndReason>| reason.is_some_and(|reason| !reason.is_guess());
    if is_guess(known.end_reason) && is_sure(told.end_reason) {
        known.end_reason = told.end_reason;
        if told.deleted_at.is_some() {
            // How long it lived and how long its deletion took belong to the time that was only guessed.
            known.deleted_at = told.deleted_at;
            known.live_seconds = told.live_seconds;
            known.delete_seconds = told.delete_seconds;
            return;
        }
    } else if is_sure(known.end_reason) && is_guess(told.end_reason) && known.deleted_at.is_some() {
        return;
    }
    fill(&mut known.end_reason, &told.end_reason);
    fill(&mut known.deleted_at, &told.deleted_at);
    fill(&mut known.live_seconds, &told.live_seconds);
    fill(&mut known.delete_seconds, &told.delete_seconds);
}

fn fill<T: Clone>(known: &mut Option<T>, told: &Option<T>) {
    if known.is_none() {
        known.clone_from(told);
    }
}

fn lived(from: Option<Timestamp>, until: Option<Timestamp>) -> Option<f64> {
    storable::seconds(until?.duration_since(from?).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;
    use crate::samples::{any_row, any_time, any_whole_row, truthful_rows, vm};

    fn fold<'a>(told: impl IntoIterator<Item = &'a ServerRow>) -> ServerRow {
        let mut known = ServerRow::new(vm(1));
        for row in told {
            merge(&mut known, row);
        }
        known
    }

    /// Everything but the end, the expiry and the addresses: what may be added, never changed.
    fn plain(row: &ServerRow) -> Vec<Option<String>> {
        let text = |value: Option<&dyn std::fmt::Debug>| value.map(|value| format!("{value:?}"));
        vec![
            row.name.clone(),
            row.owner.clone(),
            row.pool.clone(),
            row.host.clone(),
            row.os.clone(),
            row.template.clone(),
            text(row.cpus.as_ref().map(|v| v as _)),
            text(row.memory_bytes.as_ref().map(|v| v as _)),
            text(row.disk_bytes.as_ref().map(|v| v as _)),
            text(row.created_at.as_ref().map(|v| v as _)),
            text(row.ready_at.as_ref().map(|v| v as _)),
            text(row.create_seconds.as_ref().map(|v| v as _)),
        ]
    }

    proptest! {
        #[test]
        fn nothing_known_is_erased(known in any_row(1), told in any_row(1)) {
            let mut merged = known.clone();
            merge(&mut merged, &told);
            for ((before, said), after) in plain(&known).into_iter().zip(plain(&told)).zip(plain(&merged)) {
                prop_assert_eq!(after, before.or(said));
            }
            prop_assert!(merged.ip_addresses.is_superset(&known.ip_addresses));
            prop_assert!(merged.ip_addresses.is_superset(&told.ip_addresses));
            prop_assert_eq!(merged.expires_at, known.expires_at.max(told.expires_at));
            prop_assert!(merged.deleted_at.is_some() || known.deleted_at.is_none());
            prop_assert!(merged.end_reason.is_some() || known.end_reason.is_none());
        }

        #[test]
        fn telling_again_changes_nothing((told, again) in prop::collection::vec(any_whole_row(1), 0..6).prop_flat_map(|told| {
            let all = told.len();
            (Just(told.clone()), subsequence(told, 0..=all))
        })) {
            prop_assert_eq!(fold(told.iter().chain(&again)), fold(&told));
        }

        #[test]
        fn writers_who_agree_may_come_in_any_order((rows, shuffled) in truthful_rows(1).prop_flat_map(|rows| {
            (Just(rows.clone()), Just(rows).prop_shuffle())
        })) {
            prop_assert_eq!(fold(&rows), fold(&shuffled));
        }

        #[test]
        fn batches_may_be_cut_anywhere((rows, first) in truthful_rows(1).prop_flat_map(|rows| {
            let all = rows.len();
            (Just(rows.clone()), subsequence(rows, 0..=all))
        })) {
            // One writer's rows summed apart and then added are the same as told one by one.
            let mut known = fold(&first);
            merge(&mut known, &fold(&rows));
            prop_assert_eq!(known, fold(&rows));
        }

        #[test]
        fn the_first_sure_reason_stays(sure in select(&EndReason::ALL[..3]), other in select(EndReason::ALL.to_vec()), at in any_time(), later in any_time()) {
            let end = |reason, at| ServerRow { end_reason: Some(reason), deleted_at: Some(at), ..ServerRow::new(vm(1)) };
            let known = fold(&[end(sure, at), end(other, later)]);
            prop_assert_eq!((known.end_reason, known.deleted_at), (Some(sure), Some(at)));
            let known = fold(&[end(EndReason::Vanished, later), end(sure, at)]);
            prop_assert_eq!((known.end_reason, known.deleted_at), (Some(sure), Some(at)));
        }
    }

    #[test]
    fn a_life_is_measured_when_both_ends_are_known() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let born = ServerRow {
            created_at: at(100),
            ..ServerRow::new(vm(1))
        };
        let vanished = ServerRow {
            deleted_at: at(190),
            end_reason: Some(EndReason::Vanished),
            ..ServerRow::new(vm(1))
        };
        let destroyed = ServerRow {
            deleted_at: at(160),
            end_reason: Some(EndReason::Destroyed),
            ..ServerRow::new(vm(1))
        };
        assert_eq!(fold([&vanished]).live_seconds, None);
        assert_eq!(fold([&vanished, &born]).live_seconds, Some(90.0));
        assert_eq!(fold([&vanished, &born, &destroyed]).live_seconds, Some(60.0));
        assert_eq!(fold([&destroyed, &vanished, &born]).live_seconds, Some(60.0));
        let told = ServerRow {
            live_seconds: Some(59.5),
            ..destroyed
        };
        assert_eq!(fold([&born, &vanished, &told]).live_seconds, Some(59.5));
    }
}
