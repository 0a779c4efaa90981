//! The verbs: what a person, or a schedule, asks of the reaper. Each prints its results to a writer and gives its exit code.
//!
//! `run` without `--once` is [`crate::daemon`]. Of the others `run --once` deletes, `extend`, `keep`, `unkeep` and `unclaim` change the
//! marks of VMs that a person names, `ack` writes to the state folder; the rest change nothing.

mod ack;
mod change;
mod choose;
mod doctor;
mod explain;
mod extend;
mod history;
mod list;
mod plan;
mod run_once;
mod wishes;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use futures::StreamExt as _;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::{Arguments, Form, Verb};
use crate::config::Environment;
use crate::daemon;
use crate::ground::Memories;
use crate::memory::StateDir;
use crate::once::Once;
use crate::output::Printer;
use crate::setup::{Setup, SetupError, Source};
use crate::signals::{Signal, Signals};
use crate::survey::SurveyError;

/// Why a verb has no result.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// It cannot start as configured; no pool was contacted.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It was not used as it can be; nothing was changed.
    #[error("dynvm-reaper: {0}")]
    Usage(String),
    /// It was tried and failed.
    #[error("dynvm-reaper: {0}")]
    Failed(String),
    /// The result cannot be written.
    #[error("dynvm-reaper: the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Carries out what the command line asks for; gives the exit code.
///
/// # Errors
/// There is no result to print, or it cannot be printed.
pub async fn carry_out(
    arguments: &Arguments,
    environment: Environment,
    mut signals: Signals,
    out: &mut (dyn Write + Send),
) -> Result<u8, VerbError> {
    let verb = &arguments.verb;
    let form = arguments.global.output;
    if form == Form::Csv && !matches!(verb, Verb::History(_)) {
        return Err(VerbError::Usage("only history is printed as csv".to_owned()));
    }
    let source = Source {
        file: arguments.global.config.clone(),
        environment,
        state_dir: arguments.global.state_dir.clone(),
        listen: verb.listen(),
    };
    if verb.stays() {
        return Ok(daemon::run(source, signals).await?);
    }
    let setup = source.read()?;
    setup.warn();
    let person = source.environment.person();
    let stop = CancellationToken::new();
    let mut printer = Printer::new(form, out);
    let ended = {
        let mut work = std::pin::pin!(once(verb, &setup, &person, &stop, &mut printer));
        loop {
            tokio::select! {
                done = &mut work => break done,
                Some(Signal::End(code)) = signals.next() => {
                    if !verb.finishes_steps() || stop.is_cancelled() {
                        break Ok(code);
                    }
                    stop.cancel();
                }
            }
        }
    };
    setup.log_out().await;
    ended
}

async fn once(
    verb: &Verb,
    setup: &Setup,
    person: &str,
    stop: &CancellationToken,
    printer: &mut Printer<'_>,
) -> Result<u8, VerbError> {
    match verb {
        Verb::Run(_) => run_once::run_once(setup, stop, printer).await,
        Verb::Plan(options) => plan::plan(setup, options, printer).await,
        Verb::List => list::list(setup, printer).await,
        Verb::Explain(asked) => explain::explain(setup, asked, printer).await,
        Verb::Extend(asked) => extend::extend(setup, asked, person, printer).await,
        Verb::Keep(chosen) => wishes::keep(setup, chosen, printer).await,
        Verb::Unkeep(chosen) => wishes::unkeep(setup, chosen, printer).await,
        Verb::Unclaim(chosen) => wishes::unclaim(setup, chosen, printer).await,
        Verb::Ack(asked) => ack::ack(setup, asked, printer).await,
        Verb::History(asked) => history::history(setup, asked, printer).await,
        Verb::Doctor => doctor::doctor(setup, printer).await,
    }
}

impl Verb {
    /// Says whether the process stays.
    pub fn stays(&self) -> bool {
        matches!(self, Verb::Run(run) if !run.once)
    }

    /// Says whether it ends between two steps when it is interrupted, and not at once.
    fn finishes_steps(&self) -> bool {
        matches!(self, Verb::Run(_))
    }

    fn listen(&self) -> Option<std::net::SocketAddr> {
        if let Verb::Run(run) = self { run.listen } else { None }
    }
}

impl VerbError {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            VerbError::Setup(_) | VerbError::Usage(_) => 2,
            VerbError::Failed(_) | VerbError::Output(_) => 1,
        }
    }

    /// Says whether nobody reads the result any more.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, VerbError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// A pool that was not read.
#[derive(Debug, Serialize)]
struct Unread {
    pool: String,
    reason: String,
}

impl Unread {
    fn new(pool: &str, error: &SurveyError) -> Self {
        Self {
            pool: pool.to_owned(),
            reason: error.to_string(),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be read: {}", self.pool, self.reason)
    }
}

/// A look at all pools that changes nothing, neither there nor in what is remembered.
fn looker(setup: &Setup) -> Once {
    Once {
        clients: setup.clients.clone(),
        policy: setup.policy.clone(),
        memories: Arc::new(Memories::load(StateDir::for_reading(&setup.config.state_dir))),
        stop: CancellationToken::new(),
    }
}
