//! Reads and writes: what goes out, what comes back, and what is repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use super::server::{EMPTY_MAP, EMPTY_SET, NO, SESSION, Server, YES, failure, host_metrics, ok, record};
use crate::{Filter, GuestMetrics, MemoryLimits, Outcome, PowerState, Ref, Rights, Template, TextMap, Uuid, Vm};

const VM: &str = "OpaqueRef:6c1f0a3e-0000-4000-8000-000000000001";

fn vm_record(extra: &[(&str, &str)]) -> String {
    let text = |text: &str| format!("<value>{text}</value>");
    let base = [
        ("uuid", text("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")),
        ("name_label", text("web &amp; &lt;db&gt; &quot;x&quot; &#228; ä")),
        ("name_description", text("")),
        ("power_state", text("Running")),
        ("is_a_template", NO.to_owned()),
        ("is_a_snapshot", NO.to_owned()),
        ("is_control_domain", NO.to_owned()),
        ("resident_on", text("OpaqueRef:host")),
        ("memory_static_min", text("1073741824")),
        ("memory_static_max", text("4294967296")),
        ("memory_dynamic_min", text("4294967296")),
        ("memory_dynamic_max", "<value><i8>4294967296</i8></value>".to_owned()),
        ("HVM_shadow_multiplier", "<value><double>1</double></value>".to_owned()),
        ("VCPUs_max", "<value><int>2</int></value>".to_owned()),
        ("VCPUs_at_startup", text("2")),
        (
            "tags",
            "<value><array><data><value>b</value><value>a</value></data></array></value>".to_owned(),
        ),
        (
            "other_config",
            record(&[
                ("mac_seed", "<value>1</value>"),
                ("n", "<value><string>s</string></value>"),
            ]),
        ),
        (
            "VBDs",
            "<value><array><data><value>OpaqueRef:b1</value></data></array></value>".to_owned(),
        ),
        ("VIFs", EMPTY_SET.to_owned()),
        ("guest_metrics", text("OpaqueRef:NULL")),
        ("NVRAM", record(&[("EFI-variables", &text(&"QUFB".repeat(20_000)))])),
        ("snapshot_metadata", text("&lt;not &amp; built&gt;")),
        (
            "a_field_of_tomorrow",
            record(&[("deep", &record(&[("er", EMPTY_MAP)]))]),
        ),
    ];
    let mut members: Vec<(&str, &str)> = base.iter().map(|(name, value)| (*name, value.as_str())).collect();
    members.retain(|(name, _)| extra.iter().all(|(other, _)| other != name));
    members.extend(extra.iter().filter(|(_, value)| !value.is_empty()));
    record(&members)
}

