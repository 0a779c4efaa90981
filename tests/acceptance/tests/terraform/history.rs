//! The history: what the provider writes of servers that come, are renewed and go, and that nothing fails where it cannot.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use acceptance::{
    Diagnostic, Lab, Outcome, ProviderBlock, Reaper, State, Tool, Workspace, assert_unchanged, quoted, under_each_tool,
};
use history::{EndReason, Filter, History, Renewal, ServerRow, SinkUrl, VmUuid};
use jiff::Timestamp;
use serde_json::Value as Json;
use sim::{FaultKind, FaultRule};

use crate::lease::{ahead, expiries, renewing};
use crate::{A, SERVER, server};

/// Who writes the leases.
const BY: &str = concat!("dynvm-provider/", env!("CARGO_PKG_VERSION"), " ci/nightly");

/// A module whose provider keeps a history in a file beside it.
struct Kept {
    workspace: Workspace,
    url: String,
}

impl Kept {
    fn new(lab: &Lab, tool: &Tool, scheme: &str, parts: &[&str]) -> Self {
        let workspace = Workspace::new(tool);
        let url = format!("{scheme}://{}", workspace.path("history").display());
        let kept = Self { workspace, url };
        kept.main(lab, parts);
        kept
    }

    /// Writes the module anew.
    fn main(&self, lab: &Lab, parts: &[&str]) {
        let provider = provider(lab, &quoted(&self.url)).to_string();
        let all: Vec<&str> = std::iter::once(provider.as_str())
            .chain(parts.iter().copied())
            .collect();
        self.workspace.main(&all);
    }

    fn file(&self) -> PathBuf {
        self.workspace.path("history")
    }

    fn rows(&self, lab: &Lab) -> Vec<ServerRow> {
        let history = lab.wait_for(History::open(&sink(&self.url))).expect("a history");
        lab.wait_for(history.rows(&Filter::default(), usize::MAX))
            .expect("rows")
    }

    /// The only row.
    #[track_caller]
    fn row(&self, lab: &Lab) -> ServerRow {
        let mut rows = self.rows(lab);
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.swap_remove(0)
    }

    fn renewals(&self, lab: &Lab, vm: VmUuid) -> Vec<Renewal> {
        let history = lab.wait_for(History::open(&sink(&self.url))).expect("a history");
        lab.wait_for(history.renewals(vm)).expect("renewals")
    }
}

/// The provider of a lab with an owner and, as an HCL expression, a history.
fn provider(lab: &Lab, history: &str) -> ProviderBlock {
    lab.provider()
        .setting("owner = \"ci/nightly\"")
        .setting(&format!("history = {history}"))
}

fn sink(url: &str) -> SinkUrl {
    url.parse().expect("a URL")
}

