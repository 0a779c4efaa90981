//! Servers that become others in place: another size, another power state, another host; and what is left when the pool says no.

use fleet::{Changes, Error, Power, PowerState, Reshape, Server, Subject, UpdateFailure};
use sim::world::HostSpec;
use sim::{FaultKind, FaultRule, World};

use crate::lab::{Lab, spec, spec_of};

/// A change of nothing.
fn nothing() -> Reshape {
    Reshape {
        cpus: None,
        memory_mib: None,
        power: None,
        host: None,
        is_moved: false,
        wait: spec("web").wait,
    }
}

fn cpus(count: u32) -> Reshape {
    Reshape {
        cpus: Some(count),
        ..nothing()
    }
}

fn power(wanted: Power) -> Reshape {
    Reshape {
        power: Some(wanted),
        ..nothing()
    }
}

fn to_host(host: &str) -> Reshape {
    Reshape {
        host: Some(host.to_owned()),
        is_moved: true,
        ..nothing()
    }
}

async fn change(lab: &Lab, server: &Server, wanted: Reshape) -> Result<Server, UpdateFailure> {
    let changes = Changes {
        reshape: Some(wanted),
        ..Changes::default()
    };
    lab.update(server, changes).await
}

/// The pool's operations since the last reset, in their order.
fn operations(lab: &Lab) -> Vec<String> {
    let is_one = |method: &str| {
        let name = method.trim_start_matches("Async.");
        name.strip_prefix("VM.")
            .filter(|name| !name.starts_with("get_") && !name.starts_with("add_") && !name.starts_with("remove_"))
            .map(str::to_owned)
    };
    lab.requests()
        .iter()
        .filter_map(|request| is_one(&request.method))
        .collect()
}

/// Two hosts that see the same storage.
async fn two_hosts() -> Lab {
    Lab::small_with(|world: &mut World| {
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.vms.clear();
        for name in ["xen11", "xen12"] {
            let host = HostSpec {
                cpus: 8,
                memory_gib: 16,
                ..HostSpec::default()
            };
            pool.hosts.insert(name.to_owned(), host);
        }
    })
    .await
}

#[tokio::test]
async fn another_size_is_set_while_it_is_off_and_it_runs_with_an_address_afterwards() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    for (wanted, order) in [
        (cpus(4), &["set_VCPUs_max", "set_VCPUs_at_startup"][..]),
        (cpus(2), &["set_VCPUs_at_startup", "set_VCPUs_max"]),
        (
            Reshape {
                memory_mib: Some(3072),
                ..nothing()
            },
            &["set_memory_limits"],
        ),
    ] {
        lab.control.reset_requests();
        let now = change(&lab, &server, wanted.clone()).await.unwrap();
        let expect: Vec<&str> = ["clean_shutdown"]
            .iter()
            .chain(order)
            .chain(&["start_on"])
            .copied()
            .collect();
        assert_eq!(operations(&lab), expect, "{wanted:?}");
        assert_eq!(now.power_state, PowerState::Running);
        assert!(now.ip_address.is_some());
        assert_eq!(wanted.cpus.unwrap_or(now.cpus), now.cpus);
        assert_eq!(wanted.memory_mib.unwrap_or(now.memory_mib), now.memory_mib);
        assert_eq!(now.lease, server.lease, "the lease is not touched");
    }
}

#[tokio::test]
async fn a_guest_that_does_not_stop_by_itself_is_stopped_hard() {
    let lab = Lab::small().await;
    let mut wanted = spec_of("web", "tmpl-no-agent");
    wanted.wait.for_ip = false;
    let server = lab.create(wanted.clone()).await.unwrap();
    lab.control.reset_requests();
    let mut grown = cpus(4);
    grown.wait.for_ip = false;
    let now = change(&lab, &server, grown).await.unwrap();
    assert_eq!((now.cpus, now.power_state), (4, PowerState::Running));
    assert_eq!(operations(&lab)[..2], ["clean_shutdown", "hard_shutdown"]);
}

