//! Lines on stderr that the host understands: what `TF_LOG` asks for, and panics.

mod layer;
mod line;
mod panic;

use std::io::Write;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt};

use layer::HostLog;

/// Libraries whose every frame would drown the provider's own lines.
const NOISY: [&str; 8] = [
    "h2",
    "hyper",
    "hyper_util",
    "tonic",
    "tower",
    "rustls",
    "tokio_util",
    "mio",
];

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What happens.
    Info,
    /// What is odd.
    Warn,
    /// What failed.
    Error,
}

impl LogLevel {
    /// Reads a level as Terraform does: `JSON` is everything, and so is a word it does not know.
    pub(crate) fn parse(text: &str) -> Option<LogLevel> {
        match text.to_ascii_uppercase().as_str() {
            "OFF" => None,
            "ERROR" => Some(LogLevel::Error),
            "WARN" => Some(LogLevel::Warn),
            "INFO" => Some(LogLevel::Info),
            "DEBUG" => Some(LogLevel::Debug),
            _ => Some(LogLevel::Trace),
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Trace => LevelFilter::TRACE,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
        }
    }
}

/// Logs what is asked for from here on, and panics in any case.
pub(crate) fn install(level: Option<LogLevel>) {
    panic::install();
    // Without a level nothing is written: reading lines costs the host time.
    if let Some(level) = level {
        let log = HostLog::new(to_stderr).with_filter(targets(level));
        // A second server in one process finds the first one's log in place, which is as good.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log));
    }
}

fn targets(level: LogLevel) -> Targets {
    let quiet = level.filter().min(LevelFilter::WARN);
    NOISY
        .iter()
        .fold(Targets::new().with_default(level.filter()), |targets, name| {
            targets.with_target(*name, quiet)
        })
}

fn to_stderr(line: &str) {
    // A host that is gone reads nothing, and there is no other place to complain.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quiet_at_any_level() {
        for level in [LogLevel::Trace, LogLevel::Info, LogLevel::Warn] {
            let targets = targets(level);
            assert!(targets.would_enable("h2::proto", &Level::WARN));
            assert!(!targets.would_enable("rustls::server", &Level::INFO));
        }
        assert!(!targets(LogLevel::Error).would_enable("tonic", &Level::WARN));
        assert!(targets(LogLevel::Trace).would_enable("xenapi::session", &Level::TRACE));
        assert!(!targets(LogLevel::Info).would_enable("xenapi::session", &Level::DEBUG));
    }
}
