//! Many servers at once: the pool's storage takes one at a time, so nobody may knock twice.

use std::collections::BTreeSet;

use acceptance::{Lab, under_each_tool};

#[test]
fn thirty_on_one_storage_never_collide() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for host in world.pools["lab1"].hosts.values_mut() {
                host.cpus = 64;
            }
        });
        let before = lab.world();
        let thirty = r#"
resource "dynvm_server" "node" {
  count = 30
  name  = "node-${count.index}"
  os    = "debian12"
  pool  = "lab1"
}
"#;
        let workspace = lab.workspace(tool, &[thirty]);
        workspace.apply_with(&["-parallelism=30"]);
        let state = workspace.state();
        let addresses: BTreeSet<String> = (0..30)
            .map(|index| state.text(&format!("dynvm_server.node[{index}]"), "ip_address"))
            .collect();
        assert_eq!(addresses.len(), 30);
        workspace.expect_empty_plan();
        let destroy = [
            "destroy",
            "-auto-approve",
            "-input=false",
            "-no-color",
            "-parallelism=30",
        ];
        workspace.run(&destroy).expect_success();
        let operations = lab.control().sr_operations();
        let conflicts: Vec<_> = operations.iter().filter(|operation| operation.conflicts > 0).collect();
        assert!(conflicts.is_empty(), "{conflicts:#?}");
        assert!(
            operations.len() >= 60,
            "a clone and a removal for each: {}",
            operations.len()
        );
        acceptance::assert_unchanged(&lab, &before);
    });
}

#[test]
fn two_labs_share_the_load() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let ten = "resource \"dynvm_server\" \"node\" {\n  count = 40\n  name = \"n\"\n  os = \"debian12\"\n}\n";
        let workspace = lab.workspace(tool, &[ten]);
        workspace.apply_with(&["-parallelism=40"]);
        let state = workspace.state();
        let pools: BTreeSet<String> = (0..40)
            .map(|index| state.text(&format!("dynvm_server.node[{index}]"), "pool"))
            .collect();
        assert_eq!(
            pools.len(),
            2,
            "the pool with most room changes as they fill: {pools:?}"
        );
        workspace
            .run(&["destroy", "-auto-approve", "-input=false", "-parallelism=40"])
            .expect_success();
    });
}
