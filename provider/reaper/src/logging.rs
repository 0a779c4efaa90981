//! The log on standard error: for people, or one JSON object a line.

use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, Verb};

/// What a service tells: what it does, and of libraries what is wrong.
const OF_SERVICE: &str = "warn,reaper=info,history=info,fleet=info,xenapi=info";
/// A verb shows its results by itself.
const OF_VERB: &str = "warn";
/// Libraries whose every frame would drown the reaper's own lines: quiet unless they are asked for by name.
const NOISY: &str = "h2=warn,hyper=warn,hyper_util=warn,mio=warn,reqwest=warn,rustls=warn,tokio_postgres=warn";

/// Logs from here on, panics too. `wanted` is a filter such as `debug` or `reaper=debug,xenapi=trace`.
pub fn install(format: LogFormat, verb: &Verb, wanted: Option<&str>) {
    let usual = if verb.stays() { OF_SERVICE } else { OF_VERB };
    let filter = wanted.map(|wanted| EnvFilter::try_new(format!("{NOISY},{wanted}")));
    let (filter, mistake) = match filter {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(usual), Some(error)),
        None => (EnvFilter::new(usual), None),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    if let Some(error) = mistake {
        tracing::warn!(%error, "DYNVM_LOG cannot be read");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let text = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, text, "a fault in dynvm-reaper: a panic");
    }));
}
