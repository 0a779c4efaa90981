//! The provider that does nothing: terraform takes it for one that does.

use acceptance::{Workspace, under_each_tool};

const SERVERS: &str = r#"
terraform {
  required_providers {
    idle = { source = "dynvm/idle" }
  }
}
resource "idle_server" "it" {
  count = 2
  name  = "idle-${count.index}"
  os    = "debian12"
}
"#;

fn lives(workspace: &Workspace) {
    workspace.apply();
    workspace.expect_empty_plan();
    workspace.expect_empty_refresh();
    workspace.destroy();
}

#[test]
fn it_is_created_read_and_destroyed() {
    under_each_tool(|tool| {
        let workspace = Workspace::idle(tool);
        workspace.write("main.tf", SERVERS);
        lives(&workspace);
    });
}

#[test]
fn it_can_be_installed_and_the_state_be_on_the_network() {
    under_each_tool(|tool| {
        let workspace = Workspace::idle_installed(tool).with_remote_state();
        workspace.write("main.tf", SERVERS);
        workspace.init();
        lives(&workspace);
        assert!(
            !workspace.in_module("terraform.tfstate").exists(),
            "a state beside the one on the network"
        );
    });
}
