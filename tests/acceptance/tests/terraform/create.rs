//! Servers come up with what was asked for, and go without a trace.

use std::collections::BTreeSet;
use std::net::IpAddr;

use acceptance::{Lab, State, under_each_tool, whole_life};
use serde_json::{Value as Json, json};

use crate::{A, SERVER, server};

fn is_in(address: &str, start: &str) -> bool {
    address.parse::<IpAddr>().is_ok() && address.starts_with(start)
}

#[test]
fn one_server() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[SERVER]);
        whole_life(&lab, &workspace, |state| {
            let values = state.values(A);
            let vm = lab.vm(&state.text(A, "id"));
            assert_eq!(vm.record["name_label"], "web");
            assert_eq!(vm.record["power_state"], "Running");
            assert_eq!(vm.pool, state.text(A, "pool"));
            let start = if vm.pool == "lab1" { "10.1." } else { "10.3." };
            let address = state.text(A, "ip_address");
            assert!(is_in(&address, start), "{address} in {}", vm.pool);
            assert_eq!(values["ip_addresses"], json!([address]));
            assert_eq!(values["cpus"], 2);
            assert_eq!(values["memory_mib"], 2048);
            assert_eq!(values["disk_bytes"], 20_u64 << 30);
            assert_eq!(values["os_version"], "Debian GNU/Linux 12 (bookworm)");
            assert_eq!(values["network"], "lab-net");
            assert_eq!(values["ttl"], "12h");
            assert_eq!(values["tags"], Json::Null);
            let (_, template) = lab.named(&vm.pool, "VM", "tmpl-debian12");
            assert_eq!(values["template_uuid"], template["uuid"]);
            let host = lab.call(&vm.pool, "host.get_name_label", json!([vm.text("resident_on")]));
            assert_eq!(values["resident_host"], host);
            for part in ["queue", "clone", "configure", "start", "address"] {
                let seconds = values["timings"][part].as_f64();
                assert!(
                    seconds.is_some_and(|seconds| (0.0..30.0).contains(&seconds)),
                    "{part}: {seconds:?}"
                );
            }
        });
    });
}

#[test]
fn five_by_count() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(
            tool,
            &[r#"
resource "dynvm_server" "node" {
  count = 5
  name  = "node-${count.index}"
  os    = "ubuntu22"
  ttl   = "1h"
}
output "addresses" { value = dynvm_server.node[*].ip_address }
"#],
        );
        whole_life(&lab, &workspace, |state| {
            let addresses = state.output("addresses").as_array().cloned().unwrap_or_default();
            let distinct: BTreeSet<&str> = addresses.iter().filter_map(Json::as_str).collect();
            assert_eq!(distinct.len(), 5, "{addresses:?}");
        });
    });
}

#[test]
fn for_each_and_one_less() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let nodes = |roles: &str| {
            format!(
                r#"
resource "dynvm_server" "node" {{
  for_each = toset({roles})
  name     = "node-${{each.key}}"
  os       = "debian12"
  tags     = ["role-${{each.key}}"]
}}
"#
            )
        };
        let workspace = lab.workspace(tool, &[&nodes(r#"["client", "server", "witness"]"#)]);
        workspace.apply();
        workspace.expect_empty_plan();
        let first = workspace.state();
        workspace.main(&[&lab.provider().to_string(), &nodes(r#"["client", "witness"]"#)]);
        workspace.apply();
        workspace.expect_empty_plan();
        let second = workspace.state();
        let id = |state: &State, key: &str| state.text(&format!("dynvm_server.node[\"{key}\"]"), "id");
        for kept in ["client", "witness"] {
            assert_eq!(id(&first, kept), id(&second, kept));
        }
        assert!(
            !lab.has_vm(&id(&first, "server")),
            "the one that is no longer wanted is gone"
        );
        workspace.destroy();
        acceptance::assert_unchanged(&lab, &before);
    });
}

#[test]
fn an_os_that_only_one_pool_has() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"rocky9\"\n  ip_cidrs = [\"10.1.0.0/16\"]")]);
        whole_life(&lab, &workspace, |state| assert_eq!(state.text(A, "pool"), "lab1"));
    });
}

#[test]
fn a_chosen_pool_and_a_template_by_name() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let wanted = server("  template = \"tmpl-ubuntu22\"\n  pool = \"lab2\"");
        let workspace = lab.workspace(tool, &[&wanted]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "pool"), "lab2");
            assert_eq!(state.text(A, "storage"), "san");
            assert!(is_in(&state.text(A, "ip_address"), "10.3."));
        });
    });
}

