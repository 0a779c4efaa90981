//! A folder of its own for programs that see nothing else of this machine than the PATH.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Running;

/// Longer than any command of a healthy run.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A home, a temporary folder, and the output of all that ran; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Sandbox {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    runs: Cell<u32>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("dynvm")
            .tempdir()
            .expect("a temporary folder");
        let sandbox = Self {
            folder,
            environment: BTreeMap::new(),
            runs: Cell::new(0),
        };
        for name in ["home", "tmp", "logs"] {
            fs::create_dir(sandbox.path(name)).expect("a folder");
        }
        sandbox
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a variable in the environment of every later command.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Removes a variable again.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Starts a command whose output goes to `logs`.
    pub(crate) fn start(&self, what: String, mut command: Command) -> Running {
        let number = self.runs.get() + 1;
        self.runs.set(number);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("USER", "tester")
            .envs(&self.environment);
        let log = |stream: &str| self.path("logs").join(format!("{number:03}.{stream}"));
        Running::start(what, command, log("out"), log("err"))
    }
}