#[tokio::test]
async fn each_power_state_is_reached_from_each() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let path = [
        (Power::Halted, PowerState::Halted),
        (Power::Running, PowerState::Running),
        (Power::Suspended, PowerState::Suspended),
        (Power::Running, PowerState::Running),
        (Power::Suspended, PowerState::Suspended),
        (Power::Halted, PowerState::Halted),
        (Power::Suspended, PowerState::Suspended),
        (Power::Suspended, PowerState::Suspended),
        (Power::Running, PowerState::Running),
        (Power::Running, PowerState::Running),
    ];
    for (wanted, expect) in path {
        let now = change(&lab, &server, power(wanted)).await.unwrap();
        assert_eq!(now.power_state, expect, "{wanted:?}");
        assert_eq!(now.ip_address.is_some(), expect == PowerState::Running, "{wanted:?}");
        assert_eq!(now.resident_host.is_some(), expect == PowerState::Running, "{wanted:?}");
    }
    lab.delete(&server).await.unwrap();
    assert!(lab.traces().await.is_empty());
}

#[tokio::test]
async fn a_held_guest_goes_on() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.pause", serde_json::json!([vm])).await;
    let now = change(&lab, &server, power(Power::Running)).await.unwrap();
    assert_eq!(now.power_state, PowerState::Running);
}

#[tokio::test]
async fn a_server_created_halted_is_marked_leased_and_started_later() {
    let lab = Lab::small().await;
    let mut wanted = spec("web");
    wanted.is_started = false;
    let server = lab.create(wanted).await.unwrap();
    assert_eq!((server.power_state, server.ip_address), (PowerState::Halted, None));
    assert_eq!(server.name, "web");
    assert!(server.managed && server.lease.expires_at.is_some());
    let now = change(&lab, &server, power(Power::Running)).await.unwrap();
    assert!(now.ip_address.is_some());
    lab.delete(&now).await.unwrap();
    assert!(lab.traces().await.is_empty());
}

#[tokio::test]
async fn it_moves_live_and_only_when_it_runs() {
    let lab = two_hosts().await;
    let server = lab.create(spec("web")).await.unwrap();
    let there = server.resident_host.clone().unwrap();
    let other = if there == "xen11" { "xen12" } else { "xen11" };
    lab.control.reset_requests();
    let now = change(&lab, &server, to_host(other)).await.unwrap();
    assert_eq!(operations(&lab), ["pool_migrate"]);
    assert_eq!(now.resident_host.as_deref(), Some(other));
    assert_eq!(now.ip_address, server.ip_address, "the guest noticed nothing");
    lab.control.reset_requests();
    change(&lab, &server, to_host(other)).await.unwrap();
    assert_eq!(operations(&lab), [""; 0], "it is there");
    change(&lab, &server, power(Power::Halted)).await.unwrap();
    lab.control.reset_requests();
    change(&lab, &server, to_host(&there)).await.unwrap();
    assert_eq!(operations(&lab), [""; 0], "what is off is not moved");
    let mut started = power(Power::Running);
    started.host = Some(there.clone());
    let now = change(&lab, &server, started).await.unwrap();
    assert_eq!(now.resident_host, Some(there), "the next start heeds the host");
}

#[tokio::test]
async fn what_needs_room_is_refused_before_anything_is_stopped() {
    let lab = two_hosts().await;
    let server = lab.create(spec("web")).await.unwrap();
    lab.control.reset_requests();
    let mut huge = nothing();
    huge.memory_mib = Some(64 * 1024);
    let failure = change(&lab, &server, huge).await.unwrap_err();
    assert!(matches!(failure.error, Error::Full { .. }), "{}", failure.error);
    assert_eq!(operations(&lab), [""; 0]);
    let now = failure.server.unwrap();
    assert_eq!(
        (now.power_state, now.memory_mib),
        (PowerState::Running, server.memory_mib)
    );
}

#[tokio::test]
async fn a_size_that_fits_beside_what_it_leaves_is_had_on_its_own_host() {
    let lab = two_hosts().await;
    let mut big = spec("web");
    big.memory_mib = Some(6 * 1024);
    let server = lab.create(big).await.unwrap();
    let mut bigger = nothing();
    bigger.memory_mib = Some(10 * 1024);
    let now = change(&lab, &server, bigger).await.unwrap();
    assert_eq!((now.memory_mib, &now.resident_host), (10 * 1024, &server.resident_host));
}

