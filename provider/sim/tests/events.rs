//! `event.from`: from the state, once per object, with a memory for deletions; tasks and messages.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::Lab;
use serde_json::{Value as Json, json};
use sim::ClockMode;

struct Poll {
    token: String,
}

impl Poll {
    async fn next(&mut self, lab: &Lab, classes: &[&str], timeout: f64) -> Vec<(String, String, String)> {
        let batch = self.batch(lab, classes, timeout).await;
        let text = |event: &Json, key: &str| event[key].as_str().unwrap().to_owned();
        let events = batch["events"].as_array().unwrap().iter();
        events
            .map(|e| (text(e, "class"), text(e, "operation"), text(e, "ref")))
            .collect()
    }

    async fn batch(&mut self, lab: &Lab, classes: &[&str], timeout: f64) -> Json {
        let batch = lab
            .call("event.from", vec![json!(classes), json!(self.token), json!(timeout)])
            .await;
        self.token = batch["token"].as_str().unwrap().to_owned();
        batch
    }
}

async fn poll(lab: &Lab) -> Poll {
    let pool = lab.call("pool.get_all", vec![]).await[0].clone();
    Poll {
        token: lab.text("event.inject", vec![json!("pool"), pool]).await,
    }
}

fn event(class: &str, operation: &str, reference: &str) -> (String, String, String) {
    (class.to_owned(), operation.to_owned(), reference.to_owned())
}

#[tokio::test]
async fn one_event_per_object_and_none_for_what_came_and_went() {
    let lab = Lab::start(ClockMode::Auto).await;
    let mut poll = poll(&lab).await;
    assert_eq!(
        poll.next(&lab, &["pool"], 0.0).await.len(),
        1,
        "inject touches its object"
    );
    let vm = lab.by_name("VM", "foreign").await;
    for name in ["a", "b"] {
        lab.call("VM.set_name_label", vec![json!(vm), json!(name)]).await;
    }
    lab.call("VM.set_name_label", vec![json!(vm), json!("b")]).await;
    let batch = poll.batch(&lab, &["vm"], 0.0).await;
    assert_eq!(batch["events"].as_array().unwrap().len(), 1);
    assert_eq!(batch["events"][0]["snapshot"]["name_label"], "b");
    lab.call("VM.set_name_label", vec![json!(vm), json!("b")]).await;
    assert_eq!(poll.next(&lab, &["vm"], 0.0).await, [], "an equal write is no event");
    let network = lab.text("network.create", vec![json!({"other_config": {}})]).await;
    lab.call("network.destroy", vec![json!(network)]).await;
    assert_eq!(poll.next(&lab, &["network"], 0.0).await, []);
}

#[tokio::test]
async fn additions_and_deletions_with_counts_of_all_tables() {
    let lab = Lab::start(ClockMode::Auto).await;
    let mut poll = poll(&lab).await;
    let vm = lab.clone_of("linux", "x").await;
    let other = lab.by_name("VM", "foreign").await;
    let seen = poll.next(&lab, &["VM"], 0.0).await;
    assert!(seen.contains(&event("vm", "add", &vm)), "{seen:?}");
    assert_eq!(poll.next(&lab, &[&format!("vm/{other}")], 0.0).await, []);
    lab.destroy(&vm).await;
    let batch = poll.batch(&lab, &["vm", "vbd"], 0.0).await;
    let gone = batch["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["ref"] == json!(vm))
        .unwrap();
    assert_eq!(gone["operation"], "del");
    assert!(gone.get("snapshot").is_none());
    let count = lab.call("VM.get_all", vec![]).await.as_array().unwrap().len();
    assert_eq!(batch["valid_ref_counts"]["vm"], json!(count));
    for class in ["host", "task", "session", "vm_guest_metrics", "pbd"] {
        assert!(batch["valid_ref_counts"][class].is_u64(), "{class}");
    }
}

#[tokio::test]
async fn changes_show_on_both_sides_of_a_relation() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.clone_of("linux", "x").await;
    let (from, to) = (
        lab.by_name("network", "lan").await,
        lab.by_name("network", "only-h2").await,
    );
    let vif = lab.record("VM", &vm).await["VIFs"][0].as_str().unwrap().to_owned();
    let mut poll = poll(&lab).await;
    lab.call("VIF.move", vec![json!(vif), json!(to)]).await;
    let mut seen = poll.next(&lab, &["vif", "network"], 0.0).await;
    let mut expected = vec![
        event("network", "mod", &from),
        event("network", "mod", &to),
        event("vif", "mod", &vif),
    ];
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    assert!(
        lab.record("network", &to).await["VIFs"]
            .as_array()
            .unwrap()
            .contains(&json!(vif))
    );
}

#[tokio::test]
async fn a_poll_waits_for_news_and_no_longer_than_asked() {
    let lab = Lab::start(ClockMode::Manual).await;
    let mut poll = poll(&lab).await;
    assert_eq!(poll.next(&lab, &["pool"], 0.0).await.len(), 1);
    let advance = async || lab.control.advance(std::time::Duration::from_secs(31)).await.unwrap();
    let (seen, ()) = tokio::join!(poll.next(&lab, &["vm"], 30.0), advance());
    assert_eq!(seen, []);
    let vm = lab.by_name("VM", "foreign").await;
    let change = async {
        lab.call("VM.set_name_label", vec![json!(vm), json!("new")]).await;
        advance().await;
    };
    let (seen, ()) = tokio::join!(poll.next(&lab, &["vm"], 600.0), change);
    assert_eq!(seen, [event("vm", "mod", &vm)]);
    let bad = |token: &str, class: &str| vec![json!([class]), json!(token), json!(0.0)];
    lab.fails("event.from", bad("x", "vm"), "EVENT_FROM_TOKEN_PARSE_FAILURE")
        .await;
    lab.fails("event.from", bad("", ""), "EVENT_SUBSCRIPTION_PARSE_FAILURE")
        .await;
}

