//! What clients see on the wire: HTTP limits, dialects, sessions, members, faults.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::wire::Wire;
use lab::{Lab, WORLD};
use serde_json::json;
use sim::{ClockMode, FaultKind, FaultRule, HoldPoint, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn lab() -> (Lab, String) {
    let lab = Lab::start(ClockMode::Auto).await;
    let url = lab.simulator.pools()[0].url.clone();
    (lab, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_has_its_limits() {
    let (_lab, url) = lab().await;
    let wide = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "y".repeat(1000)
    );
    let cases: &[(&[u8], u16)] = &[
        (wide.as_bytes(), 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 500),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            500,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 307201\r\n\r\n", 500),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 500),
        (b"POST /jsonrpc HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 500),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ];
    for (request, status) in cases {
        let mut wire = Wire::open(&url).await;
        let answer = wire.send(request).await.unwrap();
        assert_eq!(answer.status, *status, "{}", String::from_utf8_lossy(request));
        assert!(
            answer.head.contains("connection: close") && answer.head.contains("text/html"),
            "{}",
            answer.head
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dialects_on_one_connection() {
    let (_lab, url) = lab().await;
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let v1 = json!({"method": "VM_get_uuid", "params": [session, "OpaqueRef:x"], "id": "i"}).to_string();
    let answer = wire.post("/jsonrpc", &v1).await.unwrap();
    assert!(answer.head.contains("content-type: application/json"));
    assert!(answer.head.contains("cache-control: no-cache, no-store"));
    assert_eq!(
        answer.text(),
        r#"{"result":null,"error":["HANDLE_INVALID","VM","OpaqueRef:x"],"id":"i"}"#
    );
    let v2 = wire.json("VM.get_uuid", json!([session, "OpaqueRef:x"])).await.unwrap();
    let expected = json!({"code": 1, "message": "HANDLE_INVALID", "data": ["VM", "OpaqueRef:x"]});
    assert_eq!(v2["error"], expected);
    let call = |method: &str, params: &str| {
        format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
        )
    };
    let param = format!("<param><value><string>{session}</string></value></param>");
    for path in ["/", "/RPC2", "/anything"] {
        let answer = wire.post(path, &call("event.get_current_id", &param)).await.unwrap();
        assert!(answer.head.contains("content-type: text/xml"));
        let text = answer.text();
        let value = text
            .split("<name>Value</name><value>")
            .nth(1)
            .unwrap()
            .split("</value>")
            .next()
            .unwrap();
        assert!(value.parse::<u64>().is_ok(), "an untyped integer: {text}");
    }
    let listed = wire.post("/", &call("system.listMethods", "")).await.unwrap().text();
    assert!(listed.contains("<value>VM.start</value>") && !listed.contains("Status"));
    let batch = wire
        .post(
            "/",
            &call(
                "event.from",
                &format!(
                    "{param}<param><value><array><data><value>task</value></data></array></value></param>\
         <param><value></value></param><param><value><double>0.0</double></value></param>"
                ),
            ),
        )
        .await
        .unwrap()
        .text();
    assert!(batch.contains("<name>vm</name><value><i4>"), "{batch}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_close_when_asked_to() {
    let (_lab, url) = lab().await;
    for (head, kept) in [
        ("HTTP/1.1\r\nHost: x", true),
        ("HTTP/1.1\r\nHost: x\r\nConnection: close", false),
        ("HTTP/1.0", false),
    ] {
        let mut wire = Wire::open(&url).await;
        let body = json!({"method": "VM.x", "params": [], "id": 1}).to_string();
        let request = format!("POST /jsonrpc {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = wire.send(request.as_bytes()).await.unwrap();
        assert_eq!(answer.head.contains("connection: close"), !kept, "{head}");
        assert_eq!(wire.send(request.as_bytes()).await.is_some(), kept, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_and_chained() {
    let (lab, url) = lab().await;
    let (mut a, mut b) = (Wire::open(&url).await, Wire::open(&url).await);
    let session = a.login("root", "dynvm-sim").await;
    lab.control.reset_requests();
    let first = lab.control.request_index() + 1;
    lab.control.hold(first, HoldPoint::Before);
    let slow = a.json("VM.get_all", json!([session]));
    let quick = async {
        lab.control.held(first).await;
        for _ in 0..3 {
            b.json("host.get_all", json!([session])).await.unwrap();
        }
        lab.control.release(first);
    };
    tokio::join!(slow, quick);
    let counts = lab.control.request_counts();
    assert_eq!((counts["VM.get_all"], counts["host.get_all"]), (1, 3));
    assert_eq!(lab.control.longest_chain(), 3, "the slow one ran beside the others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_roles_and_members() {
    let (lab, url) = lab().await;
    let mut wire = Wire::open(&url).await;
    let wrong = wire
        .json("session.login_with_password", json!(["root", "x"]))
        .await
        .unwrap();
    assert_eq!(wrong["error"]["message"], "SESSION_AUTHENTICATION_FAILED");
    assert!(lab.control.now().as_secs() >= 5, "a bad password costs five seconds");
    let reader = wire.login("reader", "r").await;
    let vm = lab.by_name("VM", "foreign").await;
    let denied = wire.json("VM.hard_shutdown", json!([reader, vm])).await.unwrap();
    assert_eq!(denied["error"]["message"], "RBAC_PERMISSION_DENIED");
    assert_eq!(denied["error"]["data"][0], "vm.hard_shutdown");
    assert!(
        wire.json("VM.get_all_records_where", json!([reader, "true"]))
            .await
            .unwrap()["result"]
            .is_object()
    );
    let admin = wire.login("admin", "a").await;
    let host = lab.by_name("host", "h1").await;
    let denied = wire
        .json("VM.start_on", json!([admin, vm, host, false, false]))
        .await
        .unwrap();
    assert_eq!(denied["error"]["data"][0], "vm.start_on");
    wire.json("session.logout", json!([admin])).await.unwrap();
    let ended = wire.json("VM.get_all", json!([admin])).await.unwrap();
    assert_eq!(
        ended["error"],
        json!({"code": 1, "message": "SESSION_INVALID", "data": [admin]})
    );
    let member = lab.simulator.pools()[0].member_urls[1].clone();
    let slave = Wire::open(&member)
        .await
        .json("session.login_with_password", json!(["root", "dynvm-sim"]))
        .await;
    let address = url.trim_start_matches("http://");
    assert_eq!(slave.unwrap()["error"]["data"], json!([address]));
    lab.control.set_coordinator("one", "h2").unwrap();
    Wire::open(&member).await.login("root", "dynvm-sim").await;
    assert_eq!(lab.simulator.pools()[0].url, member);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_sessions_and_tasks_and_cuts_calls() {
    let (lab, url) = lab().await;
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let poll = json!([session, ["vm"], "", 0.0]);
    let token = wire.json("event.from", poll).await.unwrap()["result"]["token"].clone();
    let waiting = json!([session, ["task/OpaqueRef:none"], token, 60.0]);
    let parked = wire.json("event.from", waiting);
    let restart = async {
        while lab.control.events()["one"].calls < 2 {
            tokio::task::yield_now().await;
        }
        lab.control.restart_toolstack("one").unwrap();
    };
    let (cut, ()) = tokio::join!(parked, restart);
    assert!(cut.is_none_or(|answer| answer["error"]["message"] == "SESSION_INVALID"));
    let mut wire = Wire::open(&url).await;
    let ended = wire.json("VM.get_all", json!([session])).await.unwrap();
    assert_eq!(ended["error"]["data"], json!([session]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_midst_of_a_start_leaves_nothing_plugged() {
    // The devices are plugged for a part of the start only, which has to last a while.
    let lab = Lab::start(ClockMode::Scaled(20.0)).await;
    let vm = lab.clone_of("linux", "web").await;
    let drive = lab.record("VM", &vm).await["VBDs"][0].clone();
    let is_plugged = async || lab.call("VBD.get_currently_attached", vec![drive.clone()]).await == json!(true);
    let mut wire = Wire::open(&lab.simulator.pools()[0].url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let plugged = async {
        while !is_plugged().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = wire.json("VM.start", json!([session, vm, false, false])) => panic!("never seen half-way: {ended:?}"),
        () = plugged => lab.control.restart_toolstack("one").unwrap(),
    }
    assert_eq!(lab.text("VM.get_power_state", vec![json!(vm)]).await, "Halted");
    assert!(!is_plugged().await);
    lab.destroy(&vm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_whose_caller_hangs_up_ends_as_cut() {
    let (lab, url) = lab().await;
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let now = json!([session, ["vm"], "", 0.0]);
    let token = wire.json("event.from", now).await.unwrap()["result"]["token"].clone();
    let waiting = json!([session, ["task/OpaqueRef:none"], token, 60.0]);
    let begun = async {
        while lab.control.events()["one"].calls < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = wire.json("event.from", waiting) => panic!("nothing happened that it could tell"),
        () = begun => {}
    }
    drop(wire);
    let last = || lab.control.requests().pop().unwrap();
    while last().ended_us.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!((last().method.as_str(), last().outcome.as_str()), ("event.from", "CUT"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_a_clone_leaves_its_disk_without_a_vm() {
    let lab = Lab::start(ClockMode::Manual).await;
    let count = async |cls: &str| {
        lab.call(&format!("{cls}.get_all"), vec![])
            .await
            .as_array()
            .unwrap()
            .len()
    };
    let (vms, disks) = (count("VM").await, count("VDI").await);
    let world = World::from_hcl(WORLD).unwrap();
    assert_eq!(world.pools["one"].templates["linux"].disks_gib.len(), 1);
    let template = lab.by_name("VM", "linux").await;
    let sr = lab.by_name("SR", "thin").await;
    let extra = json!({"SR": sr, "virtual_size": 1 << 30, "type": "user", "sharable": false, "read_only": false, "other_config": {}});
    let making = lab.text("Async.VDI.create", vec![extra]).await;
    lab.control.advance(std::time::Duration::from_secs(2)).await.unwrap();
    let made = lab.text("task.get_result", vec![json!(making)]).await;
    let disk = made
        .trim_start_matches("<value>")
        .trim_end_matches("</value>")
        .to_owned();
    let vbd = json!({"VM": template, "VDI": disk, "userdevice": "1", "bootable": false, "mode": "RW", "type": "Disk",
        "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}});
    lab.call("VBD.create", vec![vbd]).await;
    lab.text("Async.VM.clone", vec![json!(template), json!("x")]).await;
    lab.control
        .advance(std::time::Duration::from_millis(2500))
        .await
        .unwrap();
    lab.control.restart_toolstack("one").unwrap();
    lab.control.advance(std::time::Duration::from_secs(20)).await.unwrap();
    assert_eq!(count("VM").await, vms, "no VM");
    assert_eq!(
        count("VDI").await,
        disks + 3,
        "the extra disk, a base, and the clone's first disk"
    );
    assert_eq!(lab.record("VM", &template).await["current_operations"], json!({}));
    assert_eq!(lab.record("SR", &sr).await["current_operations"], json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_strike_as_told() {
    let (lab, url) = lab().await;
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let vm = lab.by_name("VM", "foreign").await;
    let rename = |name: &str| json!([session, vm, name]);
    let rule = |kind| lab.control.fault(FaultRule::once("VM.set_name_label", kind));
    let name = async || lab.text("VM.get_name_label", vec![json!(vm)]).await;

    rule(FaultKind::Error {
        code: "INTERNAL_ERROR".to_owned(),
        params: vec!["boo".to_owned()],
    });
    let answer = wire.json("VM.set_name_label", rename("a")).await.unwrap();
    assert_eq!(
        (&answer["error"]["data"], name().await),
        (&json!(["boo"]), "foreign".to_owned())
    );
    rule(FaultKind::CutBefore);
    assert!(wire.json("VM.set_name_label", rename("a")).await.is_none());
    assert_eq!(name().await, "foreign");
    let mut wire = Wire::open(&url).await;
    rule(FaultKind::CutAfter);
    assert!(wire.json("VM.set_name_label", rename("b")).await.is_none());
    assert_eq!(name().await, "b");
    let mut wire = Wire::open(&url).await;
    rule(FaultKind::Truncate(5));
    assert!(wire.json("VM.set_name_label", rename("c")).await.is_none());
    assert_eq!(name().await, "c");
    let mut wire = Wire::open(&url).await;
    rule(FaultKind::Garbage(b"<>".to_vec()));
    let body = json!({"method": "VM.set_name_label", "params": rename("d"), "id": 1}).to_string();
    assert_eq!(wire.post("/jsonrpc", &body).await.unwrap().body, b"<>");
    rule(FaultKind::Http500);
    assert_eq!(wire.post("/jsonrpc", &body).await.unwrap().status, 500);
    let mut wire = Wire::open(&url).await;
    rule(FaultKind::SessionInvalid);
    let answer = wire.json("VM.set_name_label", rename("e")).await.unwrap();
    assert_eq!(answer["error"]["message"], "SESSION_INVALID");
    assert_eq!(name().await, "c");
    let outcomes: Vec<_> = lab.control.requests().into_iter().map(|r| r.outcome).collect();
    let expected = [
        "OK",
        "INTERNAL_ERROR",
        "CUT",
        "CUT",
        "CUT",
        "GARBAGE",
        "HTTP 500",
        "SESSION_INVALID",
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_toolstack_restarts_or_moves_at_one_request() {
    let (lab, url) = lab().await;
    let vm = lab.by_name("VM", "foreign").await;
    for (kind, name) in [(FaultKind::Restart, "foreign"), (FaultKind::RestartAfter, "b")] {
        let mut wire = Wire::open(&url).await;
        let session = wire.login("root", "dynvm-sim").await;
        lab.control.fault(FaultRule::once("VM.set_name_label", kind));
        assert!(
            wire.json("VM.set_name_label", json!([session, vm, "b"]))
                .await
                .is_none()
        );
        assert_eq!(lab.text("VM.get_name_label", vec![json!(vm)]).await, name);
        let answer = Wire::open(&url)
            .await
            .json("VM.get_name_label", json!([session, vm]))
            .await;
        assert_eq!(answer.unwrap()["error"]["message"], "SESSION_INVALID");
    }
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    lab.control.fault(FaultRule::once(
        "VM.set_name_label",
        FaultKind::Coordinator("h2".to_owned()),
    ));
    assert!(
        wire.json("VM.set_name_label", json!([session, vm, "c"]))
            .await
            .is_none()
    );
    let answer = Wire::open(&url)
        .await
        .json("VM.get_name_label", json!([session, vm]))
        .await;
    assert_eq!(answer.unwrap()["error"]["message"], "HOST_IS_SLAVE");
    assert_eq!(lab.text("VM.get_name_label", vec![json!(vm)]).await, "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_and_held_requests() {
    let (lab, url) = lab().await;
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let vm = lab.by_name("VM", "foreign").await;
    let next = lab.control.request_index() + 1;
    lab.control.hold(next, HoldPoint::After);
    let call = wire.json("VM.set_name_label", json!([session, vm, "held"]));
    let release = async {
        lab.control.held(next).await;
        assert_eq!(
            lab.text("VM.get_name_label", vec![json!(vm)]).await,
            "held",
            "it has acted"
        );
        lab.control.release(next);
    };
    let (answer, ()) = tokio::join!(call, release);
    assert_eq!(answer.unwrap()["result"], "");
    lab.control.fault(FaultRule::once("VM.get_*", FaultKind::Hang));
    let call = wire.json("VM.get_uuid", json!([session, vm]));
    let clear = async {
        while !lab.control.requests().iter().any(|r| r.outcome == "HANGING") {
            tokio::task::yield_now().await;
        }
        lab.control.clear_faults();
    };
    let (answer, ()) = tokio::join!(call, clear);
    assert!(answer.is_none(), "cut without an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_pools_have_a_certificate_per_host() {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

    let mut world = World::from_hcl(WORLD).unwrap();
    world.pools.values_mut().for_each(|pool| pool.tls = true);
    let lab = Lab::with(world, ClockMode::Auto).await;
    let pool = lab.simulator.pools().remove(0);
    assert_eq!(pool.member_fingerprints.len(), 2);
    assert_ne!(pool.member_fingerprints[0], pool.member_fingerprints[1]);
    let connect = async |pem: &str| {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = std::sync::Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(pool.url.trim_start_matches("https://"))
            .await
            .unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
            .connect(name, stream)
            .await
    };
    let pem = pool.certificate_pem.clone().unwrap();
    let mut stream = connect(&pem).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    lab.control.change_certificate("one").unwrap();
    assert!(
        connect(&pem).await.is_err(),
        "the old certificate is not trusted any more"
    );
    assert_ne!(
        lab.simulator.pools()[0].certificate_fingerprint,
        pool.certificate_fingerprint
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_severed_is_heard_no_more_and_hears_nothing() {
    let (lab, url) = lab().await;
    let vm = lab.clone_of("linux", "before").await;
    let mut killed = Wire::open(&url).await;
    let session = killed.login("root", "dynvm-sim").await;
    let mut other = Wire::open(&url).await;
    let login = json!(["root", "dynvm-sim", "1.0", "other"]);
    let others = other.json("session.login_with_password", login).await.unwrap();
    // One call is in hand when it happens: it is carried out, and nobody is told.
    let index = lab.control.request_index() + 1;
    lab.control.hold(index, HoldPoint::Before);
    let in_hand = killed.json("VM.set_name_label", json!([session, vm, "after"]));
    let death = async {
        lab.control.held(index).await;
        lab.control.sever("test");
        lab.control.release(index);
    };
    assert_eq!(tokio::join!(in_hand, death).0, None);
    assert_eq!(lab.record("VM", &vm).await["name_label"], "after");
    let mut again = Wire::open(&url).await;
    assert_eq!(again.json("VM.get_all", json!([session])).await, None);
    let login = json!(["root", "dynvm-sim", "1.0", "test"]);
    let mut again = Wire::open(&url).await;
    assert_eq!(again.json("session.login_with_password", login).await, None);
    let all = other.json("VM.get_all", json!([others["result"]])).await.unwrap();
    assert!(all["result"].is_array(), "{all}");
}
