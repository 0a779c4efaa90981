//! What a lab admin is given beside the binary speaks of metrics that exist: the alert rules, the dashboard, the operations page.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of a test fail by panicking")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use reaper::config::{Environment, HistorySetting, read};
use reaper::metrics::{Kind, NAMES, Name};
use serde_json::Value;

/// Labels that Prometheus gives every series, and the one of histograms' buckets.
const LABELS_OF_ALL: [&str; 3] = ["job", "instance", "le"];
/// What expressions may use beside the reaper's own metrics: Prometheus' word on whether a scrape succeeded.
const SCRAPE: &str = "up";
/// The words of PromQL that the rules and the dashboard need.
const WORDS: [&str; 17] = [
    "abs",
    "absent",
    "and",
    "by",
    "delta",
    "histogram_quantile",
    "increase",
    "max",
    "min_over_time",
    "on",
    "or",
    "rate",
    "sum",
    "time",
    "topk",
    "unless",
    "vector",
];

fn text(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations");
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The row of the table that a name in an expression belongs to.
fn row(name: &str) -> Option<&'static Name> {
    NAMES.iter().find(|row| match row.kind {
        Kind::Gauge | Kind::Counter => row.name == name,
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| name.strip_suffix(part) == Some(row.name)),
    })
}

/// A piece of a PromQL expression, as far as names and labels are concerned.
#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Sign(char),
}

/// Splits an expression; strings, numbers and durations say nothing about names and are left out.
fn tokens(expr: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$';
        let length = if first == '"' {
            rest[1..].find('"').expect("a string ends") + 2
        } else if is_name(first) {
            rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(length);
        if first.is_ascii_alphabetic() || first == '_' {
            tokens.push(Token::Word(piece));
        } else if !is_name(first) && first != '"' && !first.is_whitespace() {
            tokens.push(Token::Sign(first));
        }
        rest = after;
    }
    tokens
}

/// What is wrong with an expression: names and labels that the reaper does not export.
fn faults(expr: &str) -> Vec<String> {
    let (metrics, labels) = names_and_labels(expr);
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = LABELS_OF_ALL.into();
    for name in &metrics {
        match row(name) {
            Some(row) => known.extend(row.labels),
            None if *name == SCRAPE => {}
            None => faults.push(format!("{name} is no metric")),
        }
    }
    for (of, label) in labels {
        let own = of.map_or_else(
            || known.clone(),
            |name| {
                let labels = row(name).map(|row| row.labels).unwrap_or_default();
                LABELS_OF_ALL.iter().chain(labels).copied().collect()
            },
        );
        if !own.contains(label) {
            faults.push(format!("{} has no label {label}", of.unwrap_or("no metric of it")));
        }
    }
    if metrics.is_empty() {
        faults.push("no metric at all".to_owned());
    }
    faults
}

/// The metrics of an expression, and its labels: those of a selector with the metric it selects from.
fn names_and_labels(expr: &str) -> (BTreeSet<&str>, Vec<(Option<&str>, &str)>) {
    let tokens = tokens(expr);
    let (mut metrics, mut labels) = (BTreeSet::new(), Vec::new());
    let (mut last, mut is_selector, mut is_grouping) = ("", false, false);
    for token in tokens {
        match token {
            Token::Sign('{') => is_selector = true,
            Token::Sign('}') => is_selector = false,
            Token::Sign('(') => {
                is_grouping = matches!(last, "by" | "on");
                last = "";
            }
            Token::Sign(')') => is_grouping = false,
            Token::Sign(_) => {}
            Token::Word(label) if is_selector => labels.push((Some(last), label)),
            Token::Word(label) if is_grouping => labels.push((None, label)),
            Token::Word(word) => {
                last = word;
                if !WORDS.contains(&word) {
                    metrics.insert(word);
                }
            }
        }
    }
    (metrics, labels)
}

