//! The command line of `dynvm-reaper`: its verbs, what each takes, and what each exit code means.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use history::{EndReason, GroupBy, VmUuid};
use jiff::Timestamp;
use wildmatch::WildMatch;
use xenapi::Uuid;

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

const CHANGES_VMS: &str = "\
Takes one match, or exactly as many as --expect says; else nothing is changed and the matches are listed (exit code 2). A pattern is
compared with the names of servers of dynvm (`*` and `?` stand for any text and any character). Names are only searched if all pools
can be read; a UUID is found as soon as one pool has it.
Exit codes: 0 done, 1 failed or being reaped, 2 usage or configuration.";

/// Where the help of each verb shows what every verb takes.
const OF_ALL: &str = "Options of every verb";

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
    #[arg(long, global = true, help_heading = OF_ALL, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where it is remembered what must be between runs, instead of the configuration's `state_dir`.
    #[arg(long, global = true, help_heading = OF_ALL, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How results are printed; csv only by `history`.
    #[arg(short, long, global = true, help_heading = OF_ALL, value_enum, default_value_t, value_name = "FORM")]
    pub output: Form,
    /// How the log on standard error is written.
    #[arg(long, global = true, help_heading = OF_ALL, value_enum, default_value_t, value_name = "FORMAT")]
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
    /// For spreadsheets.
    Csv,
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
    /// Lists the servers with owner and expiry; changes nothing.
    List,
    /// Tells all about one VM: its marks, the verdict, what is in the way; changes nothing.
    Explain(Explain),
    /// Makes servers expire later; never earlier.
    #[command(after_help = CHANGES_VMS)]
    Extend(Extend),
    /// Marks servers `dynvm:keep`: they are never deleted, until `unkeep`.
    #[command(after_help = CHANGES_VMS)]
    Keep(Chosen),
    /// Takes the mark `dynvm:keep` off servers: their expiry counts again.
    #[command(after_help = CHANGES_VMS)]
    Unkeep(Chosen),
    /// Takes the claim of a reaper that died off VMs, so that they can be extended.
    #[command(after_help = CHANGES_VMS)]
    Unclaim(Chosen),
    /// Lets go what the rail mass-expiry holds back now; writes to state_dir alone.
    Ack(Ack),
    /// Shows what became of servers; contacts no pool, changes nothing.
    History(HistoryQuestion),
    /// Checks connection, certificate, role, clock and disks of each pool; changes nothing.
    #[command(
        after_help = "Exit codes: 0 nothing fails (there may be warnings), 1 a check failed, 2 usage or configuration."
    )]
    Doctor,
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

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The VM.
    #[arg(value_parser = parse_uuid)]
    pub uuid: Uuid,
}

/// Which VMs are meant.
#[derive(Debug, Args)]
pub struct Chosen {
    /// A VM's UUID, or a pattern for names of servers.
    #[arg(value_name = "UUID|NAME-GLOB")]
    pub pattern: Pattern,
    /// How many VMs must match: so many, or nothing is changed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub expect: usize,
}

/// `extend`.
#[derive(Debug, Args)]
pub struct Extend {
    /// Which servers.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Until when.
    #[command(flatten)]
    pub length: Length,
}

/// A later end: one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Length {
    /// So much longer than now planned (or from now on, if that is past): 90m, 4h, 1d12h.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub by: Option<Duration>,
    /// The new end (RFC 3339), by the pool's clock; an earlier one than now planned is refused.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
}

/// `ack`.
#[derive(Debug, Args)]
pub struct Ack {
    /// One pool, by its name in the configuration [default: all].
    pub pool: Option<String>,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryQuestion {
    /// Only servers of this pool.
    #[arg(long)]
    pub pool: Option<String>,
    /// Only servers of owners like this (`*` and `?` as in file names).
    #[arg(long, value_name = "GLOB")]
    pub owner: Option<String>,
    /// Only servers of this OS alias.
    #[arg(long)]
    pub os: Option<String>,
    /// Only servers with names like this.
    #[arg(long, value_name = "GLOB")]
    pub name: Option<String>,
    /// Only servers that ended so: destroyed, expired, failed, vanished.
    #[arg(long, value_name = "REASON")]
    pub end_reason: Option<EndReason>,
    /// Only servers that were there at this time (RFC 3339) or later.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Only servers that were there before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Only servers of which no end is known.
    #[arg(long)]
    pub living: bool,
    /// At most so many, the newest first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: usize,
    /// Sums instead of servers: how many, their hours, the median seconds that creating one took.
    #[arg(long, value_name = "BY", value_enum)]
    pub totals: Option<Totals>,
    /// The renewals of this VM's lease instead of servers.
    #[arg(long, value_name = "UUID", conflicts_with = "totals")]
    pub renewals: Option<VmUuid>,
}

/// What servers are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Totals {
    /// Who asked for them.
    Owner,
    /// Their OS alias.
    Os,
}

/// Which VMs a person means.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// The one with this UUID.
    Uuid(Uuid),
    /// Servers with names like this.
    Name(WildMatch),
}

impl FromStr for Pattern {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match parse_uuid(text) {
            Ok(uuid) => Pattern::Uuid(uuid),
            Err(_) => Pattern::Name(WildMatch::new(text)),
        })
    }
}

impl From<Totals> for GroupBy {
    fn from(totals: Totals) -> Self {
        match totals {
            Totals::Owner => GroupBy::Owner,
            Totals::Os => GroupBy::Os,
        }
    }
}

/// People copy UUIDs from tools that write them in capitals.
fn parse_uuid(text: &str) -> Result<Uuid, xenapi::InvalidUuid> {
    text.trim().to_ascii_lowercase().parse()
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match fleet::duration::parse(text) {
        Ok(duration) if duration < Duration::from_secs(1) => Err("must be at least a second".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    const VM: &str = "6F1C1D0E-9C5C-4DCD-A1F4-9C7D6E1B8A10";

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
    fn a_uuid_in_any_case_is_one_and_all_else_is_a_name() {
        let pattern = |text: &str| text.parse::<Pattern>().unwrap();
        assert!(matches!(pattern(VM), Pattern::Uuid(uuid) if uuid.to_string() == VM.to_lowercase()));
        assert!(matches!(pattern("nightly-*"), Pattern::Name(_)));
        assert!(matches!(pattern(&VM[1..]), Pattern::Name(_)));
    }

    #[test]
    fn an_extension_has_one_length() {
        let line = format!("extend {VM} --for 1h30m");
        let Verb::Extend(extend) = parse(&line).unwrap().verb else {
            panic!("another verb")
        };
        assert_eq!(extend.length.by, Some(Duration::from_secs(5400)));
        assert_eq!(extend.chosen.expect, 1);
        assert!(parse(&format!("extend {VM} --until 2026-11-21T18:00:00Z --expect 3")).is_ok());
        let both = format!("extend {VM} --for 1h --until 2026-11-21T18:00:00Z");
        assert_eq!(refused(&both), ErrorKind::ArgumentConflict);
        assert_eq!(refused(&format!("extend {VM}")), ErrorKind::MissingRequiredArgument);
        for length in ["--for 0s", "--for=-1h", "--for tomorrow", "--until tomorrow"] {
            assert_eq!(refused(&format!("extend {VM} {length}")), ErrorKind::ValueValidation);
        }
    }

    #[test]
    fn usage_errors_end_with_2() {
        refused("");
        refused("dance");
        refused("explain web-1");
        refused("run --once --listen 127.0.0.1:0");
        refused("plan -o yaml");
        refused("history --end-reason tired");
        refused(&format!("keep {VM} --expect many"));
    }
}