#[test]
fn another_size_than_the_templates() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  cpus = 4\n  memory_mib = 3000")]);
        whole_life(&lab, &workspace, |state| {
            let vm = lab.vm(&state.text(A, "id"));
            assert_eq!(number(&vm.record["VCPUs_max"]), 4);
            assert_eq!(number(&vm.record["VCPUs_at_startup"]), 4);
            for limit in ["static_max", "dynamic_max", "dynamic_min"] {
                assert_eq!(number(&vm.record[format!("memory_{limit}")]), 3000 << 20, "{limit}");
            }
            assert_eq!(state.values(A)["memory_mib"], 3000);
        });
    });
}

#[test]
fn another_storage_is_a_full_copy() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            world.latencies.vdi_copy_ms_per_gib = sim::world::Span::fixed(500);
        });
        let wanted = server("  os = \"debian12\"\n  pool = \"lab1\"\n  storage = \"xen11-local\"");
        let workspace = lab.workspace(tool, &[&wanted]);
        let warnings = workspace.try_plan().expect_code(0).warnings();
        assert!(
            warnings.iter().any(|warning| warning.detail.contains("full copy")),
            "{warnings:#?}"
        );
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "storage"), "xen11-local");
            assert_eq!(
                state.text(A, "resident_host"),
                "xen11",
                "the only host that sees its disk"
            );
            let (sr, _) = lab.named("lab1", "SR", "xen11-local");
            let id = state.text(A, "id");
            let vdis = lab.records("lab1", "VDI");
            let own = vdis
                .values()
                .filter(|vdi| vdi["other_config"]["dynvm:vm"] == id.as_str());
            assert_eq!(own.map(|vdi| &vdi["SR"]).collect::<Vec<_>>(), [&json!(sr)]);
        });
    });
}

#[test]
fn a_mac_address_and_a_network_by_choice() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let wanted = server(
            "  os = \"debian12\"\n  pool = \"lab1\"\n  network = \"test-net\"\n  mac_address = \"02:00:5E:00:AA:01\"",
        );
        let workspace = lab.workspace(tool, &[&wanted]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "mac_address"), "02:00:5E:00:AA:01");
            assert_eq!(state.text(A, "network"), "test-net");
            assert!(is_in(&state.text(A, "ip_address"), "10.2."));
            let vifs = lab.vm(&state.text(A, "id")).references("VIFs");
            assert_eq!(vifs.len(), 1, "the NIC was moved, not doubled");
            let mac = lab.call("lab1", "VIF.get_MAC", json!(vifs));
            assert_eq!(mac.as_str().unwrap_or_default().to_lowercase(), "02:00:5e:00:aa:01");
        });
    });
}

#[test]
fn without_waiting_for_an_address() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                pool.templates["tmpl-debian12"].guest.no_agent = true;
            }
        });
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  wait_for_ip = false")]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.values(A)["ip_address"], Json::Null);
            assert_eq!(state.values(A)["ip_addresses"], json!([]));
        });
    });
}

#[test]
fn names_of_any_letters_and_of_the_greatest_length() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let odd = r#"a<b>&amp;"c" 'd' $${e} %%{f} \\ ü 漢字 🦀"#.replace('"', "\\\"");
        let long = "é".repeat(255);
        let workspace = lab.workspace(
            tool,
            &[&format!(
                r#"
resource "dynvm_server" "odd" {{
  name = "{odd}"
  os   = "debian12"
  tags = ["ü 漢字 ' ; 🦀", "%41=/:+"]
}}
resource "dynvm_server" "long" {{
  name = "{long}"
  os   = "debian12"
}}
"#
            )],
        );
        whole_life(&lab, &workspace, |state| {
            let vm = lab.vm(&state.text("dynvm_server.odd", "id"));
            assert_eq!(vm.text("name_label"), "a<b>&amp;\"c\" 'd' ${e} %{f} \\ ü 漢字 🦀");
            for tag in ["ü 漢字 ' ; 🦀", "%41=/:+"] {
                assert!(vm.tags().contains(tag), "{tag} in {:?}", vm.tags());
            }
            let vm = lab.vm(&state.text("dynvm_server.long", "id"));
            assert_eq!(vm.text("name_label"), long);
        });
    });
}

#[test]
fn two_of_one_name() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let twins = "resource \"dynvm_server\" \"a\" {\n  count = 2\n  name = \"wiki-1\"\n  os = \"debian12\"\n}\n";
        let workspace = lab.workspace(tool, &[twins]);
        whole_life(&lab, &workspace, |state| {
            let id = |index: u32| state.text(&format!("{A}[{index}]"), "id");
            assert_ne!(id(0), id(1));
        });
    });
}

/// A number that JSON-RPC gives as a number or as a text.
fn number(value: &Json) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| value.as_u64())
        .unwrap_or_else(|| panic!("{value} is no number"))
}
