//! What the tests tell.

use history::{EndReason, Entry, Filter, History, Renewal, ServerRow, VmUuid};
use jiff::Timestamp;

/// One of many VMs.
pub(crate) fn vm(n: u32) -> VmUuid {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    VmUuid::from(bytes)
}

/// A time, so many minutes into a day.
pub(crate) fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_795_168_800 + minute * 60).unwrap()
}

pub(crate) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// What a provider tells after a creation.
pub(crate) fn born(n: u32, minute: i64) -> ServerRow {
    ServerRow {
        name: Some(format!("web-{n}")),
        owner: text("ci/nightly"),
        pool: text("lab1"),
        os: text("centos7"),
        created_at: Some(at(minute)),
        create_seconds: Some(31.5),
        ..ServerRow::new(vm(n))
    }
}

/// How a server ended.
pub(crate) fn ended(n: u32, minute: i64, reason: EndReason) -> ServerRow {
    ServerRow {
        deleted_at: Some(at(minute)),
        end_reason: Some(reason),
        ..ServerRow::new(vm(n))
    }
}

/// Every column.
pub(crate) fn full(n: u32) -> ServerRow {
    ServerRow {
        vm_uuid: vm(n),
        name: text("web \"1\" \u{fc}\u{1f40b}"),
        owner: text("https://ci.example/job?a=1&b=2"),
        pool: text("lab1"),
        host: text("host-3"),
        os: text("centos7"),
        template: text("tmpl-cnt7.7"),
        cpus: Some(4),
        memory_bytes: Some(8 << 30),
        disk_bytes: Some(u64::MAX >> 1),
        ip_addresses: ["10.1.0.7", "fd00::7"].map(|address| address.parse().unwrap()).into(),
        created_at: Some("2026-11-20T10:25:00.123456Z".parse().unwrap()),
        ready_at: Some(at(1)),
        expires_at: Some(at(720)),
        deleted_at: Some(at(600)),
        create_seconds: Some(31.062),
        live_seconds: Some(35_963.4),
        delete_seconds: Some(2.25),
        end_reason: Some(EndReason::Destroyed),
    }
}

pub(crate) fn renewal(n: u32, minute: i64, until: i64, by: Option<&str>) -> Renewal {
    Renewal {
        vm_uuid: vm(n),
        at: at(minute),
        expires_at: at(until),
        by: by.map(str::to_owned),
    }
}

pub(crate) fn server(row: ServerRow) -> Entry {
    Entry::Server(row)
}

pub(crate) fn renewed(renewal: &Renewal) -> Entry {
    Entry::Renewed(renewal.clone())
}

/// All rows of a history.
pub(crate) async fn all(history: &History) -> Vec<ServerRow> {
    history.rows(&Filter::default(), usize::MAX).await.unwrap()
}

/// The VMs of rows.
pub(crate) fn vms(rows: &[ServerRow]) -> Vec<VmUuid> {
    rows.iter().map(|row| row.vm_uuid).collect()
}
