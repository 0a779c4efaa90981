//! The binary `terraform-provider-dynvm`: started by terraform or tofu as a plugin, or by a person to install or debug it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use dynvm::DynvmProvider;
use plugin::provider::Provider;
use plugin::{Mode, ServeOptions};

/// Throw-away VMs on XenServer and XCP-ng pools, as a provider for Terraform and OpenTofu.
#[derive(Parser)]
#[command(name = "terraform-provider-dynvm", version, after_help = plugin::started_by_hand("dynvm"))]
struct Arguments {
    /// Serves until Ctrl-C and prints the TF_REATTACH_PROVIDERS that makes terraform use this process.
    #[arg(long)]
    debug: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Copies this binary to where terraform and tofu find it without a registry.
    Install {
        /// The plugin folder. Default: .terraform.d/plugins in the home folder.
        #[arg(long, value_name = "FOLDER")]
        plugins: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.verb {
        Some(Verb::Install { plugins }) => match install(plugins) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("Error: {error:#}"));
                ExitCode::FAILURE
            }
        },
        None => plugin::run(
            || Arc::new(DynvmProvider::new()) as Arc<dyn Provider>,
            ServeOptions {
                address: "registry.terraform.io/dynvm/dynvm",
                mode: if arguments.debug { Mode::Debug } else { Mode::Plugin },
            },
        ),
    }
}

fn install(plugins: Option<PathBuf>) -> Result<()> {
    let plugins = match plugins {
        Some(folder) => folder,
        None => dynvm::install::default_plugins()?,
    };
    let binary = std::env::current_exe().context("finding this binary")?;
    for path in dynvm::install::install(&binary, &plugins, dynvm::VERSION)? {
        say(&format!("installed {}", path.display()));
    }
    say("In a module:  terraform { required_providers { dynvm = { source = \"dynvm/dynvm\" } } }");
    Ok(())
}

/// A line for a person; stdout belongs to the handshake.
#[expect(clippy::print_stderr, reason = "this verb talks to a person")]
fn say(line: &str) {
    eprintln!("{line}");
}
