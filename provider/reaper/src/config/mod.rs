//! The reaper's configuration: from a file, or the environment, to validated settings. Contacts no pool.
//!
//! - [`read`] takes HCL with the provider's `pools` object, or the INI file of the older service; [`read_default`] looks where a
//!   configuration is when nobody says so.
//! - Every error names file, line and column, and all are told at once.
//! - Only literal values are read: a daemon has no variables to fill in. So a `pools` object can be pasted from the provider's
//!   block as soon as its passwords come from `password_file` or the environment.
//!
//! This is the only place of the reaper that reads the environment.

mod environment;
mod error;
mod fields;
mod pool;
mod report;
#[cfg(test)]
mod tests;
mod toplevel;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet::PoolSettings;
use fleet::draft::{PoolDefaults, unencrypted};
use fleet::ini;
use xenapi::{Secret, TlsTrust};

pub use self::environment::Environment;
pub use self::error::{ConfigError, ConfigErrors, Place};

/// Where the configuration is when no file is named.
pub const DEFAULT_FILE: &str = "/etc/dynvm/reaper.hcl";
/// Where a reaper remembers what it must between runs.
const STATE_DIR: &str = "/var/lib/dynvm";
/// How many deletions a pool sees in a cycle.
const MAX_DELETIONS: u32 = 50;
/// The file of the default history, in `state_dir`.
pub const HISTORY_FILE: &str = "history.db";

/// What a reaper is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The pools, at least one.
    pub pools: Vec<PoolSettings>,
    /// How long after its expiry a server is left alone.
    pub grace: Duration,
    /// Leases longer than this are reported.
    pub max_ttl: Option<Duration>,
    /// How many deletions a pool sees in a cycle; at least 1.
    pub max_deletions: u32,
    /// Globs over owners; none means everybody.
    pub owners: Vec<String>,
    /// Where health and metrics are served.
    pub listen: Option<SocketAddr>,
    /// Where the history is kept.
    pub history: HistorySetting,
    /// Where it is remembered what must be between runs.
    pub state_dir: PathBuf,
    /// What is not read, or not as safe as it could be.
    pub warnings: Vec<String>,
}

/// Where the history is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HistorySetting {
    /// In a SQLite file in `state_dir`.
    #[default]
    StateDir,
    /// Where this URL says, which may hold a password.
    Url(Secret),
    /// Nowhere.
    Off,
}

impl Config {
    /// A configuration of these pools, and else of defaults.
    fn of(pools: Vec<PoolSettings>) -> Self {
        Self {
            pools,
            grace: Duration::ZERO,
            max_ttl: None,
            max_deletions: MAX_DELETIONS,
            owners: Vec::new(),
            listen: None,
            history: HistorySetting::default(),
            state_dir: PathBuf::from(STATE_DIR),
            warnings: Vec::new(),
        }
    }
}

/// Reads a configuration file. It is an INI file if its name says so, or if it begins with a section, as no HCL does.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn read(path: &Path, environment: &Environment) -> Result<Config, ConfigErrors> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let text = format!("cannot be read: {error}");
        ConfigErrors::from(ConfigError::whole(path, text))
    })?;
    read_text(path, &text, environment)
}

/// Reads the text of a configuration; `path` is where it stands, for messages and by its ending.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn read_text(path: &Path, text: &str, environment: &Environment) -> Result<Config, ConfigErrors> {
    let is_named_ini = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("ini"));
    if is_named_ini || ini::is_ini(text) {
        of_ini(path, text)
    } else {
        toplevel::read(path, text, environment)
    }
}

/// Reads the configuration that is there when no file is named: [`DEFAULT_FILE`], or else the pool that the environment names.
///
/// # Errors
/// There is none, or something is wrong with it.
pub fn read_default(environment: &Environment) -> Result<Config, ConfigErrors> {
    read_file_or_environment(Path::new(DEFAULT_FILE), environment)
}

fn read_file_or_environment(file: &Path, environment: &Environment) -> Result<Config, ConfigErrors> {
    if file.exists() {
        return read(file, environment);
    }
    let Some(pool) = of_environment(environment)? else {
        let text = "there is no configuration: neither --config, nor this file, nor DYNVM_URL in the environment";
        return Err(ConfigErrors::from(ConfigError::whole(file, text.to_owned())));
    };
    let warnings = unencrypted(&pool.connection).map(|(_, text)| format!("DYNVM_URL: {text}"));
    Ok(Config {
        warnings: warnings.collect(),
        ..Config::of(vec![pool])
    })
}

fn of_ini(path: &Path, text: &str) -> Result<Config, ConfigErrors> {
    let file = path.display().to_string();
    let settings = ini::read(&file, text, &defaults()).map_err(ConfigErrors::from)?;
    Ok(Config {
        max_ttl: settings.ttl,
        warnings: settings.warnings.iter().map(ToString::to_string).collect(),
        ..Config::of(settings.pools)
    })
}

/// The pool that the environment names, if it names one.
fn of_environment(environment: &Environment) -> Result<Option<PoolSettings>, ConfigErrors> {
    let failed = |faults: Vec<fleet::draft::PoolFault>| {
        let errors = faults
            .iter()
            .map(|fault| ConfigError::of_environment(fault.of_variables()));
        ConfigErrors::new(errors.collect())
    };
    let Some(draft) = environment.pool().map_err(|fault| failed(vec![fault]))? else {
        return Ok(None);
    };
    let connection = draft.check(&defaults()).map_err(failed)?;
    Ok(Some(PoolSettings::new(connection)))
}

/// What holds for pools that do not say otherwise.
fn defaults() -> PoolDefaults {
    PoolDefaults {
        originator: concat!("dynvm-reaper/", env!("CARGO_PKG_VERSION")).to_owned(),
        tls: TlsTrust::SystemRoots,
    }
}
