//! `dynvm-sim`: XenServer pools to play with, on loopback.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use sim::{ClockMode, Options, PoolAddress, Simulator, World};
use tracing_subscriber::EnvFilter;

/// Simulates XenServer pools.
///
/// Without a world file it starts a small lab: two pools, five hosts, five operating systems.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// World file (HCL); `dynvm-sim world` prints one to start from.
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Divides every latency; overrides the world's own.
    #[arg(long, value_name = "N", conflicts_with = "clock")]
    time_scale: Option<f64>,
    /// Virtual time: moved by hand over the control API, or automatically whenever everything waits.
    #[arg(long, value_enum)]
    clock: Option<VirtualClock>,
    /// Ports of the hosts in the order of the world; those not given are free ones.
    #[arg(long, value_name = "127.0.0.1:PORT")]
    listen: Vec<SocketAddr>,
    /// Address of the control API.
    #[arg(long, value_name = "127.0.0.1:PORT", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Writes addresses and credentials to this file, at once and whole, when the simulator is ready.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Ends when the process that started it is gone.
    #[arg(long)]
    exit_with_parent: bool,
    /// How to print addresses and credentials.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VirtualClock {
    Manual,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the built-in lab as HCL.
    World,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("DYNVM_SIM_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            let _closed = writeln!(std::io::stderr(), "dynvm-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Command::World) = arguments.command {
        return print(sim::world::DEFAULT_LAB);
    }
    let world = read_world(&arguments)?;
    let clock = match (arguments.clock, arguments.time_scale) {
        (Some(VirtualClock::Manual), _) => ClockMode::Manual,
        (Some(VirtualClock::Auto), _) => ClockMode::Auto,
        (None, Some(scale)) => ClockMode::Scaled(scale),
        (None, None) => ClockMode::World,
    };
    let simulator = Simulator::start(
        world,
        Options {
            clock,
            control: Some(arguments.control),
        },
    )
    .await?;
    let ready = ready(&simulator);
    match arguments.output {
        Output::Json => print(&format!("{ready:#}\n"))?,
        Output::Table => print(&table(&simulator))?,
    }
    if let Some(path) = &arguments.ready_file {
        write_whole(path, &format!("{ready:#}\n"))?;
    }
    ended(arguments.exit_with_parent).await?;
    simulator.shutdown().await;
    Ok(())
}

fn read_world(arguments: &Arguments) -> anyhow::Result<World> {
    let mut world = match &arguments.world {
        None => World::default_lab(),
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            World::from_hcl(&text).map_err(|e| anyhow!("{}:{}:{}: {}", path.display(), e.line, e.column, e.message))?
        }
    };
    let hosts = world.pools.values_mut().flat_map(|pool| pool.hosts.values_mut());
    for (host, address) in hosts.zip(&arguments.listen) {
        host.port = address.port();
    }
    Ok(world)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// What programs need to connect.
fn ready(simulator: &Simulator) -> Json {
    json!({ "control": simulator.control_url(), "pools": simulator.pools(), "pid": std::process::id() })
}

fn table(simulator: &Simulator) -> String {
    let pools = simulator.pools();
    let width =
        |column: fn(&PoolAddress) -> usize, least: usize| pools.iter().map(column).max().unwrap_or(0).max(least);
    let (name, url, user) = (
        width(|p| p.name.len(), 4),
        width(|p| p.url.len(), 3),
        width(|p| p.username.len(), 4),
    );
    let mut text = format!("{:name$}  {:url$}  {:user$}  PASSWORD\n", "POOL", "URL", "USER");
    for pool in &pools {
        text += &format!(
            "{:name$}  {:url$}  {:user$}  {}\n",
            pool.name, pool.url, pool.username, pool.password
        );
        if let Some(fingerprint) = &pool.certificate_fingerprint {
            text += &format!("{:name$}  {fingerprint}\n", "");
        }
    }
    if let Some(control) = simulator.control_url() {
        text += &format!("control: {control}/control/world\n");
    }
    text
}

/// Readers see the whole file or none.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Waits for a signal, or for the end of the parent process.
async fn ended(with_parent: bool) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = orphaned(), if with_parent => {}
    }
    Ok(())
}

/// Returns when another process has become the parent, which the system offers no event for.
async fn orphaned() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}
