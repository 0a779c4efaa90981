//! `dynvm-sim`: XenServer pools to play with, on loopback.

use std::fs;
use std::io::{Read, Write};
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
    /// Prints the world as it was understood, and ends.
    #[arg(long)]
    print_world: bool,
    /// Divides every latency; overrides the world's own.
    #[arg(long, value_name = "N", conflicts_with = "clock")]
    time_scale: Option<f64>,
    /// Virtual time: moved by hand over the control API, or automatically whenever everything waits.
    #[arg(long, value_enum)]
    clock: Option<VirtualClock>,
    /// Serves every pool over TLS, each host with a self-signed certificate of its own.
    #[arg(long)]
    tls: bool,
    /// Writes the pools as a Terraform variable file (JSON) with the one variable `pools`: name -> url, username, password, fingerprints.
    #[arg(long, value_name = "FILE")]
    tfvars: Option<PathBuf>,
    /// Writes the pools as the `pools` of a reaper's configuration (HCL).
    #[arg(long, value_name = "FILE")]
    reaper: Option<PathBuf>,
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
    /// Prints all objects of a running simulator as JSON, in a form that is equal when the pools are.
    Objects {
        /// The file that the running simulator wrote with --ready-file.
        #[arg(long, value_name = "FILE")]
        ready_file: PathBuf,
    },
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
    match &arguments.command {
        Some(Command::World) => return print(sim::world::DEFAULT_LAB),
        Some(Command::Objects { ready_file }) => return print(&objects(ready_file)?),
        None => {}
    }
    let world = read_world(&arguments)?;
    if arguments.print_world {
        return print(&world.to_hcl());
    }
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
    if let Some(path) = &arguments.tfvars {
        write_whole(path, &format!("{:#}\n", tfvars(&simulator)))?;
    }
    if let Some(path) = &arguments.reaper {
        write_whole(path, &reaper(&simulator)?)?;
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
    if arguments.tls {
        world.pools.values_mut().for_each(|pool| pool.tls = true);
    }
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

/// The pools as Terraform wants them.
fn tfvars(simulator: &Simulator) -> Json {
    let pools = simulator.pools().into_iter().map(|pool| {
        let fingerprints = (!pool.member_fingerprints.is_empty()).then_some(pool.member_fingerprints);
        let values = json!({
            "url": pool.url,
            "username": pool.username,
            "password": pool.password,
            "fingerprints": fingerprints,
        });
        (pool.name, values)
    });
    json!({ "pools": pools.collect::<serde_json::Map<_, _>>() })
}

/// The pools as a reaper wants them.
fn reaper(simulator: &Simulator) -> anyhow::Result<String> {
    let pools = simulator.pools().into_iter().map(|pool| {
        let login = [
            ("url", pool.url),
            ("username", pool.username),
            ("password", pool.password),
        ];
        let mut values: serde_json::Map<_, _> = login
            .map(|(name, text)| (name.to_owned(), json!(text)))
            .into_iter()
            .collect();
        if !pool.member_fingerprints.is_empty() {
            values.insert("tls".to_owned(), json!({ "fingerprints": pool.member_fingerprints }));
        }
        (pool.name, Json::Object(values))
    });
    let pools: serde_json::Map<_, _> = pools.collect();
    hcl::to_string(&json!({ "pools": pools })).context("the pools cannot be written as HCL")
}

/// All objects of the simulator that wrote this file.
fn objects(ready_file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(ready_file).with_context(|| format!("cannot read {}", ready_file.display()))?;
    let ready: Json = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", ready_file.display()))?;
    let control = ready
        .get("control")
        .and_then(Json::as_str)
        .and_then(|url| url.strip_prefix("http://"))
        .with_context(|| format!("{} names no control address", ready_file.display()))?;
    let body = get(control, "/control/world").with_context(|| format!("asking the simulator at {control}"))?;
    let world: Json = serde_json::from_str(&body).context("the simulator's answer is not JSON")?;
    Ok(format!("{world:#}\n"))
}

/// One HTTP/1.0 request: the answer ends with the connection.
fn get(host: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = std::net::TcpStream::connect(host)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    if !head.lines().next().unwrap_or_default().contains(" 200 ") {
        anyhow::bail!("{}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
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
