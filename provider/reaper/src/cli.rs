//! The command line of `dynvm-reaper`: its verbs, what each takes, and what each exit code means.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage or configuration (no pool was contacted, or a pattern matched none or too many).
`run` and `plan` have more: see their help.
DYNVM_LOG chooses what is logged to standard error, such as `debug` or `reaper=debug,xenapi=trace`.";

const CODES_OF_RUN: &str = "\
Deletes the servers whose lease is over, with their own disks, snapshots and config drive, and what unfinished creations left. Nothing
else is touched; nothing is created, started or changed but for the reaper's own claim on what it deletes.

Without --once it stays: SIGTERM or SIGINT end it after the step in hand (exit code 0; a second one ends it at once), SIGHUP makes it
read the configuration again.

Exit codes of --once, the first that applies: 2 usage or configuration, 6 no pool could be reached, 4 held back by a rail, 3 some
deletions or pools failed, 0 done.";

const CODES_OF_PLAN: &str = "\
Changes nothing, neither in a pool nor in state_dir.
Exit codes: 0 the plan is shown, 2 usage or configuration, 6 no pool could be read.";

/// Deletes dynvm servers of XenServer and XCP-ng pools whose time is over.
#[derive(Debug, Parser)]
#[command(name = "dynvm-reaper", version, after_help = CODES)]
pub struct Arguments {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes, before or behind its name.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration, HCL or the INI file of the older service [default: /etc/dynvm/reaper.hcl, else DYNVM_URL and its companions].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where it is remembered what must be between runs, instead of the configuration's `state_dir`.
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Form,
    /// How the log on standard error is written.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Deletes what has expired: as it expires, or once.
    #[command(after_help = CODES_OF_RUN)]
    Run(Run),
    /// Shows what `run --once` would do, by the same planner; changes nothing.
    #[command(after_help = CODES_OF_PLAN)]
    Plan(Plan),
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// One look at each pool, and an exit code.
    #[arg(long)]
    pub once: bool,
    /// Where /healthz, /readyz and /metrics are served, instead of the configuration's `listen`; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "once")]
    pub listen: Option<SocketAddr>,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The table shows VMs without any mark as well; JSON always does.
    #[arg(long)]
    pub all: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("dynvm-reaper").chain(line.split_whitespace()))
    }

    fn refused(line: &str) -> ErrorKind {
        let error = parse(line).unwrap_err();
        assert!(error.exit_code() == 2 || !error.use_stderr(), "{line}: {error}");
        error.kind()
    }

    #[test]
    fn the_table_of_verbs_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_every_verb_takes_stands_before_or_behind_it() {
        for line in [
            "--config f.hcl --state-dir d -o json --log-format json plan",
            "plan --config f.hcl --state-dir d -o json --log-format json",
            "--config f.hcl plan --state-dir d --output json --log-format=json",
        ] {
            let global = parse(line).unwrap().global;
            assert_eq!(global.config, Some(PathBuf::from("f.hcl")), "{line}");
            assert_eq!(global.state_dir, Some(PathBuf::from("d")));
            assert_eq!((global.output, global.log_format), (Form::Json, LogFormat::Json));
        }
    }

    #[test]
    fn usage_errors_end_with_2() {
        refused("");
        refused("dance");
        refused("run --once --listen 127.0.0.1:0");
        refused("plan -o yaml");
    }
}
