//! What terraform itself takes: the same commands on as many resources of a provider that does nothing.

use acceptance::Workspace;
use anyhow::Result;

use crate::place::Place;
use crate::watch::{Phases, watch};

/// How many resources terraform works on at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parallelism(pub(crate) u32);

/// Terraform itself, command by command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Itself {
    pub(crate) create: Phases,
    /// The whole command, in seconds.
    pub(crate) refresh: f64,
    /// The whole command, in seconds.
    pub(crate) plan: f64,
    pub(crate) destroy: Phases,
}

impl Itself {
    /// With a provider that is installed, and a state on the network.
    pub(crate) fn of_a_team(place: &Place, servers: u32, at_once: Parallelism) -> Result<Self> {
        let workspace = place.idle_servers_of_a_team(servers);
        Ok(Self {
            create: creating(&workspace, at_once)?,
            refresh: watch(&workspace, &at_once.refresh())?.wall(),
            plan: watch(&workspace, &at_once.plan())?.wall(),
            destroy: watch(&workspace, &at_once.destroy())?.phases()?,
        })
    }
}

/// Terraform itself when it creates the resources of a module.
pub(crate) fn creating(workspace: &Workspace, at_once: Parallelism) -> Result<Phases> {
    watch(workspace, &at_once.apply())?.phases()
}

impl Parallelism {
    /// Creates what is not there yet.
    pub(crate) fn apply(self) -> Vec<String> {
        self.with(&["apply", "-auto-approve", "-json"])
    }

    /// A refresh. Its detailed exit code would be chance: see `Workspace::expect_empty_refresh`.
    pub(crate) fn refresh(self) -> Vec<String> {
        self.with(&["plan", "-refresh-only", "-no-color"])
    }

    /// A plan that must find nothing to do.
    pub(crate) fn plan(self) -> Vec<String> {
        self.with(&["plan", "-detailed-exitcode", "-no-color"])
    }

    /// Destroys everything.
    pub(crate) fn destroy(self) -> Vec<String> {
        self.with(&["destroy", "-auto-approve", "-json"])
    }

    fn with(self, arguments: &[&str]) -> Vec<String> {
        let all = arguments.iter().copied().map(str::to_owned);
        all.chain(["-input=false".to_owned(), format!("-parallelism={}", self.0)])
            .collect()
    }
}