#[test]
fn the_check_sees_names_and_labels() {
    let check = |expr: &str, expect: &[&str]| assert_eq!(faults(expr), expect, "{expr}");
    check(r#"dynvm_reaper_up{pool=~"$pool"} == 0"#, &[]);
    check(
        "sum by (le) (rate(dynvm_reaper_cycle_seconds_bucket[$__rate_interval]))",
        &[],
    );
    check(
        "dynvm_reaper_cycle_seconds > 1",
        &["dynvm_reaper_cycle_seconds is no metric"],
    );
    check(
        "increase(dynvm_reaper_deletions[5m])",
        &["dynvm_reaper_deletions is no metric"],
    );
    check(
        r#"dynvm_reaper_up{pool="a",rail!="b"}"#,
        &["dynvm_reaper_up has no label rail"],
    );
    check(
        "sum by (verdict) (dynvm_reaper_up)",
        &["no metric of it has no label verdict"],
    );
    check("vector(0)", &["no metric at all"]);
    check(r#"up{job="dynvm-reaper"} == 0"#, &[]);
}

/// One alert: the lines from its `- alert:` to the next.
fn alerts(rules: &str) -> Vec<&str> {
    let blocks = rules.split("- alert: ").skip(1);
    blocks.collect()
}

/// The value of `key:` in a block; a folded one (`>-`) as one line.
fn value(block: &str, key: &str) -> Option<String> {
    let mut lines = block.lines();
    let start = format!("{key}: ");
    let line = lines.find(|line| line.trim_start().starts_with(&start))?;
    let depth = |line: &str| line.len() - line.trim_start().len();
    let inline = line.trim_start().strip_prefix(&start)?.trim();
    if inline != ">-" {
        return Some(inline.to_owned());
    }
    let folded = lines.take_while(|below| depth(below) > depth(line));
    Some(folded.map(str::trim).collect::<Vec<_>>().join(" "))
}

/// The labels that a text fills in, written `{{ $labels.x }}` or `{{x}}`.
fn filled_in(text: &str) -> Vec<&str> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| rest.split("}}").next())
        .map(|inner| inner.trim())
        .filter(|inner| !inner.starts_with("$value"))
        .map(|inner| inner.strip_prefix("$labels.").unwrap_or(inner))
        .collect()
}

/// Labels in a text that the expression beside it does not have.
fn strays<'t>(text: &'t str, expr: &str) -> Vec<&'t str> {
    let (metrics, _) = names_and_labels(expr);
    let known: BTreeSet<&str> = metrics
        .iter()
        .filter_map(|name| row(name))
        .flat_map(|row| row.labels)
        .chain(&LABELS_OF_ALL)
        .copied()
        .collect();
    filled_in(text)
        .into_iter()
        .filter(|label| !known.contains(label))
        .collect()
}

#[test]
fn alerts_speak_of_metrics_that_exist_and_say_what_to_do() {
    let rules = text("alerts.yaml");
    let alerts = alerts(&rules);
    assert!(alerts.len() >= 9, "{}", alerts.len());
    for alert in &alerts {
        let name = alert.lines().next().unwrap_or_default();
        let told = |key: &str| value(alert, key).unwrap_or_else(|| panic!("{name} has no {key}"));
        let expr = told("expr");
        assert_eq!(faults(&expr), [""; 0], "{name}: {expr}");
        assert!(["warning", "critical"].contains(&told("severity").as_str()), "{name}");
        for key in ["summary", "description"] {
            let words = told(key);
            assert!(words.len() > 20, "{name}: {key}");
            assert_eq!(strays(&words, &expr), [""; 0], "{name}: {key}");
        }
    }
}

