//! What people do beside a tool: disks, snapshots, copies, names, templates, marks of the pool; and the pool's clock.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::Lab;
use serde_json::{Value as Json, json};
use sim::{ClockMode, ControlError};

/// A halted VM, and its UUID.
async fn server(lab: &Lab) -> (String, String) {
    let vm = lab.clone_of("linux", "server").await;
    let uuid = lab.text("VM.get_uuid", vec![json!(vm)]).await;
    (vm, uuid)
}

async fn by_uuid(lab: &Lab, class: &str, uuid: &str) -> Json {
    let found = lab.text(&format!("{class}.get_by_uuid"), vec![json!(uuid)]).await;
    lab.record(class, &found).await
}

#[tokio::test]
async fn a_disk_is_attached() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (vm, uuid) = server(&lab).await;
    let cold = lab.control.attach_disk(&uuid, "archive", 3).await.unwrap();
    let disk = by_uuid(&lab, "VDI", &cold).await;
    assert_eq!(
        (&disk["name_label"], &disk["virtual_size"], &disk["other_config"]),
        (&json!("archive"), &json!(3_i64 << 30), &json!({}))
    );
    assert_eq!(lab.disks(&vm).await.len(), 2);
    lab.control.set_power_state(&uuid, "Running").unwrap();
    let hot = lab.control.attach_disk(&uuid, "cache", 1).await.unwrap();
    let device = by_uuid(&lab, "VDI", &hot).await["VBDs"][0].as_str().unwrap().to_owned();
    assert_eq!(lab.record("VBD", &device).await["currently_attached"], true);
    let nobody = lab.control.attach_disk(&cold, "x", 1).await.unwrap_err();
    assert!(matches!(nobody, ControlError::NotFound { .. }), "{nobody}");
}

#[tokio::test]
async fn copies_are_made_and_templates_and_names() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (vm, uuid) = server(&lab).await;
    let snapshot = lab.control.snapshot_vm(&uuid, "before").await.unwrap();
    assert_eq!(by_uuid(&lab, "VM", &snapshot).await["snapshot_of"], json!(vm));
    for copy in [
        lab.control.clone_vm(&uuid, "twin").await.unwrap(),
        lab.control.copy_vm(&uuid, "twin").await.unwrap(),
    ] {
        let record = by_uuid(&lab, "VM", &copy).await;
        assert_eq!(
            (&record["name_label"], &record["is_a_template"]),
            (&json!("twin"), &json!(false))
        );
    }
    lab.control.rename_vm(&uuid, "renamed").unwrap();
    assert_eq!(lab.text("VM.get_name_label", vec![json!(vm)]).await, "renamed");
    lab.control.set_power_state(&uuid, "Running").unwrap();
    let refused = lab.control.copy_vm(&uuid, "late").await.unwrap_err();
    assert!(refused.to_string().starts_with("VM_BAD_POWER_STATE"), "{refused}");
    assert!(lab.control.turn_into_template(&uuid).await.is_err());
    lab.control.set_power_state(&uuid, "Halted").unwrap();
    lab.control.turn_into_template(&uuid).await.unwrap();
    assert_eq!(lab.record("VM", &vm).await["is_a_template"], true);
}

#[tokio::test]
async fn the_pool_is_marked_and_its_watchers_see_it() {
    let lab = Lab::start(ClockMode::Auto).await;
    let pool = lab.call("pool.get_all", vec![]).await[0].as_str().unwrap().to_owned();
    let token = lab.text("event.inject", vec![json!("pool"), json!(pool)]).await;
    lab.control.set_pool_tags("one", vec!["pause".to_owned()]).unwrap();
    let map = [("pause".to_owned(), "by hand".to_owned())].into();
    lab.control.set_pool_other_config("one", map).unwrap();
    let poll = vec![json!(["pool"]), json!(token), json!(0.0)];
    let batch = lab.call("event.from", poll).await;
    let seen = &batch["events"][0]["snapshot"];
    assert_eq!(
        (&seen["tags"], &seen["other_config"]),
        (&json!(["pause"]), &json!({"pause": "by hand"}))
    );
    assert!(lab.control.set_pool_tags("two", vec![]).is_err());
}

#[tokio::test]
async fn every_host_tells_the_pools_time() {
    let lab = Lab::start(ClockMode::Auto).await;
    let parse = |text: &str| jiff::civil::DateTime::strptime("%Y%m%dT%H:%M:%SZ", text).unwrap();
    for offset in [0, 86_400 * 40, -3600] {
        lab.control.set_clock_offset("one", offset).unwrap();
        let expected = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset);
        for host in ["h1", "h2"] {
            let host = lab.by_name("host", host).await;
            let told = parse(&lab.text("host.get_servertime", vec![json!(host)]).await);
            let told = told.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
            assert!(
                told.duration_since(expected).as_secs().abs() < 60,
                "{told} is not {expected}"
            );
        }
    }
}