#[tokio::test]
async fn a_refused_start_gives_the_server_its_size_back() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    for method in ["VM.start_on", "VM.set_VCPUs_at_startup", "VM.set_VCPUs_max"] {
        let kind = FaultKind::Error {
            code: "HOST_NOT_ENOUGH_FREE_MEMORY".into(),
            params: vec!["1".into(), "0".into()],
        };
        lab.control.fault(FaultRule::once(method, kind));
        let failure = change(&lab, &server, cpus(4)).await.unwrap_err();
        lab.control.clear_faults();
        assert!(
            matches!(failure.error, Error::PutBack { .. }),
            "{method}: {}",
            failure.error
        );
        let now = failure.server.unwrap();
        assert_eq!(
            (now.power_state, now.cpus),
            (PowerState::Running, server.cpus),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_size_is_given_back_where_only_one_of_the_two_has_room() {
    let lab = Lab::small_with(|world: &mut World| {
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.vms.clear();
        pool.hosts["xen11"].memory_gib = 16;
    })
    .await;
    let mut big = spec("web");
    big.memory_mib = Some(6 * 1024);
    let server = lab.create(big).await.unwrap();
    let mut bigger = nothing();
    bigger.memory_mib = Some(8 * 1024);
    for method in ["VM.set_memory_limits", "VM.start_on"] {
        let kind = FaultKind::Error {
            code: "HOST_NOT_ENOUGH_FREE_MEMORY".into(),
            params: vec!["1".into(), "0".into()],
        };
        lab.control.fault(FaultRule::once(method, kind));
        let failure = change(&lab, &server, bigger.clone()).await.unwrap_err();
        assert!(
            matches!(failure.error, Error::PutBack { .. }),
            "{method}: {}",
            failure.error
        );
        let now = failure.server.unwrap();
        assert_eq!(
            (now.power_state, now.memory_mib),
            (PowerState::Running, 6 * 1024),
            "{method}"
        );
    }
}

#[tokio::test]
async fn of_two_that_grow_at_once_only_as_many_are_stopped_as_there_is_room_for() {
    let lab = Lab::small_with(|world: &mut World| {
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.vms.clear();
        pool.hosts["xen11"].cpus = 10;
    })
    .await;
    let one = lab.create(spec("one")).await.unwrap();
    let two = lab.create(spec("two")).await.unwrap();
    lab.control.reset_requests();
    let (first, second) = tokio::join!(change(&lab, &one, cpus(8)), change(&lab, &two, cpus(8)));
    let stopped = operations(&lab).iter().filter(|name| *name == "clean_shutdown").count();
    assert_eq!(stopped, 1, "{:?}", operations(&lab));
    let refused = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(
        matches!(refused.as_slice(), [failure] if matches!(failure.error, Error::Full { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_start_whose_answers_are_lost_has_the_size_that_was_wanted() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    // The start is carried out; its answer, and each look at what became of it, are lost.
    lab.control.fault(FaultRule::once("VM.start_on", FaultKind::CutAfter));
    lab.control.fault(FaultRule::once(
        "VM.get_power_state",
        FaultKind::Error {
            code: "INTERNAL_ERROR".into(),
            params: vec!["injected".into()],
        },
    ));
    let now = change(&lab, &server, cpus(4)).await.unwrap();
    assert_eq!((now.power_state, now.cpus), (PowerState::Running, 4));
    assert!(now.ip_address.is_some());
}

#[tokio::test]
async fn a_host_that_is_there_no_more_keeps_no_server_from_being_stopped() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    for (wanted, expect) in [
        (Power::Suspended, PowerState::Suspended),
        (Power::Running, PowerState::Suspended),
    ] {
        let mut asked = power(wanted);
        asked.host = Some("gone".to_owned());
        let now = change(&lab, &server, asked).await;
        let now = now.unwrap_or_else(|failure| {
            assert_eq!(failure.error.subject(), Subject::Host, "{}", failure.error);
            failure.server.unwrap()
        });
        assert_eq!(now.power_state, expect, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_move_that_failed_half_way_is_tried_once_more_and_a_refusal_names_the_host() {
    let lab = two_hosts().await;
    let server = lab.create(spec("web")).await.unwrap();
    let there = server.resident_host.clone().unwrap();
    let other = if there == "xen11" { "xen12" } else { "xen11" };
    let failed = FaultKind::Error {
        code: "VM_MIGRATE_FAILED".into(),
        params: vec!["vm".into(), "a".into(), "b".into(), "broken".into()],
    };
    lab.control.fault(FaultRule::once("VM.pool_migrate", failed));
    let now = change(&lab, &server, to_host(other)).await.unwrap();
    assert_eq!(now.resident_host.as_deref(), Some(other));
    lab.control.set_host_enabled("lab1", &there, false).unwrap();
    let failure = change(&lab, &server, to_host(&there)).await.unwrap_err();
    assert_eq!(failure.error.subject(), Subject::Host, "{}", failure.error);
    assert_eq!(failure.server.unwrap().resident_host.as_deref(), Some(other));
}

#[tokio::test]
async fn what_can_never_be_is_said_before() {
    let lab = two_hosts().await;
    let server = lab.create(spec("web")).await.unwrap();
    let check = async |wanted: Reshape, expect: Option<Subject>| {
        let said = lab.fleet.may_reshape(&server.key(), &wanted).await;
        assert_eq!(said.err().map(|error| error.subject()), expect, "{wanted:?}");
    };
    check(cpus(4), None).await;
    check(cpus(16), Some(Subject::Cpus)).await;
    let memory = |memory_mib| Reshape {
        memory_mib: Some(memory_mib),
        ..nothing()
    };
    check(memory(8 * 1024), None).await;
    check(memory(32 * 1024), Some(Subject::Memory)).await;
    check(to_host("xen12"), None).await;
    check(to_host("xen99"), Some(Subject::Host)).await;
    let mut local = spec("local");
    local.storage = Some("hdd".to_owned());
    let local = lab.create(local).await.unwrap();
    let said = lab
        .fleet
        .may_reshape(&local.key(), &to_host("xen12"))
        .await
        .unwrap_err();
    assert_eq!(
        said.subject(),
        Subject::Host,
        "its disk is on a storage of xen11: {said}"
    );
}

/// Every operation of a change is refused, cut before and after, once each. The change is made or is an error; what is told is what is; the same
/// again leads to what was wanted; and nothing but the server is touched.
async fn each_operation_fails_once_in_each_way(start: Reshape, wanted: Reshape) {
    let refused = FaultKind::Error {
        code: "OPERATION_NOT_ALLOWED".into(),
        params: vec!["injected".into()],
    };
    let lab = Lab::small().await;
    let before = lab.world();
    let server = lab.create(spec("web")).await.unwrap();
    change(&lab, &server, start.clone()).await.unwrap();
    lab.control.reset_requests();
    change(&lab, &server, wanted.clone()).await.unwrap();
    let operations = operations(&lab);
    assert!(!operations.is_empty());
    for operation in operations {
        for kind in [refused.clone(), FaultKind::CutBefore, FaultKind::CutAfter] {
            let case = format!("{operation}, {kind:?}");
            change(&lab, &server, start.clone()).await.unwrap();
            let method = format!("VM.{operation}");
            lab.control.fault(FaultRule::once(&method, kind));
            let changed = change(&lab, &server, wanted.clone()).await;
            lab.control.clear_faults();
            let told = changed.unwrap_or_else(|failure| failure.server.unwrap());
            let truth = lab.second().read(&server.key()).await.unwrap().unwrap();
            let of = |server: &Server| (server.cpus, server.memory_mib, server.power_state);
            assert_eq!(of(&told), of(&truth), "{case}");
            let again = change(&lab, &server, wanted.clone()).await.unwrap();
            assert_eq!(wanted.cpus.unwrap_or(again.cpus), again.cpus, "{case}");
            assert_eq!(
                wanted.memory_mib.unwrap_or(again.memory_mib),
                again.memory_mib,
                "{case}"
            );
        }
    }
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

fn sized(count: u32, memory_mib: u64, wanted: Option<Power>) -> Reshape {
    Reshape {
        memory_mib: Some(memory_mib),
        power: wanted,
        ..cpus(count)
    }
}

#[tokio::test]
async fn faults_of_another_size() {
    each_operation_fails_once_in_each_way(sized(2, 2048, None), sized(4, 3072, None)).await;
}

#[tokio::test]
async fn faults_of_suspending_and_resuming() {
    each_operation_fails_once_in_each_way(power(Power::Running), power(Power::Suspended)).await;
    each_operation_fails_once_in_each_way(power(Power::Suspended), power(Power::Running)).await;
}

#[tokio::test]
async fn faults_of_a_start_with_another_size() {
    let (halted, running) = (Some(Power::Halted), Some(Power::Running));
    each_operation_fails_once_in_each_way(sized(4, 3072, halted), sized(2, 2048, running)).await;
}
