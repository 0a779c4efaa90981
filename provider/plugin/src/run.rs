//! [`run`]: a provider's whole process, for its `main`.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use crate::{
    environment::Environment,
    handshake::{is_started_by_host, started_by_hand},
    lifecycle::Signals,
    logging,
    provider::Provider,
    reattach,
    server::{BindError, Server},
};

/// Threads that answer. Calls wait for the network nearly all the time, and each thread costs at every start.
const WORKERS: usize = 2;

/// How a provider is served.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// The source address, as `registry.terraform.io/acme/corner`. Its last part is the provider's name.
    pub address: &'static str,
    /// By whom it is started.
    pub mode: Mode,
}

impl ServeOptions {
    fn name(&self) -> &'static str {
        self.address.rsplit('/').next().unwrap_or(self.address)
    }
}

/// By whom a provider is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By Terraform or OpenTofu, which also ends it.
    Plugin,
    /// By a person with a debugger, until Ctrl-C.
    Debug,
}

/// Why a provider is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No host has started it. The text is for the person who did.
    #[error("{0}")]
    StartedByHand(String),
    /// There is nothing to connect to.
    #[error("the provider cannot be reached")]
    Bind(#[from] BindError),
    /// Nobody could be told where to connect.
    #[error("the handshake line could not be written")]
    Handshake(#[source] io::Error),
    /// The process could not be set up.
    #[error("signals or threads are not to be had")]
    Process(#[source] io::Error),
}

/// Serves a provider and ends the process with it. The provider is made after the host was told where to connect.
///
/// What fails is told on stderr.
#[must_use]
pub fn run(make: impl FnOnce() -> Arc<dyn Provider>, options: ServeOptions) -> ExitCode {
    let outcome = run_here(make, options);
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Where stderr is closed too there is nobody to tell.
            let _ = io::stderr().write_all(explained(&error).as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run_here(make: impl FnOnce() -> Arc<dyn Provider>, options: ServeOptions) -> Result<ExitCode, ServeError> {
    let environment = checked_environment(&options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(ServeError::Process)?;
    let outcome = runtime.block_on(serve_in(&environment, make, options));
    // A thread that blocks must not keep the process, and with it the host.
    runtime.shutdown_background();
    outcome
}

/// Serves a provider inside a runtime, until its end.
///
/// # Errors
///
/// If no host has started the process, or the host cannot be told where to connect.
pub async fn serve(provider: Arc<dyn Provider>, options: ServeOptions) -> Result<ExitCode, ServeError> {
    let environment = checked_environment(&options)?;
    serve_in(&environment, || provider, options).await
}

fn checked_environment(options: &ServeOptions) -> Result<Environment, ServeError> {
    let environment = Environment::of_process(options.name());
    if options.mode == Mode::Plugin && !is_started_by_host(&environment) {
        return Err(ServeError::StartedByHand(started_by_hand(options.name())));
    }
    Ok(environment)
}

async fn serve_in(
    environment: &Environment,
    make: impl FnOnce() -> Arc<dyn Provider>,
    options: ServeOptions,
) -> Result<ExitCode, ServeError> {
    logging::install(environment.log);
    let mut signals = Signals::install().map_err(ServeError::Process)?;
    match options.mode {
        Mode::Plugin => {
            let server = Server::bind(environment)?;
            print(server.handshake_line())?;
            let orphaned = server.orphaned();
            let ending = async {
                tokio::select! {
                    ending = signals.terminated() => ending,
                    ending = orphaned => ending,
                }
            };
            server.run(make(), ending).await;
        }
        Mode::Debug => {
            // A host that attaches shows no certificate.
            let server = Server::bind(&Environment {
                client_certificate: None,
                ..environment.clone()
            })?;
            print(&reattach::instructions(
                options.address,
                std::process::id(),
                server.socket(),
            ))?;
            server.run(make(), signals.interrupted()).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the one thing that stdout is for.
fn print(text: &str) -> Result<(), ServeError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(ServeError::Handshake)
}

/// An error with all its causes, as one text.
fn explained(error: &ServeError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
