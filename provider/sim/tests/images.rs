//! Disk images that come by PUT: who may send them, where they go, and what can go wrong with them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::Lab;
use lab::wire::Wire;
use serde_json::{Value as Json, json};
use sim::{ClockMode, FaultKind, FaultRule, World};

/// An image of five bytes for an SR of the second host, with these headers.
fn put(sr: &str, task: &str, headers: &str) -> Vec<u8> {
    let target = format!("/import_raw_vdi?sr_id={sr}&format=raw&task_id={task}");
    format!("PUT {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\nContent-Length: 5\r\n\r\nhello").into_bytes()
}

async fn task(lab: &Lab) -> String {
    lab.text("task.create", vec![json!("import"), json!("")]).await
}

/// The record of a task that has ended.
async fn ended(lab: &Lab, task: &str) -> Json {
    let mut token = String::new();
    while lab.text("task.get_status", vec![json!(task)]).await == "pending" {
        let wanted = json!([format!("task/{task}")]);
        let batch = lab.call("event.from", vec![wanted, json!(token), json!(10.0)]).await;
        token = batch["token"].as_str().unwrap().to_owned();
    }
    lab.record("task", task).await
}

/// The second host of a lab, a session, and an SR that only this host sees.
async fn second_host(lab: &Lab) -> (String, String, String) {
    let pool = lab.simulator.pools().remove(0);
    let session = Wire::open(&pool.url).await.login("root", "dynvm-sim").await;
    (pool.member_urls[1].clone(), session, lab.by_name("SR", "local2").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_goes_to_the_host_that_sees_its_storage() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (member, session, sr) = second_host(&lab).await;
    let task = task(&lab).await;
    let request = put(&sr, &task, &format!("Cookie: session_id={session}"));
    let url = lab.simulator.pools()[0].url.clone();
    let moved = Wire::open(&url).await.send(&request).await.unwrap();
    assert_eq!(moved.status, 302);
    let location = moved.head.split("location: ").nth(1).unwrap().split("\r\n").next();
    assert!(location.unwrap().starts_with(&member), "{}", moved.head);
    assert_eq!(Wire::open(&member).await.send(&request).await.unwrap().status, 200);
    let result = ended(&lab, &task).await["result"].as_str().unwrap().to_owned();
    let disk = lab
        .record("VDI", result.trim_start_matches("<value>").trim_end_matches("</value>"))
        .await;
    assert_eq!(
        (&disk["name_label"], &disk["SR"], &disk["VBDs"]),
        (&json!("Imported VDI"), &json!(sr), &json!([]))
    );
    assert_eq!(
        lab.control.disk_content(disk["uuid"].as_str().unwrap()).unwrap(),
        b"hello"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_taken_from_whoever_may_write_disks() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (member, session, sr) = second_host(&lab).await;
    let in_the_url = format!("{}&session_id={session}", task(&lab).await);
    let cases = [
        (task(&lab).await, "Cookie: session_id=OpaqueRef:no".to_owned(), 401),
        (task(&lab).await, "X: y".to_owned(), 401),
        (task(&lab).await, format!("Cookie: a=b; session_id={session}"), 200),
        (in_the_url, "X: y".to_owned(), 200),
        // admin:a, admin:wrong, reader:r
        (task(&lab).await, "Authorization: Basic YWRtaW46YQ==".to_owned(), 200),
        (
            task(&lab).await,
            "Authorization: Basic YWRtaW46d3Jvbmc=".to_owned(),
            401,
        ),
        (task(&lab).await, "Authorization: Basic cmVhZGVyOnI=".to_owned(), 403),
    ];
    for (task, headers, status) in cases {
        let answer = Wire::open(&member).await.send(&put(&sr, &task, &headers)).await;
        assert_eq!(answer.unwrap().status, status, "{headers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_suffers_faults_like_a_call() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (member, session, sr) = second_host(&lab).await;
    let cookie = format!("Cookie: session_id={session}");
    let code = "SR_BACKEND_FAILURE_44".to_owned();
    let full = || FaultKind::Error {
        code: code.clone(),
        params: Vec::new(),
    };
    let late = || FaultKind::ErrorAfter {
        code: code.clone(),
        params: Vec::new(),
    };
    let cases = [
        (FaultKind::Http500, Some(500), None, 0),
        (FaultKind::CutBefore, None, None, 0),
        (FaultKind::CutAfter, None, Some("success"), 1),
        (full(), Some(200), Some("failure"), 0),
        (late(), Some(200), Some("failure"), 1),
    ];
    for (kind, status, ends, disks) in cases {
        let there = lab.record("SR", &sr).await["VDIs"].as_array().unwrap().len();
        let task = task(&lab).await;
        lab.control.fault(FaultRule::once("PUT *", kind.clone()));
        let answer = Wire::open(&member).await.send(&put(&sr, &task, &cookie)).await;
        assert_eq!(answer.map(|answer| answer.status), status, "{kind:?}");
        if let Some(ends) = ends {
            assert_eq!(ended(&lab, &task).await["status"], ends, "{kind:?}");
        }
        let now = lab.record("SR", &sr).await["VDIs"].as_array().unwrap().len();
        assert_eq!(now - there, disks, "{kind:?}");
        lab.control.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_with_emulated_disks_starts_with_none_that_is_read_only() {
    let lab = Lab::with(World::from_hcl(lab::WORLD).unwrap(), ClockMode::Auto).await;
    let vm = lab.clone_of("linux", "web").await;
    let sr = lab.by_name("SR", "thin").await;
    let disk = json!({"SR": sr, "virtual_size": 4 << 20, "type": "user", "sharable": false, "read_only": false, "other_config": {}});
    let disk = lab.text("VDI.create", vec![disk]).await;
    let vbd = json!({"VM": vm, "VDI": disk, "userdevice": "1", "bootable": false, "mode": "RO", "type": "Disk", "empty": false,
        "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}});
    let vbd = lab.text("VBD.create", vec![vbd]).await;
    let start = || vec![json!(vm), json!(false), json!(false)];
    let about = lab
        .fails("VM.start", start(), "DISK_VBD_MUST_BE_READWRITE_FOR_HVM")
        .await;
    assert_eq!(about, [vbd.as_str()]);
    lab.call("VBD.set_mode", vec![json!(vbd), json!("RW")]).await;
    lab.call("VM.start", start()).await;
}
