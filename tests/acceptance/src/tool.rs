//! Which programs are under test: each of terraform and tofu that is on the PATH, and what was built beside this executable.

use std::env;
use std::path::{Path, PathBuf};

/// Terraform or OpenTofu.
#[derive(Clone, Debug)]
pub struct Tool {
    /// `terraform` or `tofu`.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
}

impl Tool {
    /// The tools on the PATH; there is at least one.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let found: Vec<Self> = ["terraform", "tofu"]
            .into_iter()
            .filter_map(|name| on_path(name).map(|path| Self { name, path }))
            .collect();
        assert!(
            !found.is_empty(),
            "neither terraform nor tofu is on the PATH: install one of them"
        );
        found
    }

    /// The first tool on the PATH, for what needs no other.
    #[must_use]
    pub fn first() -> Self {
        Self::all().swap_remove(0)
    }
}

/// Runs a case once under each tool.
pub fn under_each_tool(case: impl Fn(&Tool)) {
    for tool in Tool::all() {
        case(&tool);
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The provider that was built in the profile of this executable.
#[must_use]
pub fn provider_binary() -> PathBuf {
    built("terraform-provider-dynvm", "dynvm")
}

/// The provider that does nothing and was built in the profile of this executable.
#[must_use]
pub fn idle_provider_binary() -> PathBuf {
    built("idle-provider", "acceptance")
}

/// The reaper that was built in the profile of this executable.
#[must_use]
pub fn reaper_binary() -> PathBuf {
    built("dynvm-reaper", "reaper")
}

fn built(name: &str, package: &str) -> PathBuf {
    let here = env::current_exe().expect("this executable has a path");
    let folders: Vec<&Path> = here.ancestors().skip(1).take(2).collect();
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("no {name} in {folders:?}: `make test` builds it first, `cargo build -p {package}` alone too")
        })
}
