//! The built reaper for the pools of a lab, with a configuration and a memory of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;

use crate::lab::Lab;
use crate::module::{PoolBlock, ProviderBlock, quoted};
use crate::outcome::Outcome;
use crate::process::Running;
use crate::sandbox::{LIMIT, Sandbox};
use crate::tool::reaper_binary;

/// `dynvm-reaper` as its user has set it up. What it remembers between runs goes with this.
#[derive(Debug)]
pub struct Reaper {
    sandbox: Sandbox,
}

impl Reaper {
    /// A reaper of all pools of a lab.
    #[must_use]
    pub fn new(lab: &Lab) -> Self {
        Self::with(lab, "")
    }

    /// A reaper of all pools of a lab whose configuration has further lines, such as `grace = "1m"`.
    #[must_use]
    pub fn with(lab: &Lab, further: &str) -> Self {
        let reaper = Self {
            sandbox: Sandbox::new(),
        };
        reaper.configure(&all_pools(lab), further);
        reaper
    }

    /// Writes the configuration anew: the provider's `pools`, and further lines. A running reaper reads it on SIGHUP.
    pub fn configure(&self, pools: &ProviderBlock, further: &str) {
        let state = quoted(&self.state_dir().display().to_string());
        let text = format!("pools = {}\nstate_dir = {state}\n{further}\n", pools.pools());
        fs::write(self.config(), text).expect("the reaper's configuration");
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.sandbox.path("reaper.hcl")
    }

    /// What it remembers; the reaper makes the folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.sandbox.path("state")
    }

    /// Sets a variable in the environment of every later command.
    pub fn set(&mut self, name: &str, value: &str) {
        self.sandbox.set(name, value);
    }

    /// Starts a verb with its arguments, such as `["run"]`.
    #[must_use]
    pub fn spawn(&self, verb: &[&str]) -> Running {
        let mut command = Command::new(reaper_binary());
        command.arg("--config").arg(self.config()).args(verb);
        command.current_dir(self.sandbox.path("home"));
        self.sandbox.start(format!("dynvm-reaper {}", verb.join(" ")), command)
    }

    /// Runs a verb to its end, whatever that is.
    #[must_use]
    pub fn verb(&self, verb: &[&str]) -> Outcome {
        self.spawn(verb).wait(LIMIT)
    }

    /// One cycle over all pools.
    #[must_use]
    pub fn run_once(&self) -> Outcome {
        self.verb(&["run", "--once"])
    }

    /// What a verb prints with `-o json`; it must succeed.
    #[track_caller]
    #[must_use]
    pub fn json(&self, verb: &[&str]) -> Json {
        let arguments: Vec<&str> = verb.iter().copied().chain(["-o", "json"]).collect();
        let outcome = self.verb(&arguments).expect_success();
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error} in\n{outcome}"))
    }
}

/// The entries of all pools of a lab: where they are and how to log in, and nothing that only a provider needs.
fn all_pools(lab: &Lab) -> ProviderBlock {
    let pools = lab.control().pools();
    pools.iter().fold(ProviderBlock::default(), |block, pool| {
        block.with_pool(&pool.name, PoolBlock::of(pool))
    })
}