#[tokio::test]
async fn reads_a_record_as_xapi_writes_it() {
    let server = Server::xapi(|_| ok(&vm_record(&[("power_state", "<value>Hibernating</value>")]))).await;
    let record = server.pool().vm().record(&Ref::new(VM)).await.unwrap();
    assert_eq!(record.name_label, "web & <db> \"x\" ä ä");
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

#[tokio::test]
async fn asks_what_the_user_may_do_without_showing_the_session() {
    let server = Server::xapi(|seen| match seen.method.as_str() {
        "session.get_is_local_superuser" => ok(NO),
        _ => ok("<value><array><data><value>VM.add_tags</value><value>vm.add_to_other_config/key:folder</value></data></array></value>"),
    })
    .await;
    let rights = server.pool().rights().await.unwrap();
    assert!(rights.allow("VM.add_tags") && !rights.allow("VM.add_to_other_config"));
    assert_eq!(server.seen()[2].strings(), [SESSION, SESSION]);

    let superuser = Server::xapi(|_| ok(YES)).await;
    assert_eq!(superuser.pool().rights().await.unwrap(), Rights::Superuser);
    assert!(Rights::Superuser.allow("VM.destroy"));

    let broken = Server::xapi(|_| failure(&["HANDLE_INVALID", "session", SESSION])).await;
    let error = broken.pool().rights().await.unwrap_err();
    let secret = SESSION.trim_start_matches("OpaqueRef:");
    assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
}

#[tokio::test]
async fn requests_stay_within_the_limits_of_xapi() {
    let server = Server::xapi(|_| ok(EMPTY_MAP)).await;
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

#[tokio::test]
async fn lists_by_filter_and_streams() {
    let server = Server::xapi(|_| {
        let one = vm_record(&[]);
        ok(&record(&[("OpaqueRef:a", &one), ("OpaqueRef:b", &one)]))
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
    let expected = "((field &quot;is_a_template&quot;=&quot;false&quot;) and (field &quot;is_control_domain&quot;=&quot;false&quot;))";
    assert_eq!(server.seen()[1].strings()[1], expected);
}

#[tokio::test]
async fn a_listing_that_misses_a_field_fails_whole_and_names_it() {
    let server = Server::xapi(|_| {
        let (good, bad) = (vm_record(&[]), vm_record(&[("power_state", "")]));
        ok(&record(&[("OpaqueRef:a", &good), ("OpaqueRef:bad", &bad)]))
    })
    .await;
    let error = server.pool().vm().all_records().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("VM OpaqueRef:bad") && text.contains("power_state") && text.contains("lab1"),
        "{text}"
    );
}

#[tokio::test]
async fn fields_that_old_releases_lack_have_defaults() {
    let guest = record(&[
        ("uuid", "<value>0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9</value>"),
        ("networks", EMPTY_MAP),
    ]);
    let server = Server::xapi(move |_| ok(&guest)).await;
    let guest = server
        .pool()
        .guest_metrics()
        .record(&Ref::<GuestMetrics>::new("OpaqueRef:g"))
        .await
        .unwrap();
    assert!(guest.networks.is_empty() && !guest.pv_drivers_detected);
}

#[tokio::test]
async fn reads_times_numbers_and_sets() {
    let server = Server::xapi(|seen| match seen.method.as_str() {
        "host.get_servertime" => ok("<value><dateTime.iso8601>20260821T12:34:56Z</dateTime.iso8601></value>"),
        "host.compute_free_memory" => ok("<value>8589934592</value>"),
        "VM.get_by_name_label" => ok("<value><array><data><value>OpaqueRef:a</value></data></array></value>"),
        "VM.get_by_uuid" => ok("<value>OpaqueRef:a</value>"),
        "VM.get_all_where" => ok("<value><array/></value>"),
        "host_metrics.get_record" => ok(&host_metrics("1")),
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

#[tokio::test]
async fn writes_what_the_calls_say() {
    let server = Server::xapi(|seen| match seen.method.as_str() {
        "VM.clone" => ok("<value>OpaqueRef:new</value>"),
        _ => ok("<value></value>"),
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
    assert!(bodies[2].contains("<boolean>0</boolean>"), "{}", bodies[2]);
    assert!(
        bodies[3].contains("<member><name>a</name><value><string>&lt;1&gt;</string></value></member>"),
        "{}",
        bodies[3]
    );
    assert!(
        bodies[4].contains("<array><data><value><string>t&amp;t</string></value></data></array>"),
        "{}",
        bodies[4]
    );
    assert_eq!(server.seen()[5].strings()[2..], ["1", "4", "2", "3"]);
    assert!(bodies[6].ends_with("<param><value><boolean>0</boolean></value></param><param><value><boolean>0</boolean></value></param></params></methodCall>"));
}

#[tokio::test]
async fn failures_keep_code_parameters_and_advice() {
    let server = Server::xapi(|_| failure(&["SR_BACKEND_FAILURE_44", "", "There is insufficient space", ""])).await;
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

#[tokio::test]
async fn gone_is_told_apart_by_object() {
    let server = Server::xapi(|_| failure(&["HANDLE_INVALID", "VM", VM])).await;
    let error = server.pool().vm().destroy(&Ref::new(VM)).await.unwrap_err();
    assert!(
        error.is_gone()
            && error.is_gone_object(&Ref::<Vm>::new(VM))
            && !error.is_gone_object(&Ref::<Vm>::new("OpaqueRef:x"))
    );
}

#[tokio::test]
async fn counts_requests_bytes_and_codes() {
    let server = Server::xapi(|seen| match seen.method.as_str() {
        "VM.start" => failure(&["VM_BAD_POWER_STATE", VM, "halted", "running"]),
        _ => ok(YES),
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
    assert!(
        tallies
            .iter()
            .all(|tally| tally.bytes_in > 100 && tally.bytes_out > 100)
    );
    assert_eq!(pool.counters().requests("VM.start"), 1);
    assert_eq!(pool.counters().total(), 3);
}

#[tokio::test]
async fn connections_are_kept() {
    let server = Server::xapi(|_| ok("<value></value>")).await;
    let pool = server.pool();
    for _ in 0..5 {
        pool.vm().add_tags(&Ref::new(VM), "t").await.unwrap();
    }
    assert!(server.seen().iter().all(|seen| seen.connection == 0));
}
