//! Modules, `terraform test`, and a provider that was installed rather than overridden.

use std::time::Duration;

use acceptance::{Lab, REQUIRED, Workspace, assert_unchanged, under_each_tool, whole_life};

/// A module of so many servers.
const CLUSTER: &str = r#"
variable "size" { type = number }
variable "ttl" {
  type    = string
  default = null
}
resource "dynvm_server" "node" {
  count = var.size
  name  = "node-${count.index}"
  os    = "debian12"
  ttl   = var.ttl
}
output "addresses" { value = dynvm_server.node[*].ip_address }
output "expires_at" { value = dynvm_server.node[*].expires_at }
"#;

#[test]
fn servers_in_a_module_after_init() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = Workspace::installed(tool);
        workspace.write("cluster/main.tf", &format!("{REQUIRED}{CLUSTER}"));
        let root = "module \"cluster\" {\n  source = \"./cluster\"\n  size = 2\n}\noutput \"all\" { value = module.cluster.addresses }\n";
        workspace.main(&[&lab.provider().to_string(), root]);
        workspace.init().expect_text("dynvm/dynvm");
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.output("all").as_array().map(Vec::len), Some(2));
        });
    });
}

#[test]
fn terraform_test_on_a_module() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = Workspace::installed(tool);
        workspace.main(&[CLUSTER]);
        let test = format!(
            r#"
{}
variables {{ size = 2 }}
run "come_up" {{
  assert {{
    condition     = alltrue([for address in output.addresses : can(cidrhost("${{address}}/32", 0))])
    error_message = "every server has an address"
  }}
}}
run "shorter" {{
  variables {{ ttl = "30m" }}
  assert {{
    condition     = output.addresses == run.come_up.addresses && output.expires_at != run.come_up.expires_at
    error_message = "the same servers, another lease"
  }}
}}
run "too_long" {{
  command = plan
  variables {{ size = 3 }}
  assert {{
    condition     = dynvm_server.node[2].name == "node-2"
    error_message = "one more is planned"
  }}
}}
"#,
            lab.provider()
        );
        workspace.write("tests/life.tftest.hcl", &test);
        workspace.init();
        let outcome = workspace.spawn(&["test", "-no-color"]).wait(Duration::from_secs(120));
        outcome.expect_success().expect_text("3 passed, 0 failed");
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn the_binary_speaks_to_people_too() {
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(acceptance::provider_binary())
            .args(arguments)
            .env_clear()
            .output()
            .expect("the provider");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = run(&[]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.contains("Terraform or OpenTofu starts it"),
        "a friendly sentence: {stderr}"
    );
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("terraform-provider-dynvm 0."), "{stdout}");
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("install"), "{stdout}");
}
