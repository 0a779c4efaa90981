//! The data sources: one server, lists of servers, what still fits.

use acceptance::{Lab, Workspace, under_each_tool};
use serde_json::{Value as Json, json};

use crate::SERVER;

fn names(servers: &Json) -> Vec<&str> {
    let list = servers["servers"].as_array().into_iter().flatten();
    list.filter_map(|server| server["name"].as_str()).collect()
}

#[test]
fn one_server_by_name_and_by_id() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let found = r#"
data "dynvm_server" "by_id" { id = dynvm_server.a.id }
data "dynvm_server" "by_name" {
  name       = "web"
  depends_on = [dynvm_server.a]
}
data "dynvm_server" "foreign" {
  name = "build-server"
  pool = "lab1"
}
"#;
        let workspace = lab.workspace(tool, &[SERVER, found]);
        acceptance::whole_life(&lab, &workspace, |state| {
            let made = state.values("dynvm_server.a");
            for address in ["data.dynvm_server.by_id", "data.dynvm_server.by_name"] {
                let read = state.values(address);
                for same in [
                    "id",
                    "name",
                    "pool",
                    "ip_address",
                    "expires_at",
                    "template_uuid",
                    "mac_address",
                    "disk_bytes",
                ] {
                    assert_eq!(read[same], made[same], "{address}.{same}");
                }
                assert_eq!(read["managed"], true);
                assert_eq!(read["os"], "debian12");
                assert_eq!(read["power_state"], "running");
            }
            let foreign = state.values("data.dynvm_server.foreign");
            assert_eq!(foreign["managed"], false);
            assert_eq!(foreign["expires_at"], Json::Null);
        });
    });
}

#[test]
fn none_and_several_are_two_errors() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &["data \"dynvm_server\" \"a\" {\n  name = \"nobody\"\n}\n"]);
        workspace
            .try_plan()
            .only_error()
            .expect_at("name")
            .expect_text("nobody");

        let (wiki, record) = lab.named("lab1", "VM", "build-server");
        lab.call("lab1", "VM.set_name_label", json!([wiki, "license-server"]));
        let two = "data \"dynvm_server\" \"a\" {\n  name = \"license-server\"\n}\n";
        workspace.main(&[&lab.provider().to_string(), two]);
        let error = workspace.try_plan().only_error();
        error
            .expect_at("name")
            .expect_text(record["uuid"].as_str().unwrap_or_default());
    });
}

#[test]
fn lists_are_filtered_sorted_and_stable() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let lists = r#"
resource "dynvm_server" "node" {
  count = 3
  name  = "node-${3 - count.index}"
  os    = "debian12"
  pool  = "lab2"
  tags  = count.index == 0 ? ["first"] : []
}
data "dynvm_servers" "all" { depends_on = [dynvm_server.node] }
data "dynvm_servers" "ours" {
  managed    = true
  depends_on = [dynvm_server.node]
}
data "dynvm_servers" "others" {
  managed    = false
  pool       = "lab1"
  depends_on = [dynvm_server.node]
}
data "dynvm_servers" "tagged" {
  tags       = ["first"]
  depends_on = [dynvm_server.node]
}
data "dynvm_servers" "matching" {
  name_regex = "^node-[12]$"
  os         = "debian12"
  depends_on = [dynvm_server.node]
}
data "dynvm_servers" "halted" {
  power_state = "halted"
  depends_on  = [dynvm_server.node]
}
"#;
        let workspace = lab.workspace(tool, &[lists]);
        acceptance::whole_life(&lab, &workspace, |state| {
            let list = |name: &str| names(state.values(&format!("data.dynvm_servers.{name}")));
            assert_eq!(list("ours"), ["node-1", "node-2", "node-3"]);
            let foreign = list("others");
            assert!(
                foreign.contains(&"old-jenkins") && foreign.contains(&"build-server"),
                "{foreign:?}"
            );
            assert!(
                !foreign
                    .iter()
                    .any(|name| name.starts_with("tmpl-") || name.contains("Control domain")),
                "{foreign:?}"
            );
            assert_eq!(list("tagged"), ["node-3"]);
            assert_eq!(list("matching"), ["node-1", "node-2"]);
            assert_eq!(list("halted"), ["old-jenkins"]);
            let all = state.values("data.dynvm_servers.all")["servers"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let keys: Vec<(String, String)> = all
                .iter()
                .map(|server| (server["pool"].to_string(), server["name"].to_string()))
                .collect();
            assert!(keys.is_sorted(), "{keys:?}");
            assert_eq!(all.len(), foreign.len() + 3 + 1, "lab2 has one foreign VM");
        });
    });
}

fn capacity(workspace: &Workspace) -> Json {
    workspace.apply();
    workspace.state().values("data.dynvm_capacity.a").clone()
}

#[test]
fn capacity_counts_what_fits() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let data = "data \"dynvm_capacity\" \"a\" {\n  os = \"debian12\"\n}\n";
        let workspace = lab.workspace(tool, &[data]);
        let before = capacity(&workspace);
        let pools = before["pools"].as_array().cloned().unwrap_or_default();
        assert_eq!(
            pools.iter().map(|pool| &pool["pool"]).collect::<Vec<_>>(),
            ["lab1", "lab2"]
        );
        let sum: u64 = pools.iter().filter_map(|pool| pool["available"].as_u64()).sum();
        assert_eq!(before["available"], sum);
        // 2 x 32 CPUs less what foreign guests have; 3 x 16 less one guest of two.
        for (pool, cpus_total) in pools.iter().zip([64, 48]) {
            assert_eq!(pool["cpus_total"], cpus_total, "{pool}");
            let free = pool["cpus_free"].as_u64().unwrap_or_default();
            assert!(
                pool["available"]
                    .as_u64()
                    .is_some_and(|fits| fits > 0 && fits <= free / 2),
                "{pool}"
            );
            assert!(pool["limited_by"].is_string(), "{pool}");
        }

        let three = "resource \"dynvm_server\" \"node\" {\n  count = 3\n  name = \"n\"\n  os = \"debian12\"\n  pool = \"lab1\"\n}\n";
        workspace.main(&[&lab.provider().to_string(), three]);
        workspace.apply();
        workspace.main(&[&lab.provider().to_string(), three, data]);
        let after = capacity(&workspace);
        let lab1 = |capacity: &Json| capacity["pools"][0]["available"].as_u64().unwrap_or_default();
        assert_eq!(lab1(&before) - lab1(&after), 3);
        workspace.destroy();
    });
}

#[test]
fn capacity_says_what_is_in_the_way() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let provider = lab.provider().edit("lab2", |pool| pool.with("max_servers", "1"));
        let data = "data \"dynvm_capacity\" \"a\" {\n  os = \"debian12\"\n}\ndata \"dynvm_capacity\" \"rocky\" {\n  os = \"rocky9\"\n}\n";
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), data]);
        for host in ["xen11", "xen12"] {
            lab.control().set_host_enabled("lab1", host, false).expect("disabled");
        }
        workspace.apply();
        let state = workspace.state();
        let pools = &state.values("data.dynvm_capacity.a")["pools"];
        assert_eq!(
            (&pools[0]["available"], &pools[0]["limited_by"]),
            (&json!(0), &json!("host_disabled"))
        );
        assert_eq!(
            (&pools[1]["available"], &pools[1]["limited_by"]),
            (&json!(1), &json!("max_servers"))
        );
        let pools = &state.values("data.dynvm_capacity.rocky")["pools"];
        assert_eq!(
            (&pools[1]["available"], &pools[1]["limited_by"]),
            (&json!(0), &json!("template"))
        );
    });
}
