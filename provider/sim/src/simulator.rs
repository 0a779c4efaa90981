//! A running simulator: its pools' listeners, its control door, its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Pace};
use crate::control::{Hooks, http};
use crate::pool::{Endpoint, Pool};
use crate::server::Server;
use crate::tls::Identity;
use crate::world::{PoolSpec, build};
use crate::{Control, PoolAddress, World, toolstack};

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
    /// The clock of the tokio runtime moves latencies and the pools' clocks. Where it is paused, the pools and all who call them
    /// from the same runtime share one virtual time.
    Runtime,
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
    control_url: Option<String>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Simulator {
    /// Builds the world and starts to listen, one listener per host on loopback.
    ///
    /// # Errors
    /// A port that is taken, or a world that cannot be built.
    pub async fn start(world: World, options: Options) -> Result<Self, StartError> {
        if world.pools.is_empty() {
            return Err(StartError::World {
                message: "it has no pool".to_owned(),
            });
        }
        let clock = clock(options.clock, world.time_scale)?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let hooks = Arc::new(Hooks::new());
        let mut pools = Vec::new();
        let mut listeners = Vec::new();
        for (index, (name, spec)) in world.pools.iter().enumerate() {
            let (pool, sockets) = raise(&world, name, spec, index, &clock, &stop).await?;
            listeners.push(sockets);
            pools.push(pool);
        }
        for (pool, sockets) in pools.iter().zip(listeners) {
            for (host, socket) in sockets.into_iter().enumerate() {
                let server = Server {
                    pool: pool.clone(),
                    host,
                    hooks: hooks.clone(),
                };
                tasks.spawn(server.listen(socket));
            }
            tasks.spawn(housekeeping(pool.clone()));
        }
        let (driver, ended) = (clock.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! { () = driver.drive() => {}, () = ended.cancelled() => {} }
        });
        let control = Control::new(pools, hooks, clock);
        let mut control_url = None;
        if let Some(address) = options.control {
            let socket = bind(address).await?;
            let local = socket
                .local_addr()
                .map_err(|source| StartError::Listen { address, source })?;
            control_url = Some(format!("http://{local}"));
            tasks.spawn(http::serve(control.clone(), socket, stop.clone()));
        }
        Ok(Self {
            control,
            control_url,
            stop,
            tasks,
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
        self.control_url.clone()
    }

    /// Closes all connections and waits until everything has ended.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.control.ended().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn clock(mode: ClockMode, of_world: f64) -> Result<Clock, StartError> {
    let scale = match mode {
        ClockMode::World => of_world,
        ClockMode::Scaled(scale) => scale,
        ClockMode::Manual => return Ok(Clock::virtual_time(false)),
        ClockMode::Auto => return Ok(Clock::virtual_time(true)),
        ClockMode::Runtime => return Ok(Clock::runtime()),
    };
    if scale.is_finite() && scale > 0.0 {
        return Ok(Clock::scaled(scale));
    }
    let message = format!("a time scale of {scale} is not above 0");
    Err(StartError::World { message })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// A pool with a listening socket per host.
async fn raise(
    world: &World,
    name: &str,
    spec: &PoolSpec,
    index: usize,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<(Arc<Pool>, Vec<TcpListener>), StartError> {
    let mut hosts = Vec::new();
    let mut sockets = Vec::new();
    for (host, host_spec) in &spec.hosts {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, host_spec.port));
        let socket = bind(wanted).await?;
        let address = socket.local_addr().map_err(|source| StartError::Listen {
            address: wanted,
            source,
        })?;
        let identity = if spec.tls { Some(identity(host)?) } else { None };
        hosts.push(Endpoint {
            name: host.clone(),
            address: address.to_string(),
            identity: Mutex::new(identity),
            reachable: AtomicBool::new(true),
            connections: Mutex::new(CancellationToken::new()),
        });
        sockets.push(socket);
    }
    let addresses: Vec<String> = hosts.iter().map(|h| h.address.clone()).collect();
    let seed = world
        .seed
        .wrapping_add((index as u64).wrapping_mul(0x5851_F42D_4C95_7F2D));
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
    let wall = clock.wall() as i64;
    let state = build::build(spec, name, seed, &addresses, wall);
    let latencies = world.latencies.clone();
    let pool = Pool::new(
        name,
        spec.clone(),
        seed,
        latencies,
        clock.clone(),
        hosts,
        state,
        stop.clone(),
    );
    Ok((Arc::new(pool), sockets))
}

fn identity(host: &str) -> Result<Identity, StartError> {
    Identity::generate(host).map_err(|message| StartError::Certificate {
        host: host.to_owned(),
        message,
    })
}

/// What xapi does every 30 seconds.
async fn housekeeping(pool: Arc<Pool>) {
    let entered = pool.clock.enter();
    let work = async {
        loop {
            pool.clock.sleep(Duration::from_secs(30), Pace::Idle).await;
            pool.with(toolstack::collect);
        }
    };
    tokio::select! { () = work => {}, () = pool.stop.cancelled() => {} }
    drop(entered);
}
