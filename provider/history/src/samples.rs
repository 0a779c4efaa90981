//! What the property tests are fed with.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use proptest::array::{uniform3, uniform4, uniform6};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::row::{EndReason, Entry, Renewal, ServerRow, VmUuid};
use crate::storable::{seconds, time};

/// One of a few VMs.
pub(crate) fn vm(n: u8) -> VmUuid {
    VmUuid::from([n; 16])
}

/// Times that collide often, and now and then one at the edge.
pub(crate) fn any_time() -> BoxedStrategy<Timestamp> {
    prop_oneof![
        20 => (0_i64..20).prop_map(|hour| Timestamp::from_second(1_790_000_000 + hour * 3600).unwrap()),
        3 => any::<u32>().prop_map(|n| Timestamp::from_nanosecond(i128::from(n) * 1_000_000_007).unwrap()),
        1 => select(vec![Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH]),
    ]
    .boxed()
}

fn any_text() -> BoxedStrategy<String> {
    prop_oneof![3 => "[a-c]{1,2}", 1 => any::<String>(), 1 => Just("a\0b".to_owned())].boxed()
}

/// No NaN, which is unlike itself, so that no test could compare it.
fn any_seconds() -> BoxedStrategy<f64> {
    use prop::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![4 => 0.0..9000.0, 1 => POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE].boxed()
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => (0_u8..4).prop_map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))),
        1 => any::<[u8; 16]>().prop_map(IpAddr::from),
    ]
}

fn any_reason() -> impl Strategy<Value = EndReason> {
    select(EndReason::ALL.to_vec())
}

/// Whatever can be said of a VM, sense or nonsense.
pub(crate) fn any_row(n: u8) -> BoxedStrategy<ServerRow> {
    let words = uniform6(of(any_text()));
    let sizes = (of(0_u32..3), of(any::<u64>()), of(any::<u64>()));
    let addresses = prop::collection::btree_set(any_address(), 0..3);
    let times = uniform4(of(any_time()));
    let spans = uniform3(of(any_seconds()));
    (words, sizes, addresses, times, spans, of(any_reason()))
        .prop_map(move |(words, sizes, ip_addresses, times, spans, end_reason)| {
            let [name, owner, pool, host, os, template] = words;
            let (cpus, memory_bytes, disk_bytes) = sizes;
            let [created_at, ready_at, expires_at, deleted_at] = times;
            let [create_seconds, live_seconds, delete_seconds] = spans;
            ServerRow {
                vm_uuid: vm(n),
                name,
                owner,
                pool,
                host,
                os,
                template,
                cpus,
                memory_bytes,
                disk_bytes,
                ip_addresses,
                created_at,
                ready_at,
                expires_at,
                deleted_at,
                create_seconds,
                live_seconds,
                delete_seconds,
                end_reason,
            }
        })
        .boxed()
}

/// Whatever can be said, but an end only with its reason.
pub(crate) fn any_whole_row(n: u8) -> BoxedStrategy<ServerRow> {
    let whole = |row: ServerRow| match row.end_reason {
        Some(_) => row,
        None => ServerRow {
            deleted_at: None,
            live_seconds: None,
            delete_seconds: None,
            ..row
        },
    };
    any_row(n).prop_map(whole).boxed()
}

/// Whatever can be told.
pub(crate) fn any_entry() -> BoxedStrategy<Entry> {
    let renewal = (1_u8..4, any_time(), any_time(), of(any_text())).prop_map(|(n, at, expires_at, by)| Renewal {
        vm_uuid: vm(n),
        at,
        expires_at,
        by,
    });
    prop_oneof![
        3 => (1_u8..4).prop_flat_map(any_row).prop_map(Entry::Server),
        1 => renewal.prop_map(Entry::Renewed),
    ]
    .boxed()
}

/// What writers tell who may know little but are never wrong: parts of one truth. Each tells an end whole; one may only
/// have seen that the VM is gone.
pub(crate) fn truthful_rows(n: u8) -> BoxedStrategy<Vec<ServerRow>> {
    let sure = select(EndReason::ALL[..3].to_vec());
    (any_row(n), sure, any_time(), any_time(), any_time())
        .prop_flat_map(move |(truth, reason, deleted, noticed, born)| {
            let truth = ServerRow {
                created_at: Some(time(born)),
                deleted_at: Some(time(deleted)),
                live_seconds: seconds(time(deleted).duration_since(time(born)).as_secs_f64()),
                end_reason: Some(reason),
                ..truth
            };
            prop::collection::vec((any::<[bool; 15]>(), 0_u8..3, of(any_time())), 0..7).prop_map(move |tellings| {
                let tell = |(knows, end, expires_at)| part_of(&truth, noticed, knows, end, expires_at);
                tellings.into_iter().map(tell).collect()
            })
        })
        .boxed()
}

/// What one who knows these columns tells; `end`: 0 nothing, 1 only that the VM is gone, 2 the truth.
fn part_of(
    truth: &ServerRow,
    noticed: Timestamp,
    knows: [bool; 15],
    end: u8,
    expires_at: Option<Timestamp>,
) -> ServerRow {
    fn known<T: Clone>(known: bool, column: &Option<T>) -> Option<T> {
        column.clone().filter(|_| known)
    }
    let row = ServerRow {
        name: known(knows[0], &truth.name),
        owner: known(knows[1], &truth.owner),
        pool: known(knows[2], &truth.pool),
        host: known(knows[3], &truth.host),
        os: known(knows[4], &truth.os),
        template: known(knows[5], &truth.template),
        cpus: known(knows[6], &truth.cpus),
        memory_bytes: known(knows[7], &truth.memory_bytes),
        disk_bytes: known(knows[8], &truth.disk_bytes),
        ip_addresses: truth.ip_addresses.iter().filter(|_| knows[9]).copied().collect(),
        created_at: known(knows[10], &truth.created_at),
        ready_at: known(knows[11], &truth.ready_at),
        create_seconds: known(knows[12], &truth.create_seconds),
        expires_at,
        ..ServerRow::new(truth.vm_uuid)
    };
    match end {
        0 => row,
        1 => ServerRow {
            deleted_at: Some(noticed),
            end_reason: Some(EndReason::Vanished),
            ..row
        },
        _ => ServerRow {
            deleted_at: truth.deleted_at,
            end_reason: truth.end_reason,
            live_seconds: known(knows[13], &truth.live_seconds),
            delete_seconds: known(knows[14], &truth.delete_seconds),
            ..row
        },
    }
}

/// What such writers tell of a few VMs, renewals included.
pub(crate) fn truthful_entries() -> BoxedStrategy<Vec<Entry>> {
    let renewals = prop::collection::vec((1_u8..4, any_time(), any_time(), any::<bool>()), 0..5).prop_map(|told| {
        let renewed = |(n, at, expires_at, knows): (u8, _, _, bool)| {
            Entry::Renewed(Renewal {
                vm_uuid: vm(n),
                at,
                expires_at,
                by: knows.then(|| format!("ci-{n}")),
            })
        };
        told.into_iter().map(renewed).collect::<Vec<_>>()
    });
    (truthful_rows(1), truthful_rows(2), truthful_rows(3), renewals)
        .prop_map(|(a, b, c, renewals)| {
            [a, b, c]
                .concat()
                .into_iter()
                .map(Entry::Server)
                .chain(renewals)
                .collect()
        })
        .boxed()
}
