//! What the history is told of servers: rows, made of what [`fleet`] says and of nothing else.
//!
//! The reaper tells of the same servers in the same words: times are the pool coordinator's, and a lease that is renewed was so when its mark says.

use std::time::Duration;

use fleet::{BirthName, Renewed, Server, ServerSpec, Uuid};
use history::{EndReason, Entry, Renewal, ServerRow, VmUuid};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A server that is ready: its lease began when its creation ended.
pub(super) fn created(server: &Server) -> ServerRow {
    ServerRow {
        ready_at: server.lease.started_at,
        create_seconds: server.timings.map(|timings| timings.total()),
        ..seen(server)
    }
}

/// A server that never got ready. What it was to be is told where it had not come to that.
pub(super) fn unready(server: &Server, spec: &ServerSpec) -> ServerRow {
    ServerRow {
        name: Some(spec.name.clone()),
        os: spec.image.os().map(str::to_owned),
        cpus: Some(spec.cpus.unwrap_or(server.cpus)),
        memory_bytes: Some(spec.memory_mib.map_or(server.memory_bytes, |mib| mib << 20)),
        ..seen(server)
    }
}

/// A lease that was changed, and the server with it, if it could be read.
pub(super) fn renewed(vm: Uuid, server: Option<&Server>, renewed: &Renewed) -> Vec<Entry> {
    let row = server.map_or_else(|| ServerRow::new(vm_uuid(vm)), seen);
    let row = ServerRow {
        expires_at: row.expires_at.max(Some(renewed.expires_at)),
        ..row
    };
    let renewal = Renewal {
        vm_uuid: vm_uuid(vm),
        at: renewed.at,
        expires_at: renewed.expires_at,
        by: Some(renewed.by.clone()),
    };
    vec![row.into(), renewal.into()]
}

/// A removal that has just ended.
pub(super) struct Removal {
    pub(super) server: Server,
    took: Duration,
    ended: Instant,
}

impl Removal {
    /// One that ended now.
    pub(super) fn of(server: Server, took: Duration) -> Self {
        Self {
            server,
            took,
            ended: Instant::now(),
        }
    }

    /// When it ended, where a clock shows so much now.
    pub(super) fn at(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_sub(SignedDuration::try_from(self.ended.elapsed()).ok()?)
            .ok()
    }

    /// The end of what the row tells of. Where no clock could be read, only that it ended is known.
    pub(super) fn end(&self, row: ServerRow, at: Option<Timestamp>, reason: EndReason) -> ServerRow {
        let lived = |from: Timestamp, until: Timestamp| until.duration_since(from).as_secs_f64();
        ServerRow {
            deleted_at: at,
            delete_seconds: Some(self.took.as_secs_f64()),
            live_seconds: row.created_at.zip(at).map(|(from, until)| lived(from, until)),
            end_reason: Some(reason),
            ..row
        }
    }
}

/// All that is seen of a server. A birth name is none that it keeps.
pub(super) fn seen(server: &Server) -> ServerRow {
    let is_born = BirthName::parse(&server.name).is_none();
    ServerRow {
        name: is_born.then(|| server.name.clone()),
        owner: server.owner.clone(),
        pool: Some(server.pool.clone()),
        host: server.resident_host.clone(),
        os: server.os.clone(),
        template: server.template_name.clone(),
        cpus: Some(server.cpus),
        memory_bytes: Some(server.memory_bytes),
        disk_bytes: Some(server.disk_bytes),
        ip_addresses: server.ip_addresses.iter().copied().collect(),
        created_at: server.created_at,
        expires_at: server.lease.expires_at,
        ..ServerRow::new(vm_uuid(server.id))
    }
}

