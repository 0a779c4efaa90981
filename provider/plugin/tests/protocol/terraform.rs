//! The example under the real Terraform.

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
};

use crate::process::{Process, binary};

/// A directory with a configuration, in which Terraform finds the provider.
struct Workspace {
    directory: TempDir,
}

impl Workspace {
    fn new(resources: &str) -> Workspace {
        let workspace = Workspace {
            directory: tempfile::tempdir().unwrap(),
        };
        let path = workspace.directory.path();
        fs::create_dir(path.join("plugins")).unwrap();
        // A directory of its own: beside the binary cargo keeps files whose names look like providers.
        symlink(binary(), path.join("plugins/terraform-provider-corner")).unwrap();
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"acme/corner\" = {:?}\n  }}\n  direct {{}}\n}}\n",
            path.join("plugins")
        );
        fs::write(path.join("terraform.rc"), overrides).unwrap();
        workspace.configure(resources);
        workspace
    }

    fn configure(&self, resources: &str) {
        let header = r#"
            terraform {
              required_providers {
                corner = { source = "acme/corner" }
              }
            }
            provider "corner" {}
        "#;
        fs::write(self.directory.path().join("main.tf"), format!("{header}{resources}")).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.directory.path())
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_CONFIG_FILE", self.directory.path().join("terraform.rc"))
            .env("TF_IN_AUTOMATION", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.run_with(arguments, &[]).await
    }

    async fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
        let Output { status, stdout, stderr } = self
            .command(arguments)
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        (
            status.code().unwrap(),
            String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr),
        )
    }

    /// The only resource in the state.
    fn resource(&self) -> Value {
        let state: Value =
            serde_json::from_slice(&fs::read(self.directory.path().join("terraform.tfstate")).unwrap()).unwrap();
        assert_eq!(state["resources"].as_array().map(Vec::len), Some(1), "{state}");
        state["resources"][0]["instances"][0].clone()
    }
}

const APPLY: [&str; 4] = ["apply", "-auto-approve", "-no-color", "-input=false"];
const PLAN: [&str; 4] = ["plan", "-detailed-exitcode", "-no-color", "-input=false"];
const DESTROY: [&str; 4] = ["destroy", "-auto-approve", "-no-color", "-input=false"];

#[tokio::test]
async fn a_life_from_create_to_destroy() {
    let thing = |size: u8| {
        format!(
            r#"
            resource "corner_thing" "a" {{
              name   = "a"
              size   = {size}
              tags   = ["x", "y"]
              parts  = {{ lid = {{ count = 2 }} }}
              secret = "not to be stored"
            }}
            data "corner_greeting" "b" {{ name = corner_thing.a.id }}
            output "greeting" {{ value = data.corner_greeting.b.text }}
            output "loud" {{ value = provider::corner::shout("a", corner_thing.a.label) }}
            "#
        )
    };
    let workspace = Workspace::new(&thing(1));
    let (code, text) = workspace.run(&["validate", "-no-color"]).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = workspace.run(&APPLY).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(r#"greeting = "hello thing-a""#) && text.contains(r#"loud = "A A OF SIZE 1""#),
        "{text}"
    );
    assert!(
        !fs::read_to_string(workspace.directory.path().join("terraform.tfstate"))
            .unwrap()
            .contains("not to be stored")
    );
    let (code, text) = workspace.run(&PLAN).await;
    assert_eq!(code, 0, "{text}");

    workspace.configure(&thing(2));
    let (code, text) = workspace.run(&APPLY).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("0 added, 1 changed, 0 destroyed") && text.contains("A A OF SIZE 2"),
        "{text}"
    );
    assert_eq!(workspace.run(&PLAN).await.0, 0);

    let (code, text) = workspace.run(&DESTROY).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 destroyed"), "{text}");
}

