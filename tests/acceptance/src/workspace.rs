//! A folder with a module, and a terraform that sees nothing of this machine but the provider that was built.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::outcome::Outcome;
use crate::process::Running;
use crate::sandbox::{LIMIT, Sandbox};
use crate::state::{Plan, State};
use crate::state_store::StateStore;
use crate::tool::{Tool, idle_provider_binary, provider_binary};

/// What every module begins with.
pub const REQUIRED: &str = "terraform {\n  required_providers {\n    dynvm = { source = \"dynvm/dynvm\" }\n  }\n}\n";

/// How often a refresh of one object may come out odd by chance.
const REFRESHES: usize = 24;

/// A module in a folder of its own, with its own home, temporary folder and CLI configuration.
#[derive(Debug)]
pub struct Workspace {
    sandbox: Sandbox,
    tool: Tool,
    /// Where the state is, unless it is in the module's folder.
    store: Option<StateStore>,
}

impl Workspace {
    /// An empty module that uses the built provider without `init`.
    #[must_use]
    pub fn new(tool: &Tool) -> Self {
        Self::overriding(tool, "dynvm", &provider_binary())
    }

    /// An empty module that uses the provider that does nothing, `dynvm/idle`, in the same way.
    #[must_use]
    pub fn idle(tool: &Tool) -> Self {
        Self::overriding(tool, "idle", &idle_provider_binary())
    }

    fn overriding(tool: &Tool, name: &str, provider: &Path) -> Self {
        let workspace = Self::bare(tool);
        let bin = workspace.path("bin");
        fs::create_dir(&bin).expect("a folder");
        // The folder holds the one link and nothing else: terraform takes whatever lies there for a provider.
        symlink(provider, bin.join(format!("terraform-provider-{name}"))).expect("a link");
        workspace.configure(&format!(
            "provider_installation {{\n  dev_overrides {{ \"dynvm/{name}\" = {:?} }}\n  direct {{}}\n}}\n",
            bin.display().to_string()
        ));
        workspace
    }

    /// An empty module that finds the provider where `terraform-provider-dynvm install` put it, and so needs `init`.
    #[must_use]
    pub fn installed(tool: &Tool) -> Self {
        let workspace = Self::bare(tool);
        let mirror = workspace.path("plugins");
        let mut install = Command::new(provider_binary());
        install.arg("install").arg("--plugins").arg(&mirror);
        let what = "terraform-provider-dynvm install".to_owned();
        let outcome = workspace.start(what, install).wait(LIMIT).expect_success();
        assert_eq!(outcome.stdout, "", "stdout belongs to the handshake");
        workspace.mirrored(&mirror)
    }

    /// An empty module that finds the provider that does nothing where others are installed, and so needs `init`.
    #[must_use]
    pub fn idle_installed(tool: &Tool) -> Self {
        let workspace = Self::bare(tool);
        let mirror = workspace.path("plugins");
        for host in ["registry.terraform.io", "registry.opentofu.org"] {
            let folder = mirror.join(host).join("dynvm/idle/0.1.0").join(platform());
            fs::create_dir_all(&folder).expect("a folder");
            let target = folder.join("terraform-provider-idle_v0.1.0");
            fs::copy(idle_provider_binary(), target).expect("a copy of the provider");
        }
        workspace.mirrored(&mirror)
    }

    fn mirrored(self, mirror: &Path) -> Self {
        self.configure(&format!(
            "provider_installation {{\n  filesystem_mirror {{ path = {:?} }}\n}}\n",
            mirror.display().to_string()
        ));
        self
    }

    /// With its state on the network, as a team has it; it needs `init`.
    #[must_use]
    pub fn with_remote_state(mut self) -> Self {
        let store = StateStore::start();
        self.write("backend.tf", &store.backend());
        self.store = Some(store);
        self
    }

