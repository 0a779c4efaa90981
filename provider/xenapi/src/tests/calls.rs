//! Reads and writes: what goes out, what comes back, and what is repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use super::said::{Said, host_metrics};
use super::server::{SESSION, Server, failure, ok};
use crate::{Filter, GuestMetrics, MemoryLimits, Outcome, PowerState, Ref, Rights, Template, TextMap, Uuid, Vm, Wire};

const VM: &str = "OpaqueRef:6c1f0a3e-0000-4000-8000-000000000001";

fn vm_record() -> Said {
    Said::from([
        ("uuid", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".into()),
        ("name_label", "web & <db> \"x\" ä \u{1f600} \\".into()),
        ("name_description", "".into()),
        ("power_state", "Running".into()),
        ("is_a_template", false.into()),
        ("is_a_snapshot", false.into()),
        ("is_control_domain", false.into()),
        ("resident_on", "OpaqueRef:host".into()),
        ("memory_static_min", 1_073_741_824.into()),
        ("memory_static_max", 4_294_967_296.into()),
        ("memory_dynamic_min", "4294967296".into()),
        ("memory_dynamic_max", Said::Tagged("i8", "4294967296")),
        ("HVM_shadow_multiplier", 1.0.into()),
        ("VCPUs_max", Said::Tagged("int", "2")),
        ("VCPUs_at_startup", 2.into()),
        ("tags", ["b", "a"].into()),
        (
            "other_config",
            [("mac_seed", "1".into()), ("n", Said::Tagged("string", "s"))].into(),
        ),
        ("VBDs", ["OpaqueRef:b1"].into()),
        ("VIFs", Said::empty_set()),
        ("guest_metrics", "OpaqueRef:NULL".into()),
        ("NVRAM", [("EFI-variables", Said::from(&*"QUFB".repeat(20_000)))].into()),
        ("snapshot_metadata", "<not & \"built\" }]>".into()),
        (
            "a_field_of_tomorrow",
            [("deep", [("er", Said::empty_map())].into())].into(),
        ),
    ])
}

async fn reads_a_record_as_xapi_writes_it(wire: Wire) {
    let server = Server::xapi(
        wire,
        |_| ok(vm_record().with("power_state", Some("Hibernating".into()))),
    )
    .await;
    let record = server.pool().vm().record(&Ref::new(VM)).await.unwrap();
    assert_eq!(record.name_label, "web & <db> \"x\" ä \u{1f600} \\");
    assert_eq!(record.power_state, PowerState::Other("Hibernating".to_owned()));
    assert_eq!(
        (record.memory_static_max, record.memory_dynamic_max, record.vcpus_max),
        (1 << 32, 1 << 32, 2)
    );
    assert_eq!(record.tags, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(record.other_config.get("n").map(String::as_str), Some("s"));
    assert!(record.guest_metrics.is_null() && record.affinity.is_null() && !record.resident_on.is_null());
    assert_eq!(record.vbds.len(), 1);
    let seen = server.seen();
    assert_eq!(server.methods(), ["session.login_with_password", "VM.get_record"]);
    assert_eq!(seen[1].strings(), [SESSION, VM]);
    assert_eq!(seen[0].strings()[3], "dynvm-test/1");
}

async fn asks_what_the_user_may_do_without_showing_the_session(wire: Wire) {
    let server = Server::xapi(wire, |seen| match seen.method.as_str() {
        "session.get_is_local_superuser" => ok(false),
        _ => ok(["VM.add_tags", "vm.add_to_other_config/key:folder"]),
    })
    .await;
    let rights = server.pool().rights().await.unwrap();
    assert!(rights.allow("VM.add_tags") && !rights.allow("VM.add_to_other_config"));
    assert_eq!(server.seen()[2].strings(), [SESSION, SESSION]);

    let superuser = Server::xapi(wire, |_| ok(true)).await;
    assert_eq!(superuser.pool().rights().await.unwrap(), Rights::Superuser);
    assert!(Rights::Superuser.allow("VM.destroy"));

    let broken = Server::xapi(wire, |_| failure(&["HANDLE_INVALID", "session", SESSION])).await;
    let error = broken.pool().rights().await.unwrap_err();
    let secret = SESSION.trim_start_matches("OpaqueRef:");
    assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
}

async fn requests_stay_within_the_limits_of_xapi(wire: Wire) {
    let server = Server::xapi(wire, |_| ok(Said::empty_map())).await;
    let pool = server.pool();
    let vms: Vec<Ref<Vm>> = (0..4000).map(|n| Ref::new(&format!("OpaqueRef:{n:036}"))).collect();
    assert_eq!(pool.vm().records_by_ref(&vms).await.unwrap(), Vec::new());
    for seen in server.seen() {
        assert!(seen.head.len() < 512, "{}", seen.head);
        assert!(
            seen.head.to_ascii_lowercase().contains("content-length"),
            "{}",
            seen.head
        );
        assert!(seen.body.len() < 300 * 1024, "{}", seen.body.len());
    }
    assert_eq!(server.count("VM.get_all_records_where"), 3);
    let long = "x".repeat(400 * 1024);
    let error = pool.vm().set_name_label(&vms[0], &long).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(server.count("VM.set_name_label"), 0);
}

async fn lists_by_filter_and_streams(wire: Wire) {
    let server = Server::xapi(wire, |_| {
        ok([("OpaqueRef:a", vm_record()), ("OpaqueRef:b", vm_record())])
    })
    .await;
    let pool = server.pool();
    let filter = Filter::is_false("is_a_template").and(Filter::is_false("is_control_domain"));
    let list = pool.vm().records_where(&filter).await.unwrap();
    assert_eq!(
        list.iter().map(|(vm, _)| vm.as_str()).collect::<Vec<_>>(),
        ["OpaqueRef:a", "OpaqueRef:b"]
    );
    let mut names = Vec::new();
    pool.vm()
        .each_where(&filter, Duration::from_secs(5), |vm, record| {
            names.push((vm, record.uuid))
        })
        .await
        .unwrap();
    assert_eq!(names.len(), 2);
    let expected = r#"((field "is_a_template"="false") and (field "is_control_domain"="false"))"#;
    assert_eq!(server.seen()[1].strings()[1], expected);
}

async fn a_listing_that_misses_a_field_fails_whole_and_names_it(wire: Wire) {
    let server = Server::xapi(wire, |_| {
        let bad = vm_record().with("power_state", None);
        ok([("OpaqueRef:a", vm_record()), ("OpaqueRef:bad", bad)])
    })
    .await;
    let error = server.pool().vm().all_records().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("VM OpaqueRef:bad") && text.contains("power_state") && text.contains("lab1"),
        "{text}"
    );
}

async fn fields_that_old_releases_lack_have_defaults(wire: Wire) {
    let server = Server::xapi(wire, |_| {
        ok([
            ("uuid", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".into()),
            ("networks", Said::empty_map()),
        ])
    })
    .await;
    let guest = server
        .pool()
        .guest_metrics()
        .record(&Ref::<GuestMetrics>::new("OpaqueRef:g"))
        .await
        .unwrap();
    assert!(guest.networks.is_empty() && !guest.pv_drivers_detected);
}

async fn reads_times_numbers_and_sets(wire: Wire) {
    let server = Server::xapi(wire, |seen| match seen.method.as_str() {
        "host.get_servertime" => ok(Said::Time("20260821T12:34:56Z")),
        "host.compute_free_memory" => ok(8_589_934_592),
        "VM.get_by_name_label" => ok(["OpaqueRef:a"]),
        "VM.get_by_uuid" => ok("OpaqueRef:a"),
        "VM.get_all_where" => ok(Said::empty_set()),
        "host_metrics.get_record" => ok(host_metrics(1)),
        other => panic!("{other}"),
    })
    .await;
    let pool = server.pool();
    let host = Ref::new("OpaqueRef:h");
    assert_eq!(pool.host().servertime(&host).await.unwrap().as_second(), 1_787_315_696);
    assert_eq!(pool.host().compute_free_memory(&host).await.unwrap(), 8 << 30);
    assert_eq!(pool.vm().by_name_label("any \"name\"").await.unwrap().len(), 1);
    assert_eq!(
        pool.vm().by_uuid(Uuid::from_bytes([7; 16])).await.unwrap().as_str(),
        "OpaqueRef:a"
    );
    assert!(pool.vm().refs_where(&Filter::none()).await.unwrap().is_empty());
    assert_eq!(
        pool.host_metrics()
            .record(&Ref::new("OpaqueRef:m"))
            .await
            .unwrap()
            .memory_free,
        1
    );
}

async fn writes_what_the_calls_say(wire: Wire) {
    let server = Server::xapi(wire, |seen| match seen.method.as_str() {
        "VM.clone" => ok("OpaqueRef:new"),
        _ => ok(""),
    })
    .await;
    let pool = server.pool();
    let vm = Ref::new(VM);
    let limit = Duration::from_secs(10);
    assert_eq!(
        pool.vm().clone_to(&vm, "dynvm-new-1", limit).await.unwrap().as_str(),
        "OpaqueRef:new"
    );
    pool.vm().set_is_a_template(&vm, Template::No).await.unwrap();
    pool.vm()
        .set_other_config(&vm, &TextMap::from([("a".into(), "<1>".into())]))
        .await
        .unwrap();
    pool.vm()
        .set_tags(&vm, &BTreeSet::from(["t&t".to_owned()]))
        .await
        .unwrap();
    let limits = MemoryLimits {
        static_min: 1,
        static_max: 4,
        dynamic_min: 2,
        dynamic_max: 3,
    };
    pool.vm().set_memory_limits(&vm, limits).await.unwrap();
    pool.vm().start(&vm, limit).await.unwrap();
    let bodies: Vec<String> = server.seen().into_iter().map(|seen| seen.body).collect();
    let [flag, map, set, flags] = match wire {
        Wire::Json => ["false],", r#"{"a":"<1>"}],"#, r#"["t&t"]],"#, "false,false],\"id\":1}"],
        Wire::Xml => [
            "<boolean>0</boolean>",
            "<member><name>a</name><value><string>&lt;1&gt;</string></value></member>",
            "<array><data><value><string>t&amp;t</string></value></data></array>",
            "<param><value><boolean>0</boolean></value></param><param><value><boolean>0</boolean></value></param></params></methodCall>",
        ],
    };
    for (at, expected) in [(2, flag), (3, map), (4, set), (6, flags)] {
        assert!(bodies[at].contains(expected), "{}", bodies[at]);
    }
    assert_eq!(server.seen()[5].strings()[2..], ["1", "4", "2", "3"]);
}

async fn failures_keep_code_parameters_and_advice(wire: Wire) {
    let server = Server::xapi(wire, |_| {
        failure(&["SR_BACKEND_FAILURE_44", "", "There is insufficient space", ""])
    })
    .await;
    let error = server
        .pool()
        .vm()
        .clone_to(&Ref::new(VM), "x", Duration::from_secs(5))
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
    assert!(error.is_failure(crate::Failure::is_storage_full));
    assert_eq!(
        error.to_string(),
        format!("pool lab1: VM.clone of {VM}: SR_BACKEND_FAILURE_44 [, There is insufficient space, ]")
    );
    assert_eq!(
        error.advice(),
        "the storage repository is full: free space or use another one"
    );
    assert_eq!(server.count("VM.clone"), 1);
}

async fn gone_is_told_apart_by_object(wire: Wire) {
    let server = Server::xapi(wire, |_| failure(&["HANDLE_INVALID", "VM", VM])).await;
    let error = server.pool().vm().destroy(&Ref::new(VM)).await.unwrap_err();
    assert!(
        error.is_gone()
            && error.is_gone_object(&Ref::<Vm>::new(VM))
            && !error.is_gone_object(&Ref::<Vm>::new("OpaqueRef:x"))
    );
}

async fn counts_requests_bytes_and_codes(wire: Wire) {
    let server = Server::xapi(wire, |seen| match seen.method.as_str() {
        "VM.start" => failure(&["VM_BAD_POWER_STATE", VM, "halted", "running"]),
        _ => ok(true),
    })
    .await;
    let pool = server.pool();
    let _ = pool.vm().start(&Ref::new(VM), Duration::from_secs(5)).await;
    pool.vm().add_tags(&Ref::new(VM), "t").await.unwrap();
    let tallies = pool.counters().snapshot();
    let codes: Vec<(&str, &str, u64)> = tallies
        .iter()
        .map(|tally| (tally.method, tally.code.as_str(), tally.requests))
        .collect();
    assert_eq!(
        codes,
        [
            ("VM.add_tags", "ok", 1),
            ("VM.start", "VM_BAD_POWER_STATE", 1),
            ("session.login_with_password", "ok", 1)
        ]
    );
    assert!(tallies.iter().all(|tally| tally.bytes_in > 30 && tally.bytes_out > 30));
    assert_eq!(pool.counters().requests("VM.start"), 1);
    assert_eq!(pool.counters().total(), 3);
}

async fn connections_are_kept(wire: Wire) {
    let server = Server::xapi(wire, |_| ok("")).await;
    let pool = server.pool();
    for _ in 0..5 {
        pool.vm().add_tags(&Ref::new(VM), "t").await.unwrap();
    }
    assert!(server.seen().iter().all(|seen| seen.connection == 0));
}

over_both_wires!(
    reads_a_record_as_xapi_writes_it,
    asks_what_the_user_may_do_without_showing_the_session,
    requests_stay_within_the_limits_of_xapi,
    lists_by_filter_and_streams,
    a_listing_that_misses_a_field_fails_whole_and_names_it,
    fields_that_old_releases_lack_have_defaults,
    reads_times_numbers_and_sets,
    writes_what_the_calls_say,
    failures_keep_code_parameters_and_advice,
    gone_is_told_apart_by_object,
    counts_requests_bytes_and_codes,
    connections_are_kept,
);
