//! What the provider was configured with, as far as it is known by now.
//!
//! During a plan, settings may depend on things that the same run makes. Then they are *postponed*: what needs a pool stays unknown in the plan, and
//! nothing fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::diagnostics::{Diagnostic, Diagnostics};
use fleet::Fleet;
use jiff::Timestamp;

use crate::chronicle::Chronicle;
use crate::server::Admission;

/// How long a look at a pool's clock may take that nothing depends on.
const LOOK: Duration = Duration::from_secs(2);

/// Settings that are wholly known.
pub(crate) struct Lab {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) default_ttl: Duration,
    pub(crate) max_ttl: Duration,
    /// How long an address may take where `timeouts.ip` does not say.
    pub(crate) ip_timeout: Option<Duration>,
    /// What each pool is for, by its name.
    pub(crate) offers: BTreeMap<String, Offer>,
    /// The history, if one is set.
    pub(crate) chronicle: Chronicle,
    /// Whether the new servers of this run's plan fit.
    pub(crate) admission: Admission,
}

/// What a pool is for, as far as the configuration says: known without asking it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    /// The operating system aliases that it has a template for.
    pub(crate) os: BTreeSet<String>,
    /// Its labels.
    pub(crate) labels: BTreeSet<String>,
}

impl Lab {
    /// What a pool's clock shows, if it says so soon.
    pub(crate) async fn clock(&self, pool: &str) -> Option<Timestamp> {
        let look = tokio::time::timeout(LOOK, self.fleet.clock(pool)).await;
        look.ok()?
            .inspect_err(|error| tracing::warn!(pool, %error, "the pool's clock cannot be read"))
            .ok()
    }
}

/// The state of the configuration.
#[derive(Clone, Default)]
pub(crate) enum Settings {
    /// `ConfigureProvider` has not come yet (validation) or failed.
    #[default]
    Absent,
    /// A setting, named here, is not known before the apply.
    Postponed(String),
    /// All is known.
    Ready(Arc<Lab>),
}

/// The settings, shared by all resources; replaced by each `ConfigureProvider`.
#[derive(Clone, Default)]
pub(crate) struct SharedSettings(Arc<RwLock<Settings>>);

impl SharedSettings {
    /// The settings of this moment.
    pub(crate) fn now(&self) -> Settings {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts new settings in force and returns the ones before.
    pub(crate) fn replace(&self, settings: Settings) -> Settings {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, settings)
    }

    /// The lab, for what cannot do without.
    ///
    /// # Errors
    /// One diagnostic, if the settings are absent or postponed.
    pub(crate) fn lab(&self) -> Result<Arc<Lab>, Diagnostics> {
        match self.now() {
            Settings::Ready(lab) => Ok(lab),
            Settings::Absent => Err(Diagnostic::error(
                "Provider not configured",
                "The provider has no valid configuration, so no pool can be asked.",
            )
            .into()),
            Settings::Postponed(what) => Err(Diagnostic::error(
                "Provider settings not known yet",
                format!(
                    "`{what}` in the provider's configuration is known only after the apply, but this needs a pool now. Make what it depends on first \
                     (`-target`), or let this depend on it (`depends_on`)."
                ),
            )
            .into()),
        }
    }
}