#[tokio::test]
async fn a_change_that_needs_a_new_object_replaces() {
    let named = |name: &str| format!("resource \"corner_thing\" \"a\" {{ name = \"{name}\" }}");
    let workspace = Workspace::new(&named("a"));
    assert_eq!(workspace.run(&APPLY).await.0, 0);
    workspace.configure(&named("b"));
    let (code, text) = workspace.run(&APPLY).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 added, 0 changed, 1 destroyed"), "{text}");
    assert_eq!(workspace.resource()["attributes"]["id"], "thing-b");
}

#[tokio::test]
async fn a_mistake_is_shown_at_its_attribute() {
    let workspace = Workspace::new("resource \"corner_thing\" \"a\" {\n  name = \"forbidden\"\n}\n");
    let (code, text) = workspace.run(&PLAN).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Error: Forbidden name") && text.contains("name = \"forbidden\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_crash_keeps_what_exists() {
    let workspace =
        Workspace::new("resource \"corner_thing\" \"a\" {\n  name = \"a\"\n  behaviour = \"panic midway\"\n}\n");
    let (code, text) = workspace.run(&APPLY).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Error: The provider crashed") && text.contains("the thing fell over midway"),
        "{text}"
    );
    assert!(text.contains("The terraform-provider-corner plugin crashed!"), "{text}");
    let saved = workspace.resource();
    assert_eq!(
        (&saved["attributes"]["id"], &saved["status"]),
        (&"begun".into(), &"tainted".into())
    );
}

#[tokio::test]
async fn an_interrupt_saves_what_exists() {
    let workspace = Workspace::new("resource \"corner_thing\" \"a\" {\n  name = \"a\"\n  behaviour = \"slow\"\n}\n");
    let mut child = workspace
        .command(&APPLY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("Creating...") {}
    let id = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .await
            .unwrap()
            .success()
    );
    let mut rest = String::new();
    let mut stderr = child.stderr.take().unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest.push_str(&line);
    }
    stderr.read_to_string(&mut rest).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("Error: Create stopped"), "{rest}");
    assert_eq!(workspace.resource()["attributes"]["id"], "begun");
}

#[tokio::test]
async fn an_existing_object_is_imported() {
    let workspace = Workspace::new("resource \"corner_thing\" \"a\" { name = \"a\" }");
    let (code, text) = workspace
        .run(&["import", "-no-color", "corner_thing.a", "thing-a"])
        .await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(workspace.resource()["attributes"]["label"], "a of size 1");
    let (code, text) = workspace.run(&PLAN).await;
    assert_eq!(code, 0, "{text}");
}

#[tokio::test]
async fn log_lines_have_their_level() {
    let workspace = Workspace::new("resource \"corner_thing\" \"a\" { name = \"a\" }");
    let (code, text) = workspace.run_with(&APPLY, &[("TF_LOG_PROVIDER", "INFO")]).await;
    assert_eq!(code, 0, "{text}");
    let line = text
        .lines()
        .find(|line| line.contains(": created:"))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains("[INFO]  provider.terraform-provider-corner: created:"),
        "{line}"
    );
    assert!(
        line.contains("tf_resource_type=corner_thing") && line.contains("tf_rpc=ApplyResourceChange"),
        "{line}"
    );
}

#[tokio::test]
async fn a_host_attaches_to_a_provider_that_runs() {
    let mut process = Process::start(&["--debug"], &[]);
    let mut line = String::new();
    while !line.contains("TF_REATTACH_PROVIDERS=") {
        line = process.lines.next_line().await.unwrap().unwrap();
    }
    let value = line
        .trim()
        .trim_start_matches("export TF_REATTACH_PROVIDERS='")
        .trim_end_matches('\'');
    let workspace = Workspace::new("resource \"corner_thing\" \"a\" { name = \"a\" }");
    for arguments in [APPLY, PLAN, DESTROY] {
        let (code, text) = workspace
            .run_with(&arguments, &[("TF_REATTACH_PROVIDERS", value)])
            .await;
        assert_eq!(code, 0, "{text}");
    }
    process.signal("-INT").await;
    assert_eq!(process.ended().await.0.code(), Some(0));
}