fn texts(values: &Json) -> BTreeSet<String> {
    let items = values.as_array().into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The row that a server in the state has while it lives.
fn living(state: &State) -> ServerRow {
    let text = |name: &str| Some(state.text(A, name));
    let time = |name: &str| Some(state.text(A, name).parse::<Timestamp>().expect("a time"));
    let number = |name: &str| state.values(A)[name].as_u64().expect("a number");
    let timings = state.values(A)["timings"].as_object().expect("timings");
    let addresses = texts(&state.values(A)["ip_addresses"]);
    ServerRow {
        name: text("name"),
        owner: Some("ci/nightly".to_owned()),
        pool: text("pool"),
        host: text("resident_host"),
        os: Some("debian12".to_owned()),
        template: Some("tmpl-debian12".to_owned()),
        cpus: u32::try_from(number("cpus")).ok(),
        memory_bytes: Some(number("memory_mib") << 20),
        disk_bytes: Some(number("disk_bytes")),
        ip_addresses: addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect(),
        created_at: time("created_at"),
        ready_at: time("lease_started_at"),
        expires_at: time("expires_at"),
        create_seconds: Some(timings.values().filter_map(Json::as_f64).sum()),
        ..ServerRow::new(state.text(A, "id").parse().expect("a UUID"))
    }
}

/// Takes the time of the creation out of a row: the parts are rounded one by one, so that their sum may be off by some milliseconds.
fn creation(row: &mut ServerRow) -> f64 {
    row.create_seconds.take().expect("the time of the creation")
}

/// The lease of a server in the state as a renewal, as its mark and the record beside that say.
fn renewal(lab: &Lab, state: &State) -> Renewal {
    let vm = lab.vm(&state.text(A, "id"));
    let [_, keys] = expiries(&vm);
    let mark = keys.first().expect("a mark");
    let record: Json = serde_json::from_str(&vm.other_config()[mark]).expect("a record");
    assert_eq!(record["by"], BY, "{record}");
    Renewal {
        vm_uuid: state.text(A, "id").parse().expect("a UUID"),
        at: made_at(mark),
        expires_at: state.text(A, "expires_at").parse().expect("a time"),
        by: Some(BY.to_owned()),
    }
}

/// When a mark was made: the ULID in it begins with the milliseconds.
fn made_at(mark: &str) -> Timestamp {
    const DIGITS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let (_, id) = mark.split_once('/').expect("a mark");
    let milliseconds = id.chars().take(10).fold(0, |sum, letter| {
        let digit = DIGITS.find(letter).expect("a letter of a ULID");
        sum * 32 + i64::try_from(digit).expect("small")
    });
    Timestamp::from_millisecond(milliseconds).expect("a time")
}

fn not_written(outcome: &Outcome) -> Vec<Diagnostic> {
    let mut warnings = outcome.warnings();
    warnings.retain(|warning| warning.summary == "History not written");
    warnings
}

fn whole_life_in(scheme: &str) {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let kept = Kept::new(&lab, tool, scheme, &[&renewing("1h", "{ run = \"1\" }")]);
        kept.workspace.plan();
        assert!(!kept.file().exists(), "a plan has nothing to tell");
        kept.workspace.apply();
        let created = kept.workspace.state();
        let (mut row, mut expected) = (kept.row(&lab), living(&created));
        let differ = creation(&mut row) - creation(&mut expected);
        assert!(differ.abs() < 0.005, "{differ} s between the row and the timings");
        assert_eq!(row, expected);

        ahead(&lab, 1800);
        kept.main(&lab, &[&renewing("1h", "{ run = \"2\" }")]);
        kept.workspace.apply();
        let renewed = kept.workspace.state();
        let first = renewal(&lab, &renewed);
        assert_eq!(first.at.to_string(), renewed.text(A, "lease_started_at"));
        assert_eq!(kept.renewals(&lab, row.vm_uuid), std::slice::from_ref(&first));
        expected.expires_at = Some(first.expires_at);

        ahead(&lab, 1860);
        kept.main(&lab, &[&renewing("30m", "{ run = \"2\" }")]);
        kept.workspace.apply();
        let shortened = kept.workspace.state();
        let second = renewal(&lab, &shortened);
        assert!(second.expires_at < first.expires_at && second.at > first.at);
        assert_eq!(kept.renewals(&lab, row.vm_uuid), [first, second]);
        let mut row = kept.row(&lab);
        creation(&mut row);
        assert_eq!(row, expected, "the latest end that was ever told");

        kept.workspace.destroy();
        let row = kept.row(&lab);
        let born = expected.created_at.expect("a time");
        let gone = row.deleted_at.expect("a time");
        let lived = gone.duration_since(born).as_secs_f64();
        assert!((1860.0..1980.0).contains(&lived), "{lived} s by the pool's clock");
        assert!((row.live_seconds.expect("a life") - lived).abs() < 0.001, "{row:?}");
        assert!((0.0..60.0).contains(&row.delete_seconds.expect("a time")), "{row:?}");
        assert_eq!(row.end_reason, Some(EndReason::Destroyed));
        assert_eq!((&row.name, row.ready_at), (&expected.name, expected.ready_at));
        assert!(!kept.workspace.path("history-wal").exists(), "closed in order");
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_whole_life_in_sqlite() {
    whole_life_in("sqlite");
}

#[test]
fn a_whole_life_in_json_lines() {
    whole_life_in("jsonl");
}

#[test]
fn an_attempt_that_was_undone_has_a_row_of_its_own() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                pool.templates["tmpl-debian12"].guest.no_agent = true;
            }
        });
        let before = lab.world();
        let lines = "  os = \"debian12\"\n  keep_on_failure = true\n  ip_attempts = 2\n  timeouts = { ip = \"1s\" }";
        let kept = Kept::new(&lab, tool, "jsonl", &[&server(lines)]);
        kept.workspace.try_apply().only_error().expect_text("no guest agent");
        let id = kept.workspace.state().text(A, "id");
        let (left, undone): (Vec<_>, Vec<_>) = kept
            .rows(&lab)
            .into_iter()
            .partition(|row| row.vm_uuid.to_string() == id);
        assert_eq!((left.len(), undone.len()), (1, 1), "{left:#?} {undone:#?}");
        for row in left.iter().chain(&undone) {
            assert_eq!(row.name.as_deref(), Some("web"), "{row:?}");
            assert!(row.created_at.is_some() && row.owner.is_some(), "{row:?}");
            assert!(row.ready_at.is_none() && row.create_seconds.is_none(), "{row:?}");
        }
        assert!(left[0].is_living() && left[0].expires_at.is_some(), "{left:?}");
        assert_eq!(undone[0].end_reason, Some(EndReason::Failed));
        assert!(undone[0].deleted_at >= undone[0].created_at, "{undone:?}");
        assert!(
            undone[0].live_seconds.is_some() && undone[0].delete_seconds.is_some(),
            "{undone:?}"
        );
        kept.workspace.destroy();
        let ends: BTreeSet<Option<EndReason>> = kept.rows(&lab).iter().map(|row| row.end_reason).collect();
        assert_eq!(ends, [Some(EndReason::Destroyed), Some(EndReason::Failed)].into());
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn nothing_is_told_of_what_never_was_and_of_what_others_ended() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let kept = Kept::new(&lab, tool, "sqlite", &[SERVER]);
        let full = FaultKind::Error {
            code: "SR_FULL".to_owned(),
            params: vec!["20".to_owned(), "10".to_owned()],
        };
        lab.control().fault(FaultRule::always("VM.clone", full));
        kept.workspace.try_apply().only_error().expect_text("SR_FULL");
        lab.control().clear_faults();
        assert!(!kept.file().exists(), "without a clone there is nothing to tell");

        kept.workspace.apply();
        let vm = kept.workspace.state().text(A, "id");
        lab.control().destroy_vm(&vm).expect("it is there");
        let destroy = [
            "destroy",
            "-auto-approve",
            "-input=false",
            "-no-color",
            "-refresh=false",
        ];
        kept.workspace.run(&destroy).expect_success();
        assert!(kept.row(&lab).is_living(), "how it ended is not known here");
    });
}

