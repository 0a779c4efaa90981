//! A command of terraform under watch: how long it took, and what it and its providers used.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use acceptance::{Outcome, Workspace};
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tokio::runtime;
use tokio::time::{MissedTickBehavior, interval};

use crate::usage::{self, Used};

/// How often the processes are looked at. The kernel keeps their peaks: only what comes after the last look is missed.
const LOOK: Duration = Duration::from_millis(25);
/// Longer than the longest command.
const LIMIT: Duration = Duration::from_secs(900);

/// A command that ended well.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) outcome: Outcome,
    /// When it was started.
    begun: Timestamp,
    /// By all of its providers: terraform starts one for each of its steps.
    pub(crate) provider: Used,
    pub(crate) terraform: Used,
    /// By this process, in which the simulator runs.
    pub(crate) simulator: Duration,
}

/// The part of a command in which terraform lets its provider change things, and what comes before and after, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phases {
    pub(crate) before: f64,
    pub(crate) during: f64,
    pub(crate) after: f64,
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn watch(workspace: &Workspace, arguments: &[String]) -> Result<Watched> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let own = || usage::used_roughly(std::process::id()).context("this process is not in /proc");
    let before = own()?;
    let begun = Timestamp::now();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let running = workspace.spawn(&arguments);
    let (terraform, providers) = runtime.block_on(look_at(running.pid()));
    let outcome = running.wait(LIMIT).expect_success();
    let used = |sum: Used, (_, one): (u32, Used)| sum.and(one);
    let provider = providers.into_iter().fold(Used::default(), used);
    ensure!(provider.peak_kib > 0, "no provider was seen beside terraform");
    Ok(Watched {
        outcome,
        begun,
        provider,
        terraform,
        simulator: own()?.cpu.saturating_sub(before.cpu),
    })
}

/// What a process and its children have used when they were last seen.
async fn look_at(terraform: u32) -> (Used, BTreeMap<u32, Used>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut itself, mut providers) = (Used::default(), BTreeMap::new());
    // A process that has ended has no memory any more; terraform is the last of its group.
    while let Some(used) = usage::used_roughly(terraform) {
        itself = used;
        for child in children(terraform).into_iter().filter(|child| is_provider(*child)) {
            providers.extend(usage::used(child).map(|used| (child, used)));
        }
        looks.tick().await;
    }
    (itself, providers)
}

/// The processes that the threads of a process have started.
fn children(parent: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| {
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<u32>>()
    };
    lists.flat_map(numbers).collect()
}

/// Whether a process has become a provider: before its exec it is a copy of terraform.
fn is_provider(pid: u32) -> bool {
    let file = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.starts_with("terraform-provider-") || name == "idle-provider"
}

impl Watched {
    /// From its start to its end, in seconds.
    pub(crate) fn wall(&self) -> f64 {
        self.outcome.took.as_secs_f64()
    }

    /// What it took of whom, in one line.
    pub(crate) fn summary(&self) -> String {
        let [provider, terraform, simulator] =
            [self.provider.cpu, self.terraform.cpu, self.simulator].map(|cpu| cpu.as_secs_f64());
        format!(
            "{:.2} s; CPU time of the provider {provider:.2} s, of terraform {terraform:.2} s, of the simulator {simulator:.2} s",
            self.wall()
        )
    }

    /// Which part of the time of all processors it took, with all that belongs to it.
    pub(crate) fn load(&self) -> f64 {
        let cpu = self.provider.cpu + self.terraform.cpu + self.simulator;
        let processors = available_parallelism().map_or(1, NonZero::get);
        let processors = u32::try_from(processors).map_or(f64::INFINITY, f64::from);
        cpu.as_secs_f64() / self.wall() / processors
    }

    /// The phases of an `apply -json` or `destroy -json`.
    pub(crate) fn phases(&self) -> Result<Phases> {
        let instants = |kind: &str| -> Result<Vec<Timestamp>> {
            let messages = self.outcome.messages(kind);
            let stamps = messages
                .iter()
                .filter_map(|message| message.get("@timestamp")?.as_str());
            stamps
                .map(|stamp| stamp.parse().context("an instant of terraform"))
                .collect()
        };
        let first = instants("apply_start")?
            .into_iter()
            .min()
            .context("nothing was applied")?;
        let last = instants("apply_complete")?
            .into_iter()
            .max()
            .context("nothing was applied")?;
        let before = first.duration_since(self.begun).as_secs_f64();
        let during = last.duration_since(first).as_secs_f64();
        Ok(Phases {
            before,
            during,
            after: (self.wall() - before - during).max(0.0),
        })
    }
}

impl Phases {
    /// What a run takes at least in which the pools take so many seconds for what is changed: terraform's own work on the changes goes
    /// on beside theirs, all of its other work does not.
    pub(crate) fn around(&self, pools: f64) -> f64 {
        self.before + self.during.max(pools) + self.after
    }
}
