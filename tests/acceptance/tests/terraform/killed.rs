//! A provider that is killed in the middle of a create: what the pool did for it carries a deadline, and the reaper collects it.
//!
//! Each request of an undisturbed create is held once before it acts and once after, and the provider dies there, with SIGKILL. The request
//! itself goes on: a pool finishes what it was asked for. Terraform keeps nothing of a create whose provider did not answer.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use acceptance::{Lab, Reaper, Running, Tool, Workspace, assert_unchanged};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sim::HoldPoint;
use tokio::time::timeout;

use crate::server;

/// How far the pool's clock is behind while servers are made: later than a creation lease (create timeout and 10 minutes) and the hour for
/// which a birth leftover is spared, and later than [`TTL`].
const BEHIND: i64 = 150 * 60;
/// Of a server that was complete when its provider died.
const TTL: &str = "1h";
/// Generous: a loaded machine is no reason to fail.
const LIMIT: Duration = Duration::from_secs(60);
/// Labs side by side.
const WORKERS: usize = 3;

const POOL: &str = "lab1";
const TEMPLATE: &str = "tmpl-debian12";
const PROVIDER: &str = "terraform-provider-dynvm";
const APPLY: [&str; 4] = ["apply", "-auto-approve", "-input=false", "-no-color"];

/// Where a provider dies.
#[derive(Clone, Copy, Debug)]
struct Death {
    request: u64,
    at: HoldPoint,
}

/// A lab whose clock is behind, and a module with one server.
fn begin(tool: &Tool, prepare: fn(&Lab)) -> (Lab, Workspace) {
    let lab = Lab::standard();
    prepare(&lab);
    lab.control().set_clock_offset(POOL, -BEHIND).expect("another clock");
    let workspace = lab.workspace(tool, &[]);
    let provider = lab.provider().only(POOL).to_string();
    // With all that a create can make.
    let server = server(&format!(
        "  os  = \"debian12\"\n  ttl = \"{TTL}\"\n  user_data = \"#cloud-config\\n\""
    ));
    workspace.main(&[&provider, &server]);
    (lab, workspace)
}

/// How many requests a create takes that nobody disturbs.
fn requests_of_a_create(tool: &Tool, prepare: fn(&Lab)) -> u64 {
    let (lab, workspace) = begin(tool, prepare);
    workspace.apply();
    lab.control().request_index()
}

/// Waits until the request is held. A run may end without it: how many there are depends on who is first.
fn is_reached(lab: &Lab, running: &Running, request: u64) -> bool {
    let mut is_held = false;
    let look = Duration::from_millis(5);
    let settled = lab.settles(LIMIT, || {
        is_held = lab.wait_for(async { timeout(look, lab.control().held(request)).await.is_ok() });
        is_held || running.has_ended()
    });
    assert!(settled, "neither request {request} nor the end within {LIMIT:?}");
    is_held
}

/// Runs the create and kills its provider there; says what is left: VM -> its name.
fn kill(tool: &Tool, death: Death, prepare: fn(&Lab)) -> BTreeMap<String, String> {
    let (lab, workspace) = begin(tool, prepare);
    let before = lab.world();
    lab.control().hold(death.request, death.at);
    let running = workspace.spawn(&APPLY);
    let is_held = is_reached(&lab, &running, death.request);
    if is_held {
        assert!(running.kill_members(PROVIDER) > 0, "no provider to kill");
    }
    lab.control().release(death.request);
    let outcome = running.wait(LIMIT);
    lab.until("the pool has finished what it was asked for", || {
        lab.requests().iter().all(|request| request.ended_us.is_some())
    });
    let is_known = is_in_state(&workspace);
    assert!(
        outcome.code == Some(0) || !is_known,
        "neither done nor forgotten\n{outcome}"
    );
    let left = left_behind(&lab, &before);

    lab.control().set_clock_offset(POOL, 0).expect("the time of day");
    let reaped = Reaper::new(&lab).run_once().expect_success();
    let is_collected = left.keys().all(|uuid| !lab.has_vm(uuid));
    assert!(is_collected, "not collected: {left:?}\n{reaped}");
    if is_known {
        workspace.destroy();
    }
    assert_unchanged(&lab, &before);
    left
}

/// A resource without an object is nothing but a trace of a plan that was not answered.
fn is_in_state(workspace: &Workspace) -> bool {
    let state = fs::read_to_string(workspace.in_module("terraform.tfstate"));
    let state: Json = state
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let resources = state["resources"].as_array().into_iter().flatten();
    resources.into_iter().any(|resource| {
        let has_object = resource["instances"]
            .as_array()
            .is_some_and(|objects| !objects.is_empty());
        resource["type"] == "dynvm_server" && has_object
    })
}

