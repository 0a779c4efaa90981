//! `list`: the servers with owner and expiry, what ends first on top.

use fleet::lease::{Expiry, format_time};
use jiff::Timestamp;
use serde::Serialize;

use super::{Unread, VerbError, looker};
use crate::classify::classify;
use crate::cli::Form;
use crate::once::Seen;
use crate::output::{Printer, left};
use crate::policy::Policy;
use crate::setup::Setup;
use crate::sight::Sight;

/// The servers, as programs read them.
#[derive(Debug, Serialize)]
struct Document {
    servers: Vec<Server>,
    unread: Vec<Unread>,
}

#[derive(Debug, Serialize)]
struct Server {
    pool: String,
    name: String,
    vm: String,
    owner: Option<String>,
    os: Option<String>,
    verdict: &'static str,
    /// The end of its lease, or of its creation lease; none if it has neither.
    expires_at: Option<Timestamp>,
    /// By the coordinator's clock; negative when it is past.
    left_seconds: Option<i64>,
    power_state: String,
    #[serde(skip)]
    left: String,
}

/// Lists the servers; gives the exit code.
pub(super) async fn list(setup: &Setup, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let mut document = Document {
        servers: Vec::new(),
        unread: Vec::new(),
    };
    for looked in looker(setup).look().await {
        match looked.outcome {
            Ok(seen) => document.servers.extend(servers(&looked.pool, &seen, &setup.policy)),
            Err(error) => document.unread.push(Unread::new(&looked.pool, &error)),
        }
    }
    document.servers.sort_by(|a, b| a.order().cmp(&b.order()));
    match printer.form() {
        Form::Json => printer.json(&document)?,
        Form::Table | Form::Csv => show(&document, printer)?,
    }
    Ok(u8::from(!document.unread.is_empty()))
}

fn servers(pool: &str, seen: &Seen, policy: &Policy) -> Vec<Server> {
    let sights = seen.ground.survey.sights.values();
    sights
        .filter_map(|sight| Server::of(pool, sight, seen.now, policy))
        .collect()
}

impl Server {
    /// `None` if the VM is no server.
    fn of(pool: &str, sight: &Sight, now: Timestamp, policy: &Policy) -> Option<Self> {
        let verdict = classify(sight, now, policy.grace);
        let ends = match sight.marks.expiry() {
            Expiry::Lease(expires) => Some(expires.at),
            Expiry::Creating(until) => Some(until),
            Expiry::Never => None,
        };
        verdict.is_managed().then(|| Self {
            pool: pool.to_owned(),
            name: sight.name.clone(),
            vm: sight.uuid.to_string(),
            owner: sight.marks.owner().map(str::to_owned),
            os: sight.marks.spec().and_then(|spec| spec.os.clone()),
            verdict: verdict.label(),
            expires_at: ends,
            left_seconds: ends.map(|ends| ends.as_second().saturating_sub(now.as_second())),
            power_state: sight.power_state.as_str().to_lowercase(),
            left: ends.map(|ends| left(ends, now)).unwrap_or_default(),
        })
    }

    /// What ends first, and what never ends last.
    fn order(&self) -> (bool, Option<Timestamp>, &str, &str, &str) {
        let is_endless = self.expires_at.is_none();
        (is_endless, self.expires_at, &self.pool, &self.name, &self.vm)
    }
}

fn show(document: &Document, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    let rows = document.servers.iter().map(|server| {
        [
            server.pool.clone(),
            server.name.clone(),
            server.vm.clone(),
            server.owner.clone().unwrap_or_default(),
            server.verdict.to_owned(),
            server.expires_at.map(format_time).unwrap_or_default(),
            server.left.clone(),
            server.power_state.clone(),
        ]
    });
    let head = [
        "pool",
        "name",
        "uuid",
        "owner",
        "verdict",
        "expires at",
        "left",
        "state",
    ];
    printer.table(head, rows.collect())?;
    if document.servers.is_empty() {
        printer.line("no servers")?;
    }
    for unread in &document.unread {
        printer.line(unread)?;
    }
    Ok(())
}
