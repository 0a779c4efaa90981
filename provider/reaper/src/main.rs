//! The binary `dynvm-reaper`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use reaper::cli::Arguments;
use reaper::config::Environment;
use reaper::signals::{self, Hangup};
use reaper::{logging, verbs};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::of_this_process();
    let filter = environment.log_filter();
    logging::install(arguments.global.log_format, &arguments.verb, filter.as_deref());
    match run(&arguments, environment) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("dynvm-reaper: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, environment: Environment) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let done = runtime.block_on(async {
        let hangup = if arguments.verb.stays() {
            Hangup::Reloads
        } else {
            Hangup::Ends
        };
        let signals = signals::of_this_process(hangup).context("listening to signals")?;
        anyhow::Ok(verbs::carry_out(arguments, environment, signals, &mut std::io::stdout()).await)
    });
    // What is still under way after an end at once is not waited for.
    runtime.shutdown_background();
    Ok(done?.unwrap_or_else(|error| {
        if !error.is_broken_pipe() {
            say(&error.to_string());
        }
        error.code()
    }))
}

/// Tells a person what is wrong.
fn say(text: &str) {
    // Nobody is left to tell if standard error is closed.
    let _closed = writeln!(std::io::stderr(), "{text}");
}