/// What a create that was killed has left: VMs that say until when they may be, and disks that are theirs.
fn left_behind(lab: &Lab, before: &Json) -> BTreeMap<String, String> {
    let is_new = |class: &str, record: &Json| {
        let known = &before[POOL][class];
        known.get(record["uuid"].as_str().unwrap_or_default()).is_none()
    };
    let mut left = BTreeMap::new();
    let mut references = Vec::new();
    for (reference, record) in lab.records(POOL, "VM") {
        if is_new("VM", &record) {
            assert!(has_deadline(&record), "no deadline: {record:#}");
            left.insert(text(&record["uuid"]), text(&record["name_label"]));
            references.push(reference);
        }
    }
    let devices = lab.records(POOL, "VBD");
    for (reference, disk) in lab.records(POOL, "VDI") {
        if !is_new("VDI", &disk) || disk["managed"] == false {
            continue;
        }
        let holders = devices.values().filter(|device| device["VDI"] == reference.as_str());
        let is_attached = holders
            .into_iter()
            .any(|device| references.contains(&text(&device["VM"])));
        let owner = disk["other_config"]["dynvm:vm"].as_str().unwrap_or_default();
        assert!(is_attached || left.contains_key(owner), "nobody's: {disk:#}");
    }
    left
}

/// Whether a VM carries its own mark and a lease, or a birth name with a deadline that is still ahead for its pool.
fn has_deadline(vm: &Json) -> bool {
    let keys = vm["other_config"].as_object().into_iter().flatten();
    let has_lease = keys
        .into_iter()
        .any(|(key, _)| key.starts_with("dynvm:creating=") || key.starts_with("dynvm:expires="));
    if vm["other_config"]["dynvm:vm"] == vm["uuid"] {
        return has_lease;
    }
    let name = text(&vm["name_label"]);
    let deadline = name.strip_prefix("dynvm-new-").and_then(|rest| rest.split_once('-'));
    let deadline = deadline.and_then(|(_, seconds)| seconds.parse::<i64>().ok());
    deadline.is_some_and(|deadline| deadline > Timestamp::now().as_second() - BEHIND)
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// All deaths, a few side by side; says what they left, all together.
fn matrix(prepare: fn(&Lab)) -> Vec<String> {
    let tool = Tool::first();
    let requests = requests_of_a_create(&tool, prepare);
    assert!(requests >= 10, "only {requests} requests");
    let deaths: Vec<Death> = (1..=requests)
        .flat_map(|request| [HoldPoint::Before, HoldPoint::After].map(|at| Death { request, at }))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut left = Vec::new();
        while let Some(death) = deaths.get(next.fetch_add(1, Ordering::Relaxed)) {
            // The name of the thread stands in the message of a case that fails.
            let named = thread::Builder::new().name(format!("{death:?}"));
            let case = thread::scope(|scope| {
                let running = named.spawn_scoped(scope, || kill(&tool, *death, prepare));
                running.expect("a thread").join()
            });
            left.extend(case.unwrap_or_else(|_| panic!("{death:?} failed")).into_values());
        }
        left
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let ends = workers
            .into_iter()
            .map(|worker| worker.join().expect("each case went well"));
        ends.flatten().collect()
    })
}

/// Demands that the matrix has met a server in each stage of its birth.
fn check_stages(left: &[String]) {
    let is_newborn = |name: &&String| name.starts_with("dynvm-new-");
    assert!(
        left.iter().any(|name| is_newborn(&name)),
        "none under a birth name: {left:?}"
    );
    assert!(
        left.iter().any(|name| name == "web"),
        "none under its own name: {left:?}"
    );
}

#[test]
fn at_every_request() {
    check_stages(&matrix(|_| {}));
}

#[test]
fn at_every_request_from_a_template_that_was_a_server() {
    check_stages(&matrix(|lab| {
        let (template, record) = lab.named(POOL, "VM", TEMPLATE);
        let (_, other) = lab.named(POOL, "VM", "build-server");
        let other = text(&other["uuid"]);
        let marks = [
            format!("dynvm:vm={other}"),
            "dynvm:expires=2020-01-01T00:00:00Z/01DXF6DT000000000000000000".to_owned(),
            "dynvm:creating=2020-01-01T00:00:00Z".to_owned(),
            "dynvm:owner=somebody".to_owned(),
            "dynvm:reaping=01DXF6DT000000000000000000".to_owned(),
            "dynvm:keep".to_owned(),
        ];
        for mark in &marks {
            lab.call(POOL, "VM.add_tags", json!([template, mark]));
            lab.call(POOL, "VM.add_to_other_config", json!([template, mark, ""]));
        }
        lab.call(POOL, "VM.add_to_other_config", json!([template, "dynvm:vm", other]));
        lab.call(POOL, "VM.add_to_other_config", json!([template, "dynvm:spec", "{}"]));
        let devices = lab.records(POOL, "VBD");
        let disks = devices
            .values()
            .filter(|device| device["VM"] == template.as_str() && device["type"] == "Disk");
        for device in disks {
            let mark = json!([device["VDI"], "dynvm:vm", other]);
            lab.call(POOL, "VDI.add_to_other_config", mark);
        }
        assert_eq!(record["is_a_template"], true);
    }));
}
