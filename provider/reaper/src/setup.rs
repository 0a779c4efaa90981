//! From what a reaper is told to what it works with: clients, rules, and where the history is. Contacts nothing.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use history::{InvalidSinkUrl, SinkUrl, Spool};
use xenapi::{Pool, PoolConfig};

use crate::chronicle::Chronicle;
use crate::config::{self, Config, ConfigErrors, Environment, HistorySetting};
use crate::listen::ListenError;
use crate::memory::StateDir;
use crate::policy::{Owners, Policy};

/// How long logging out of all pools may take.
pub const LOGOUT: Duration = Duration::from_millis(1500);
/// The folder in `state_dir` where entries wait for the history.
const SPOOL: &str = "spool";

/// Where the configuration is, and what the command line puts in its place.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file; without it the one that is there by default, or the environment.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// Instead of the configuration's `state_dir`.
    pub state_dir: Option<PathBuf>,
    /// Instead of the configuration's `listen`.
    pub listen: Option<SocketAddr>,
}

/// A configuration, made ready.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// A client for each pool.
    pub clients: Vec<Arc<Pool>>,
    /// The rules.
    pub policy: Policy,
    /// Where the history is, if one is kept.
    pub sink: Option<SinkUrl>,
}

/// Why a reaper cannot start as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The history's URL is wrong.
    #[error("history: {0}")]
    History(#[from] InvalidSinkUrl),
    /// A pool's settings cannot be used.
    #[error("{0}")]
    Pool(xenapi::Error),
    /// The state folder cannot be used.
    #[error("state_dir {} cannot be used: {cause}", path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The pages cannot be served.
    #[error("listen: {}", full(.0))]
    Listen(#[from] ListenError),
}

impl Source {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(&self) -> Result<Setup, SetupError> {
        let mut config = match &self.file {
            Some(file) => config::read(file, &self.environment)?,
            None => config::read_default(&self.environment)?,
        };
        if let Some(folder) = &self.state_dir {
            config.state_dir.clone_from(folder);
        }
        // What is kept there is also named by a URL, which is absolute.
        config.state_dir = std::path::absolute(&config.state_dir).map_err(|cause| SetupError::StateDir {
            path: config.state_dir.clone(),
            cause,
        })?;
        config.listen = self.listen.or(config.listen);
        Setup::of(config)
    }
}

impl Setup {
    fn of(config: Config) -> Result<Self, SetupError> {
        let clients = config.pools.iter().map(|pool| client(&pool.connection));
        Ok(Self {
            clients: clients.collect::<Result<_, _>>()?,
            policy: Policy {
                grace: config.grace,
                max_ttl: config.max_ttl,
                max_deletions: usize::try_from(config.max_deletions).unwrap_or(usize::MAX),
                owners: Owners::new(&config.owners),
            },
            sink: sink(&config)?,
            config,
        })
    }

    /// The state folder, made if need be.
    ///
    /// # Errors
    /// It cannot be made, or written to.
    pub fn open_state_dir(&self) -> Result<StateDir, SetupError> {
        let path = &self.config.state_dir;
        StateDir::open(path).map_err(|cause| SetupError::StateDir {
            path: path.clone(),
            cause,
        })
    }

    /// Begins to write the history. What is in the way is logged and stops nothing.
    pub fn open_chronicle(&self, state: &StateDir) -> Chronicle {
        let Some(sink) = &self.sink else {
            return Chronicle::default();
        };
        let opened = Spool::open(state.path().join(SPOOL)).and_then(|spool| Chronicle::new(sink, spool));
        opened.unwrap_or_else(|error| {
            tracing::error!(error = error.full(), "no history is written by this process");
            Chronicle::default()
        })
    }

    /// Tells what is not as it should be in the configuration.
    pub fn warn(&self) {
        for warning in &self.config.warnings {
            tracing::warn!(warning, "the configuration could be better");
        }
    }

    /// Logs out of all pools.
    pub async fn log_out(&self) {
        join_all(self.clients.iter().map(|client| client.logout(LOGOUT))).await;
    }
}

/// Makes a client; contacts nothing.
///
/// # Errors
/// Its settings cannot be used.
pub fn client(settings: &PoolConfig) -> Result<Arc<Pool>, SetupError> {
    Pool::new(settings.clone()).map_err(SetupError::Pool)
}

fn sink(config: &Config) -> Result<Option<SinkUrl>, InvalidSinkUrl> {
    match &config.history {
        HistorySetting::StateDir => Ok(Some(SinkUrl::sqlite(file_of_history(&config.state_dir)))),
        HistorySetting::Url(url) => url.expose().parse().map(Some),
        HistorySetting::Off => Ok(None),
    }
}

fn file_of_history(state_dir: &Path) -> PathBuf {
    state_dir.join(config::HISTORY_FILE)
}

/// An error with its cause, on one line.
fn full(error: &ListenError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
