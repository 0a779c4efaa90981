//! What a server reads at its first boot, and the ports that it must answer on then.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, UdpSocket};

use acceptance::{Lab, Workspace, assert_unchanged, under_each_tool, whole_life};
use serde_json::{Value as Json, json};
use sim::{FaultKind, FaultRule};

use crate::change::rewrite;
use crate::{A, SERVER, server};

/// User data in a module, and as the guest reads it.
const LINES: &str =
    "  os = \"debian12\"\n  user_data = \"#cloud-config\\nhostname: one\\n\"\n  network_config = \"version: 2\\n\"";
const USER_DATA: &str = "#cloud-config\nhostname: one\n";

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What was written to the disks of a server, by the name of the disk.
fn written(lab: &Lab, id: &str) -> BTreeMap<String, Vec<u8>> {
    let vm = lab.vm(id);
    let drives = vm.references("VBDs").into_iter();
    let drives = drives.map(|vbd| lab.call(&vm.pool, "VBD.get_record", json!([vbd])));
    let disks = drives.filter(|vbd| vbd["type"] == "Disk");
    let disks = disks.map(|vbd| lab.call(&vm.pool, "VDI.get_record", json!([vbd["VDI"]])));
    let written = disks.filter_map(|disk| {
        let content = lab.control().disk_content(disk["uuid"].as_str()?)?;
        Some((disk["name_label"].as_str()?.to_owned(), content))
    });
    written.collect()
}

#[test]
fn user_data_comes_on_a_drive_that_goes_with_the_server() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let workspace = lab.workspace(tool, &[&server(LINES)]);
        whole_life(&lab, &workspace, |state| {
            let id = state.text(A, "id");
            let written = written(&lab, &id);
            let drive = &written[&format!("config drive of {id}")];
            for part in [USER_DATA, "version: 2\n", &id, "cidata"] {
                assert!(contains(drive, part), "{part}");
            }
            let values = state.values(A);
            assert_eq!(values["disk_bytes"], (20_u64 << 30) + (4 << 20));
            assert!(values["timings"]["drive"].as_f64().is_some_and(|seconds| seconds > 0.0));
            assert_eq!(values["timings"]["ports"], 0);
        });
    });
}

#[test]
fn other_user_data_replaces_and_the_first_does_not() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let first = workspace.state().text(A, "id");
        // There was none before, or nobody knows of it: that is no reason to destroy a server.
        rewrite(&lab, &workspace, &server(LINES));
        assert_eq!(workspace.plan().actions(A), ["update"]);
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(workspace.state().text(A, "id"), first);
        let other = LINES.replace("one", "two");
        for lines in [other.as_str(), "  os = \"debian12\""] {
            rewrite(&lab, &workspace, &server(lines));
            let plan = workspace.plan();
            assert_eq!(plan.actions(A), ["delete", "create"], "{lines}");
            workspace.apply();
            workspace.expect_empty_plan();
        }
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

/// A state of a provider that knew fewer steps.
fn with_fewer_timings(workspace: &Workspace) {
    let file = workspace.in_module("terraform.tfstate");
    let text = std::fs::read_to_string(&file).expect("a state");
    let mut state: Json = serde_json::from_str(&text).expect("JSON");
    let attributes = &mut state["resources"][0]["instances"][0]["attributes"];
    let timings = attributes["timings"].as_object_mut().expect("timings");
    timings.retain(|step, _| step != "drive" && step != "ports");
    for name in ["user_data", "network_config", "ready_ports"] {
        attributes.as_object_mut().expect("attributes").remove(name);
    }
    std::fs::write(&file, state.to_string()).expect("a state");
}

#[test]
fn a_state_from_before_is_read_without_a_difference() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        with_fewer_timings(&workspace);
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn a_drive_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server(LINES)]);
        let full = FaultKind::Error {
            code: "SR_BACKEND_FAILURE_44".to_owned(),
            params: vec![String::new(), "There is insufficient space".to_owned(), String::new()],
        };
        lab.control().fault(FaultRule::once("PUT *", full));
        let outcome = workspace.try_apply().expect_code(1);
        outcome.only_error().expect_text("Writing the config drive of");
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn too_long_user_data_is_an_error_of_the_plan_that_does_not_show_it() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let lines = "  os = \"debian12\"\n  user_data = join(\"\", [for n in range(1024) : format(\"%01025d\", 7)])";
        let workspace = lab.workspace(tool, &[&server(lines)]);
        let outcome = workspace.try_plan().expect_code(1);
        let error = outcome.only_error();
        error.expect_at("user_data").expect_text("at most 1 MiB");
        assert!(!outcome.text().contains("00007"), "{outcome}");
    });
}

/// An address of this machine by which others could reach it. Nothing is sent to find it out.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    let is_usable = !address.is_loopback() && !address.is_unspecified();
    is_usable.then_some(address)
}

/// A lab whose guests have the address of this machine.
fn lab_here(address: IpAddr) -> Lab {
    Lab::changed(|world| {
        let templates = world.pools.values_mut().flat_map(|pool| pool.templates.values_mut());
        for template in templates {
            template.guest.addresses = vec![address.to_string()];
        }
    })
}

#[test]
fn a_create_ends_when_the_ports_answer() {
    let Some(address) = own_address() else {
        eprintln!("skipped: this machine has no address but loopback, at which no server may be");
        return;
    };
    under_each_tool(|tool| {
        let lab = lab_here(address);
        let listener = TcpListener::bind((address, 0)).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let lines = |ip: &str| {
            server(&format!(
                "  os = \"debian12\"\n  ready_ports = [{port}]\n  ip_attempts = 1\n  timeouts = {{ ip = {ip:?} }}"
            ))
        };
        let workspace = lab.workspace(tool, &[&lines("1m")]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "ip_address"), address.to_string());
            assert!(state.values(A)["timings"]["ports"].as_f64().is_some());
        });
        // Nobody listens there any more.
        drop(listener);
        rewrite(&lab, &workspace, &lines("3s"));
        let before = lab.world();
        let outcome = workspace.try_apply().expect_code(1);
        let error = outcome.only_error();
        error.expect_at("ready_ports");
        error.expect_text(&format!("port {port} closed"));
        error.expect_text(&address.to_string());
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn ports_without_an_address_are_an_error_of_the_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let lines = "  os = \"debian12\"\n  ready_ports = [22]\n  wait_for_ip = false";
        let workspace = lab.workspace(tool, &[&server(lines)]);
        let outcome = workspace.try_plan().expect_code(1);
        outcome
            .only_error()
            .expect_at("ready_ports")
            .expect_text("wait_for_ip = false");
        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ready_ports = [0]"));
        workspace
            .try_plan()
            .expect_code(1)
            .only_error()
            .expect_at("ready_ports");
    });
}
