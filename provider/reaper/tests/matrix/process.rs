//! A process of the provider, or of the reaper, and whoever gives it up.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use fleet::Fleet;
use reaper::once::Once;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lab::Lab;
use crate::obstacle::Obstacle;

/// How long a reaper that ends tries to log out.
const LOGOUT: Duration = Duration::from_secs(2);

/// A process that works on the pool.
pub(crate) struct Process<'a> {
    lab: &'a Lab,
    /// What the first Ctrl-C cancels.
    pub(crate) cancel: CancellationToken,
    obstacle: Option<Obstacle>,
    answered: Cell<Option<Instant>>,
}

impl<'a> Process<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Self {
        Self {
            lab,
            cancel: CancellationToken::new(),
            obstacle: None,
            answered: Cell::default(),
        }
    }

    /// One that comes upon an obstacle.
    pub(crate) fn facing(lab: &'a Lab, obstacle: Obstacle) -> Self {
        Self {
            obstacle: Some(obstacle),
            ..Self::new(lab)
        }
    }

    pub(crate) fn faces(&self, obstacle: Obstacle) -> bool {
        self.obstacle == Some(obstacle)
    }

    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        let is_silent = self.faces(Obstacle::SilentGuest);
        self.lab.fleet(if is_silent { "tmpl-silent" } else { "tmpl-debian12" })
    }

    pub(crate) fn reaper(&self, memory: &TempDir) -> Once {
        Once {
            stop: self.cancel.clone(),
            ..self.lab.reaper(memory)
        }
    }

    /// The operation has answered; what is under way behind it ends, and the process with it.
    pub(crate) async fn leaves(&self, fleet: &Fleet) {
        self.answered.set(Some(Instant::now()));
        fleet.settle().await;
        fleet.logout().await;
    }

    pub(crate) async fn reaper_leaves(&self, reaper: &Once) {
        self.answered.set(Some(Instant::now()));
        for client in &reaper.clients {
            client.logout(LOGOUT).await;
        }
    }

    /// When the last operation answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.answered.get()
    }
}