#[test]
fn a_history_that_is_down_is_said_once_and_fails_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let three = server("  os = \"debian12\"\n  count = 3");
        let kept = Kept::new(&lab, tool, "sqlite", &[]);
        std::fs::write(kept.file(), "").expect("a file");
        let below = format!("{}/history.db", kept.url);
        kept.workspace
            .main(&[&provider(&lab, &quoted(&below)).to_string(), &three]);
        let outcome = kept.workspace.try_apply().expect_success();
        let said = not_written(&outcome);
        assert_eq!(said.len(), 1, "{outcome}");
        said[0].expect_text(&below).expect_text("nothing fails because of it");
        assert_eq!(kept.workspace.state().addresses().len(), 3);
        kept.workspace.expect_empty_plan();
        let outcome = kept.workspace.try_destroy().expect_success();
        assert_eq!(not_written(&outcome).len(), 1, "{outcome}");
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn the_reaper_tells_the_same() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let kept = Kept::new(&lab, tool, "sqlite", &[&renewing("1h", "{ run = \"1\" }")]);
        let seen = Kept {
            workspace: Workspace::new(tool),
            url: format!("jsonl://{}", kept.workspace.path("seen").display()),
        };
        let reaper = Reaper::with(&lab, &format!("history = {}", quoted(&seen.url)));
        let running = reaper.spawn(&["run"]);
        kept.workspace.apply();
        let vm = kept.row(&lab).vm_uuid;
        lab.until("the reaper has seen the server", || !seen.rows(&lab).is_empty());
        kept.main(&lab, &[&renewing("2h", "{ run = \"2\" }")]);
        kept.workspace.apply();
        lab.until("the reaper has seen the renewal", || {
            let ends = |kept: &Kept| kept.row(&lab).expires_at;
            !seen.renewals(&lab, vm).is_empty() && ends(&seen) == ends(&kept)
        });
        running.signal("TERM");
        let outcome = running.wait(Duration::from_secs(30));
        assert_eq!(outcome.code, Some(0), "{outcome}");
        let mut told = seen.renewals(&lab, vm);
        for renewal in &mut told {
            // It may see the mark before the record beside it, which says by whom; the history takes that from either.
            renewal.by = renewal.by.take().or_else(|| Some(BY.to_owned()));
        }
        assert_eq!(told, kept.renewals(&lab, vm));

        let (own, other) = (kept.row(&lab), seen.row(&lab));
        let merged = |first: &ServerRow, second: &ServerRow| {
            let mut merged = first.clone();
            history::merge(&mut merged, second);
            merged
        };
        // What was told first stays; so the order tells no difference only where both tell the same.
        assert_eq!(merged(&own, &other), merged(&other, &own));
        assert_eq!(merged(&own, &other), own, "the provider knows all that the reaper sees");
        kept.workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
