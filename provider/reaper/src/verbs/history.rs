//! `history`: what became of servers. It asks the history alone, and no pool.

use fleet::lease::format_time;
use history::{Filter, History, Renewal, ServerRow, SinkUrl, Total};
use jiff::Timestamp;
use serde::Serialize;

use super::VerbError;
use crate::cli::{Form, HistoryQuestion};
use crate::output::{Printer, span};
use crate::setup::Setup;

/// A row of the table `servers`, each column there whether it is known or not.
#[derive(Debug, Serialize)]
struct Line {
    vm_uuid: String,
    name: Option<String>,
    owner: Option<String>,
    pool: Option<String>,
    host: Option<String>,
    os: Option<String>,
    template: Option<String>,
    cpus: Option<u32>,
    memory_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    /// Separated by spaces.
    ip_addresses: String,
    created_at: Option<Timestamp>,
    ready_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
    create_seconds: Option<f64>,
    live_seconds: Option<f64>,
    delete_seconds: Option<f64>,
    end_reason: Option<&'static str>,
}

/// Shows the history; gives the exit code.
pub(super) async fn history(
    setup: &Setup,
    asked: &HistoryQuestion,
    printer: &mut Printer<'_>,
) -> Result<u8, VerbError> {
    let Some(sink) = &setup.sink else {
        return Err(VerbError::Failed(
            "the configuration says that no history is kept".to_owned(),
        ));
    };
    let history = open(sink);
    let answered = match (&history, asked.renewals, asked.totals) {
        (None, _, _) => {
            let nothing = format!("no history has been written to {sink} yet");
            return Err(VerbError::Failed(nothing));
        }
        (Some(history), Some(vm), _) => renewals(history.renewals(vm).await, printer),
        (Some(history), None, Some(by)) => {
            let totals = history.totals(&filter(asked), by.into(), Timestamp::now()).await;
            show_totals(totals, printer)
        }
        (Some(history), None, None) => {
            // One more tells whether there are more.
            let rows = history.rows(&filter(asked), asked.limit.saturating_add(1)).await;
            servers(rows, asked.limit, printer)
        }
    };
    if let Some(Err(error)) = close(history).await {
        tracing::debug!(error = error.full(), "closing the history failed");
    }
    answered?;
    Ok(0)
}

/// Opens what is there. To ask makes no file.
fn open(sink: &SinkUrl) -> Option<History> {
    let is_there = sink.path().is_none_or(std::path::Path::exists);
    is_there.then(|| History::new(sink))
}

async fn close(history: Option<History>) -> Option<Result<(), history::Error>> {
    Some(history?.close().await)
}

fn filter(asked: &HistoryQuestion) -> Filter {
    Filter {
        pool: asked.pool.clone(),
        owner: asked.owner.clone(),
        os: asked.os.clone(),
        name: asked.name.clone(),
        end_reason: asked.end_reason,
        since: asked.since,
        until: asked.until,
        living: asked.living,
    }
}

type Answer<T> = Result<Vec<T>, history::Error>;

fn read<T>(answer: Answer<T>) -> Result<Vec<T>, VerbError> {
    answer.map_err(|error| VerbError::Failed(error.full()))
}

fn servers(rows: Answer<ServerRow>, limit: usize, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    #[derive(Serialize)]
    struct Document {
        servers: Vec<Line>,
    }
    let mut rows = read(rows)?;
    if rows.len() > limit {
        rows.truncate(limit);
        tracing::warn!(limit, "there are more servers than are shown: --limit");
    }
    let lines: Vec<Line> = rows.into_iter().map(Line::from).collect();
    match printer.form() {
        Form::Json => printer.json(&Document { servers: lines })?,
        Form::Csv => printer.csv(lines)?,
        Form::Table => {
            let head = [
                "name",
                "uuid",
                "owner",
                "pool",
                "os",
                "created at",
                "deleted at",
                "end",
                "lived",
            ];
            printer.table(head, lines.into_iter().map(Line::cells).collect())?;
        }
    }
    Ok(())
}

fn show_totals(totals: Answer<Total>, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    #[derive(Serialize)]
    struct Document {
        totals: Vec<Total>,
    }
    let totals = read(totals)?;
    match printer.form() {
        Form::Json => printer.json(&Document { totals })?,
        Form::Csv => printer.csv(totals)?,
        Form::Table => {
            let rows = totals.into_iter().map(|total| {
                let median = total.median_create_seconds;
                [
                    total.key.unwrap_or_else(|| "(not known)".to_owned()),
                    total.servers.to_string(),
                    format!("{:.1}", total.server_hours),
                    median.map(|seconds| format!("{seconds:.1}")).unwrap_or_default(),
                ]
            });
            let head = ["of", "servers", "server hours", "median seconds to create"];
            printer.table(head, rows.collect())?;
        }
    }
    Ok(())
}

fn renewals(renewals: Answer<Renewal>, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    #[derive(Serialize)]
    struct Document {
        renewals: Vec<Renewal>,
    }
    let renewals = read(renewals)?;
    match printer.form() {
        Form::Json => printer.json(&Document { renewals })?,
        Form::Csv => printer.csv(renewals)?,
        Form::Table => {
            let rows = renewals.into_iter().map(|renewal| {
                [
                    format_time(renewal.at),
                    format_time(renewal.expires_at),
                    renewal.by.unwrap_or_default(),
                ]
            });
            printer.table(["renewed at", "expires at", "by"], rows.collect())?;
        }
    }
    Ok(())
}

impl From<ServerRow> for Line {
    fn from(row: ServerRow) -> Self {
        let addresses: Vec<String> = row.ip_addresses.iter().map(ToString::to_string).collect();
        Self {
            vm_uuid: row.vm_uuid.to_string(),
            name: row.name,
            owner: row.owner,
            pool: row.pool,
            host: row.host,
            os: row.os,
            template: row.template,
            cpus: row.cpus,
            memory_bytes: row.memory_bytes,
            disk_bytes: row.disk_bytes,
            ip_addresses: addresses.join(" "),
            created_at: row.created_at,
            ready_at: row.ready_at,
            expires_at: row.expires_at,
            deleted_at: row.deleted_at,
            create_seconds: row.create_seconds,
            live_seconds: row.live_seconds,
            delete_seconds: row.delete_seconds,
            end_reason: row.end_reason.map(history::EndReason::as_str),
        }
    }
}

impl Line {
    /// For people: what they ask for most.
    fn cells(self) -> [String; 9] {
        let time = |at: Option<Timestamp>| at.map(format_time).unwrap_or_default();
        // Whole seconds are enough, and no life is negative.
        let lived = self.live_seconds.map(|seconds| span(seconds.max(0.0) as u64));
        [
            self.name.unwrap_or_default(),
            self.vm_uuid,
            self.owner.unwrap_or_default(),
            self.pool.unwrap_or_default(),
            self.os.unwrap_or_default(),
            time(self.created_at),
            time(self.deleted_at),
            self.end_reason.unwrap_or_default().to_owned(),
            lived.unwrap_or_default(),
        ]
    }
}