fn vm_uuid(vm: Uuid) -> VmUuid {
    VmUuid::from(vm.to_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use fleet::{Family, Image, Lease, PowerState, Timings, WaitPolicy};

    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const HOUR: u64 = 3600;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-20T{time}Z").parse().expect("a time")
    }

    /// A server that runs, with one disk.
    pub(in crate::server) fn server() -> Server {
        Server {
            id: VM.parse().expect("a UUID"),
            pool: "lab1".to_owned(),
            pool_uuid: VM.parse().expect("a UUID"),
            name: "web".to_owned(),
            request_id: None,
            os: Some("debian12".to_owned()),
            template_uuid: None,
            template_name: Some("tmpl-debian12".to_owned()),
            cpus: 2,
            memory_mib: 2048,
            memory_bytes: (2048 << 20) + 4096,
            tags: BTreeSet::new(),
            power_state: PowerState::Running,
            network: None,
            storage: None,
            mac_address: None,
            ip_address: None,
            primary_addresses: Vec::new(),
            ip_addresses: vec!["10.1.0.7".parse().expect("an address")],
            os_version: None,
            resident_host: Some("xen11".to_owned()),
            created_at: Some(at("10:00:00")),
            lease: Lease {
                started_at: Some(at("10:00:30")),
                ttl: Some(Duration::from_secs(HOUR)),
                expires_at: Some(at("11:00:30")),
            },
            disk_bytes: 20 << 30,
            attached_bytes: 20 << 30,
            managed: true,
            owner: Some("ci/nightly".to_owned()),
            keep: false,
            timings: Some(Timings {
                queue: 1.0,
                clone: 2.0,
                configure: 0.5,
                drive: 0.0,
                start: 4.0,
                address: 20.25,
                ports: 0.0,
            }),
            address_source: None,
        }
    }

    fn spec() -> ServerSpec {
        ServerSpec {
            name: "web".to_owned(),
            image: Image::Os("debian12".to_owned()),
            cpus: Some(4),
            memory_mib: None,
            ttl: Duration::from_secs(HOUR),
            pool: None,
            pool_labels: BTreeSet::new(),
            host: None,
            reservation: None,
            storage: None,
            network: None,
            mac_address: None,
            cloud_init: None,
            tags: BTreeSet::new(),
            wait: WaitPolicy {
                for_ip: true,
                family: Family::Ipv4,
                cidrs: Vec::new(),
                ports: Vec::new(),
                timeout: Duration::from_secs(400),
            },
            ip_attempts: 2,
            is_started: true,
            keep_on_failure: false,
            create_timeout: Duration::from_secs(HOUR),
            request_id: ulid::Ulid(7),
        }
    }

    /// A clone that is being born: under its birth name, and of nothing but a template.
    fn newborn() -> Server {
        Server {
            name: "dynvm-new-01JD4Q8QCGTF0000000000000A-1800000000".to_owned(),
            os: None,
            owner: None,
            template_name: None,
            ip_addresses: Vec::new(),
            resident_host: None,
            lease: Lease::default(),
            ..server()
        }
    }

    /// What is seen of the server in any case.
    fn plain() -> ServerRow {
        ServerRow {
            name: Some("web".to_owned()),
            owner: Some("ci/nightly".to_owned()),
            pool: Some("lab1".to_owned()),
            host: Some("xen11".to_owned()),
            os: Some("debian12".to_owned()),
            template: Some("tmpl-debian12".to_owned()),
            cpus: Some(2),
            memory_bytes: Some((2048 << 20) + 4096),
            disk_bytes: Some(20 << 30),
            ip_addresses: ["10.1.0.7".parse().expect("an address")].into(),
            created_at: Some(at("10:00:00")),
            expires_at: Some(at("11:00:30")),
            ..ServerRow::new(VM.parse().expect("a UUID"))
        }
    }

    #[test]
    fn a_server_that_is_ready_has_all_columns_but_those_of_its_end() {
        let expected = ServerRow {
            ready_at: Some(at("10:00:30")),
            create_seconds: Some(27.75),
            ..plain()
        };
        assert_eq!(created(&server()), expected);
    }

    #[test]
    fn a_server_that_never_got_ready_is_what_was_asked_for() {
        let expected = ServerRow {
            cpus: Some(4),
            ..plain()
        };
        assert_eq!(unready(&server(), &spec()), expected, "kept with its lease");
        let expected = ServerRow {
            owner: None,
            host: None,
            template: None,
            ip_addresses: BTreeSet::new(),
            expires_at: None,
            ..expected
        };
        assert_eq!(unready(&newborn(), &spec()), expected);
    }

    #[test]
    fn an_end_is_told_whole() {
        let removal = Removal::of(server(), Duration::from_millis(1500));
        let row = seen(&removal.server);
        let expected = ServerRow {
            deleted_at: Some(at("10:30:00")),
            delete_seconds: Some(1.5),
            live_seconds: Some(1800.0),
            end_reason: Some(EndReason::Destroyed),
            ..plain()
        };
        let end = removal.end(row.clone(), Some(at("10:30:00")), EndReason::Destroyed);
        assert_eq!(end, expected);
        let expected = ServerRow {
            deleted_at: None,
            live_seconds: None,
            ..expected
        };
        assert_eq!(removal.end(row, None, EndReason::Destroyed), expected, "no clock");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_was_when_it_was_and_not_when_the_clock_is_read() {
        let removal = Removal::of(server(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(removal.at(at("10:31:30")), Some(at("10:30:00")));
    }

    #[test]
    fn a_birth_name_is_no_name() {
        assert_eq!(seen(&newborn()).name, None);
    }

    #[test]
    fn a_renewal_is_told_beside_the_server() {
        let check = |server: Option<&Server>, told: &Renewed, row: ServerRow| {
            let renewal = Renewal {
                vm_uuid: row.vm_uuid,
                at: told.at,
                expires_at: told.expires_at,
                by: Some(told.by.clone()),
            };
            let vm = VM.parse().expect("a UUID");
            assert_eq!(renewed(vm, server, told), [row.into(), renewal.into()]);
        };
        let told = Renewed {
            at: at("10:20:00"),
            expires_at: at("12:20:00"),
            by: "dynvm-provider/0.1.0 ci/nightly".to_owned(),
        };
        let later = ServerRow {
            expires_at: Some(told.expires_at),
            ..plain()
        };
        check(Some(&server()), &told, later);
        let unread = ServerRow {
            expires_at: Some(told.expires_at),
            ..ServerRow::new(plain().vm_uuid)
        };
        check(None, &told, unread);
    }
}