#[tokio::test]
async fn deletions_are_forgotten_after_a_while() {
    let lab = Lab::start(ClockMode::Auto).await;
    let network = async || lab.text("network.create", vec![json!({"other_config": {}})]).await;
    let first = network().await;
    let poll = poll(&lab).await;
    lab.call("network.destroy", vec![json!(first)]).await;
    for _ in 0..600 {
        let made = network().await;
        lab.call("network.destroy", vec![json!(made)]).await;
    }
    let mut late = Poll { token: poll.token };
    assert_eq!(
        late.next(&lab, &["network"], 0.0).await,
        [],
        "the deletion is lost without an error"
    );
}

#[tokio::test]
async fn tasks_live_die_and_can_be_cancelled() {
    let lab = Lab::start(ClockMode::Manual).await;
    let second = std::time::Duration::from_secs(1);
    let template = lab.by_name("VM", "linux").await;
    let clone = || vec![json!(template), json!("x")];
    let task = lab.text("Async.VM.clone", clone()).await;
    lab.control.advance(second).await.unwrap();
    let record = lab.record("task", &task).await;
    assert_eq!(
        (&record["status"], &record["allowed_operations"]),
        (&json!("pending"), &json!(["cancel"]))
    );
    assert_eq!(
        lab.record("VM", &template).await["current_operations"],
        json!({ task.clone(): "clone" })
    );
    lab.call("task.cancel", vec![json!(task)]).await;
    lab.control.advance(second).await.unwrap();
    let ended = lab.record("task", &task).await;
    assert_eq!(
        (&ended["status"], &ended["error_info"]),
        (&json!("cancelled"), &json!(["TASK_CANCELLED", task]))
    );
    assert_eq!(lab.call("VM.get_by_name_label", vec![json!("x")]).await, json!([]));
    let doomed = lab.text("Async.VM.clone", clone()).await;
    lab.call("task.destroy", vec![json!(doomed)]).await;
    lab.control.advance(second * 40).await.unwrap();
    lab.fails("task.get_record", vec![json!(doomed)], "HANDLE_INVALID")
        .await;
    assert_eq!(
        lab.call("VM.get_by_name_label", vec![json!("x")])
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    lab.control.advance(second * 66 * 60).await.unwrap();
    lab.fails("task.get_record", vec![json!(task)], "HANDLE_INVALID").await;
    let fault = lab.fails("Async.VM.get_record", vec![json!(template)], "Fault").await;
    assert_eq!(fault, ["No async mode for this operation (rpc: VM.get_record)"]);
}

#[tokio::test]
async fn plain_calls_leave_their_task_in_the_memory_of_deletions() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.by_name("VM", "foreign").await;
    let mut poll = poll(&lab).await;
    lab.call("VM.hard_shutdown", vec![json!(vm)]).await;
    assert_eq!(poll.next(&lab, &["task"], 0.0).await, [], "it came and went");
    let batch = poll.batch(&lab, &["message"], 0.0).await;
    assert_eq!(batch["events"], json!([]), "the token has moved past the message too");
    let messages = lab.call("message.get_all_records", vec![]).await;
    let names: Vec<_> = messages
        .as_object()
        .unwrap()
        .values()
        .map(|m| m["name"].clone())
        .collect();
    assert_eq!(names, ["VM_SHUTDOWN"]);
}

#[tokio::test]
async fn a_new_coordinator_may_know_less() {
    let lab = Lab::start(ClockMode::Auto).await;
    let kept = lab.clone_of("linux", "kept").await;
    lab.control.back_up("one").unwrap();
    let lost = lab.clone_of("linux", "lost").await;
    lab.call("VM.set_name_label", vec![json!(kept), json!("renamed")]).await;
    let mut poll = poll(&lab).await;
    lab.control.roll_back("one").unwrap();
    assert_eq!(lab.text("VM.get_name_label", vec![json!(kept)]).await, "kept");
    lab.fails("VM.get_uuid", vec![json!(lost)], "HANDLE_INVALID").await;
    lab.call("VM.set_name_label", vec![json!(kept), json!("again")]).await;
    assert_eq!(
        poll.next(&lab, &["vm"], 0.0).await,
        [],
        "the old token lies in the future"
    );
    assert!(lab.control.roll_back("one").is_err(), "one copy, one return");
}

#[tokio::test]
async fn callers_wait_in_real_time_on_a_fast_clock() {
    let lab = Lab::start(ClockMode::Scaled(1000.0)).await;
    let mut poll = poll(&lab).await;
    poll.next(&lab, &["pool"], 0.0).await;
    let began = std::time::Instant::now();
    assert_eq!(poll.next(&lab, &["vm"], 0.3).await, []);
    assert!(began.elapsed() >= std::time::Duration::from_millis(300));
}
