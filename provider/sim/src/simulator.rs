//! A running simulator: its pools' listeners, its control door, its end.

use std::net::SocketAddr;

use thiserror::Error;

use crate::{Control, PoolAddress, World};

/// How time passes for everything that has a latency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ClockMode {
    /// Scaled by the world's `time_scale`.
    #[default]
    World,
    /// Every latency is divided by this number.
    Scaled(f64),
    /// Nothing passes until [`Control::advance`].
    Manual,
    /// Jumps to the next wake-up whenever everything in hand waits for the clock: as fast as the machine allows, with the
    /// pools' clocks following.
    Auto,
}

/// How a simulator is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How time passes.
    pub clock: ClockMode,
    /// Serves the control API over HTTP on this address (port 0 takes a free one).
    pub control: Option<SocketAddr>,
}

/// Why a simulator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of host {host}: {message}")]
    Certificate {
        /// Whose.
        host: String,
        /// Why not.
        message: String,
    },
    /// The world contradicts itself.
    #[error("the world cannot be built: {message}")]
    World {
        /// What does not fit.
        message: String,
    },
}

/// A running simulator. Dropping it closes everything.
#[derive(Debug)]
pub struct Simulator {
    control: Control,
}

impl Simulator {
    /// Builds the world and starts to listen, one listener per host on loopback.
    ///
    /// # Errors
    /// A port that is taken, or a world that cannot be built.
    pub async fn start(_world: World, _options: Options) -> Result<Self, StartError> {
        Err(StartError::World {
            message: "under construction".to_owned(),
        })
    }

    /// Where the pools are and how to log in, in the order of the world.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolAddress> {
        self.control.pools()
    }

    /// The control API, in process.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The URL of the control API, when it is served.
    #[must_use]
    pub fn control_url(&self) -> Option<String> {
        None
    }

    /// Closes all connections and waits until everything has ended.
    pub async fn shutdown(self) {}
}