/// Every object below that has this key with a text.
fn texts<'v>(value: &'v Value, key: &str, found: &mut Vec<(&'v str, &'v Value)>) {
    match value {
        Value::Object(members) => {
            if let Some(text) = members.get(key).and_then(Value::as_str) {
                found.push((text, value));
            }
            members.values().for_each(|member| texts(member, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard: Value = serde_json::from_str(&text("grafana-dashboard.json")).expect("the dashboard is JSON");
    let mut targets = Vec::new();
    texts(&dashboard, "expr", &mut targets);
    let mut shown = BTreeSet::new();
    for (expr, target) in &targets {
        assert_eq!(faults(expr), [""; 0], "{expr}");
        let legend = target.get("legendFormat").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(strays(legend, expr), [""; 0], "{expr}: {legend}");
        shown.extend(names_and_labels(expr).0.into_iter().filter_map(row).map(|row| row.name));
    }
    let all: BTreeSet<&str> = NAMES.iter().map(|row| row.name).collect();
    assert_eq!(shown, all);
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard: Value = serde_json::from_str(&text("grafana-dashboard.json")).expect("the dashboard is JSON");
    let mut sources = Vec::new();
    texts(&dashboard, "uid", &mut sources);
    let uids: BTreeSet<&str> = sources.iter().map(|(uid, _)| *uid).collect();
    assert_eq!(uids, ["${datasource}", "dynvm-reaper"].into());
    let mut queries = Vec::new();
    texts(&dashboard, "definition", &mut queries);
    for (query, _) in queries {
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (name, label) = inner
            .and_then(|inner| inner.split_once(", "))
            .expect("label_values(metric, label)");
        assert!(row(name).is_some_and(|row| row.labels.contains(&label)), "{query}");
    }
    let panels = dashboard.get("panels").and_then(Value::as_array).expect("panels");
    let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel.get("id")?.as_i64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        let unit = panel.pointer("/fieldConfig/defaults/unit").and_then(Value::as_str);
        assert!(unit.is_some(), "{panel}");
    }
}

#[test]
fn the_operations_page_has_the_table_of_metrics() {
    let page = text("README.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `dynvm_reaper_"))
        .collect();
    let wanted: Vec<String> = NAMES.iter().map(table_row).collect();
    assert_eq!(rows, wanted);
}

fn table_row(row: &Name) -> String {
    let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = match labels.join(", ") {
        none if none.is_empty() => none,
        some => format!("{some} "),
    };
    format!("| `{}` | {} | {labels}| {} |", row.name, row.kind.word(), row.help)
}

#[test]
fn the_operations_page_names_no_metric_that_is_not_there() {
    let page = text("README.md");
    for (at, _) in page.match_indices("dynvm_reaper_") {
        let rest = &page[at..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let name = &rest[..end];
        assert!(NAMES.iter().any(|row| row.name == name), "{name}");
    }
}

#[test]
fn links_within_the_operations_page_lead_somewhere() {
    let page = text("README.md");
    let anchors: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|head| {
            let words = head.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect();
    for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        match target.strip_prefix('#') {
            Some(anchor) => assert!(anchors.contains(anchor), "#{anchor}"),
            None => assert!(!text(target).is_empty(), "{target}"),
        }
    }
}

#[test]
fn the_operations_page_explains_every_verdict_and_rail() {
    let page = text("README.md");
    for name in reaper::classify::LABELS.iter().chain(&reaper::rails::NAMES) {
        let row = format!("| `{name}` | ");
        assert!(page.lines().any(|line| line.starts_with(&row)), "no row for {name}");
    }
}

/// The example configuration beside the files that it names.
fn example() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let files = [
        ("reaper.hcl", text("reaper.hcl")),
        ("lab1.password", "hush\n".to_owned()),
        ("lab2.password", "hush\n".to_owned()),
        ("lab-ca.pem", certificate.to_owned()),
    ];
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        }
    }
    folder
}

#[test]
fn the_example_configuration_is_read_without_a_warning() {
    let folder = example();
    let config = read(&folder.path().join("reaper.hcl"), &Environment::default()).expect("a configuration");
    assert_eq!(config.warnings, [""; 0]);
    let pools: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["lab1", "lab2"]);
    let page = "127.0.0.1:9471".parse().expect("an address");
    assert_eq!(config.listen, Some(page));
    assert_eq!(config.owners, ["*"]);
    assert_eq!(config.max_ttl.map(|ttl| ttl.as_secs()), Some(7 * 24 * 3600));
}

/// Where the example says that a value is the default, it is.
#[test]
fn the_example_configuration_knows_the_defaults() {
    let folder = example();
    let file = folder.path().join("reaper.hcl");
    let told = read(&file, &Environment::default()).expect("a configuration");
    let text = text("reaper.hcl");
    let pools = &text[..text.find("\n}\n").expect("the end of pools") + 3];
    std::fs::write(&file, pools).expect("a file");
    let default = read(&file, &Environment::default()).expect("a configuration");
    assert_eq!(told.grace, default.grace);
    assert_eq!(told.max_deletions, default.max_deletions);
    assert_eq!(told.state_dir, default.state_dir);
    let in_state_dir = format!("sqlite://{}/history.db", default.state_dir.display());
    assert_eq!(told.history, HistorySetting::Url(in_state_dir.into()));
    assert_eq!(default.history, HistorySetting::StateDir);
    assert_eq!(
        (default.max_ttl, default.listen, default.owners),
        (None, None, Vec::new())
    );
}

#[test]
fn the_operations_page_has_the_settings_of_the_example() {
    let page = text("README.md");
    let (_, table) = page
        .split_once("| setting | meaning | default |")
        .expect("the table of settings");
    let rows: BTreeSet<&str> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    let example = text("reaper.hcl");
    let settings: BTreeSet<&str> = example
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split(" =").next())
        .collect();
    assert_eq!(rows, settings);
}