    fn bare(tool: &Tool) -> Self {
        let mut workspace = Self {
            sandbox: Sandbox::new(),
            tool: tool.clone(),
            store: None,
        };
        fs::create_dir(workspace.path("module")).expect("a folder");
        let configuration = workspace.path("cli.tfrc").display().to_string();
        let fixed = [
            ("TF_CLI_CONFIG_FILE", configuration.as_str()),
            ("CHECKPOINT_DISABLE", "1"),
            ("TF_IN_AUTOMATION", "1"),
        ];
        for (name, value) in fixed {
            workspace.set(name, value);
        }
        workspace
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("cli.tfrc"), text).expect("the CLI configuration");
    }

    /// A path beside the module.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path(name)
    }

    /// A path in the module.
    #[must_use]
    pub fn in_module(&self, name: &str) -> PathBuf {
        self.path("module").join(name)
    }

    /// Writes a file of the module.
    pub fn write(&self, name: &str, text: &str) {
        let file = self.in_module(name);
        let parent = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).expect("a folder of the module");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Writes `main.tf`: which provider it needs, and these parts.
    pub fn main(&self, parts: &[&str]) {
        self.write("main.tf", &format!("{REQUIRED}\n{}\n", parts.join("\n")));
    }

    /// Sets a variable in the environment of every later command.
    pub fn set(&mut self, name: &str, value: &str) {
        self.sandbox.set(name, value);
    }

    /// Removes a variable again.
    pub fn unset(&mut self, name: &str) {
        self.sandbox.unset(name);
    }

    /// Starts a command in the module.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(&self.tool.path);
        command.args(arguments);
        self.start(format!("{} {}", self.tool.name, arguments.join(" ")), command)
    }

    fn start(&self, what: String, mut command: Command) -> Running {
        command.current_dir(self.path("module"));
        self.sandbox.start(what, command)
    }

    /// Runs a command in the module to its end, whatever that is.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.spawn(arguments).wait(LIMIT)
    }

    /// Applies the module.
    #[track_caller]
    pub fn apply(&self) -> Outcome {
        self.apply_with(&[])
    }

    /// Applies the module with further arguments.
    #[track_caller]
    pub fn apply_with(&self, further: &[&str]) -> Outcome {
        let mut arguments = vec!["apply", "-auto-approve", "-input=false", "-no-color"];
        arguments.extend(further);
        self.run(&arguments).expect_success()
    }

    /// Tries to apply the module, with messages as JSON.
    #[must_use]
    pub fn try_apply(&self) -> Outcome {
        self.run(&["apply", "-auto-approve", "-input=false", "-json"])
    }

    /// Tries to plan, with messages as JSON.
    #[must_use]
    pub fn try_plan(&self) -> Outcome {
        self.run(&["plan", "-input=false", "-json"])
    }

    /// Tries to destroy, with messages as JSON.
    #[must_use]
    pub fn try_destroy(&self) -> Outcome {
        self.run(&["destroy", "-auto-approve", "-input=false", "-json"])
    }

    /// Demands that a plan finds nothing to do.
    #[track_caller]
    pub fn expect_empty_plan(&self) {
        let outcome = self.run(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]);
        assert_eq!(outcome.code, Some(0), "a plan with nothing to do\n{outcome}");
    }

    /// Demands that a refresh finds nothing that changed, not even in a form that Terraform would not show.
    ///
    /// The exit code tells of such forms: Terraform compares numbers bit by bit (hashicorp/terraform#37406). It also compares the list of an
    /// object's sensitive attributes, which it makes in any order: where there are two, a refresh in two ends with 2 and shows nothing. So
    /// each object is then asked about alone, until it comes out even.
    #[track_caller]
    pub fn expect_empty_refresh(&self) {
        let outcome = self.planned_refresh(&[]);
        if outcome.code == Some(2) && outcome.stdout.contains("found no differences") {
            let listed = self.run(&["state", "list"]).expect_success();
            for address in listed.stdout.lines().filter(|address| !address.contains("data.")) {
                self.expect_even_refresh(address);
            }
            return;
        }
        assert_eq!(outcome.code, Some(0), "a refresh that finds no change\n{outcome}");
    }

    /// Plans a refresh, whatever it finds.
    #[track_caller]
    pub fn plan_refresh(&self) -> Outcome {
        self.run(&["plan", "-refresh-only", "-input=false", "-no-color"])
            .expect_success()
    }

    #[track_caller]
    fn expect_even_refresh(&self, address: &str) {
        let target = format!("-target={address}");
        let is_even = (0..REFRESHES).any(|_| self.planned_refresh(&[&target]).code == Some(0));
        assert!(is_even, "{address} is never the same after a refresh");
    }

    fn planned_refresh(&self, further: &[&str]) -> Outcome {
        let mut arguments = vec![
            "plan",
            "-refresh-only",
            "-detailed-exitcode",
            "-input=false",
            "-no-color",
        ];
        arguments.extend(further);
        self.run(&arguments)
    }

    /// Saves a plan as `tfplan` and reads it; it may be empty.
    #[track_caller]
    pub fn plan(&self) -> Plan {
        self.run(&["plan", "-out=tfplan", "-input=false", "-no-color"])
            .expect_success();
        Plan::read(self.show(&["tfplan"]))
    }

    /// Takes over what changed in the pools.
    #[track_caller]
    pub fn refresh(&self) -> Outcome {
        self.apply_with(&["-refresh-only"])
    }

    /// Destroys everything.
    #[track_caller]
    pub fn destroy(&self) -> Outcome {
        self.run(&["destroy", "-auto-approve", "-input=false", "-no-color"])
            .expect_success()
    }

    /// The state.
    #[track_caller]
    pub fn state(&self) -> State {
        State::read(self.show(&[]))
    }

    #[track_caller]
    fn show(&self, further: &[&str]) -> Json {
        let mut arguments = vec!["show", "-json"];
        arguments.extend(further);
        let outcome = self.run(&arguments).expect_success();
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error} in\n{outcome}"))
    }

    /// Runs `init`, which an installed provider and modules need.
    #[track_caller]
    pub fn init(&self) -> Outcome {
        self.run(&["init", "-input=false", "-no-color"]).expect_success()
    }

    /// What commands have left in the temporary folder.
    #[must_use]
    pub fn temporary_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("tmp")).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// All that commands have printed so far and every file of the module, state included; file name -> text.
    #[must_use]
    pub fn everything_written(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.path("logs"), self.path("module"), self.path("tmp")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    found.insert(path.display().to_string(), bytes);
                }
            }
        }
        found
    }
}

/// The platform in Go's names.
fn platform() -> String {
    use std::env::consts::{ARCH, OS};
    let arch = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{OS}_{arch}")
}
