//! What a scrape sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sim::{ClockMode, Options, Simulator, World};
use xenapi::{Endpoint, Limits, PoolConfig, Secret, TlsTrust, WireChoice};

use super::{Deletion, Due, Metrics, NAMES, PoolMetrics, RailState, Reading};

/// Tells something of every metric.
fn tell_all(pool: &PoolMetrics) {
    pool.read();
    pool.managed([("living", 3), ("expired", 1)]);
    pool.oldest_due(Due::Nothing);
    pool.deletion(Deletion::Deleted);
    pool.succeeded(Timestamp::from_second(1_790_000_000).unwrap());
    pool.rail("paused", RailState::Active);
    pool.rail("clock-moved", RailState::Clear);
    pool.quarantined(2);
    pool.tickets([("live", 2), ("over", 1)]);
    pool.cleared_tickets(3);
    pool.clock_skew(SignedDuration::from_millis(-1_500));
}

/// The lines of one metric's samples.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.text().unwrap();
    let own = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    text.lines().filter(own).map(str::to_owned).collect()
}

#[test]
fn exactly_the_names_of_the_table_are_exported() {
    let metrics = Metrics::default();
    tell_all(&metrics.pool("lab1"));
    metrics.cycle(Duration::from_millis(30));
    let text = metrics.text().unwrap();
    let heads = |word: &str| -> Vec<String> {
        let start = format!("# {word} ");
        text.lines()
            .filter_map(|line| line.strip_prefix(&start).map(str::to_owned))
            .collect()
    };
    let helps: Vec<String> = NAMES.iter().map(|row| format!("{} {}", row.name, row.help)).collect();
    let types: Vec<String> = NAMES
        .iter()
        .map(|row| format!("{} {}", row.name, row.kind.word()))
        .collect();
    assert_eq!(heads("HELP"), helps);
    assert_eq!(heads("TYPE"), types);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let known = NAMES.iter().any(|row| match row.kind {
            super::Kind::Histogram => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|part| name.strip_suffix(part) == Some(row.name)),
            super::Kind::Gauge | super::Kind::Counter => name == row.name,
        });
        assert!(known, "{line}");
    }
}

#[test]
fn names_keep_to_the_conventions_of_prometheus() {
    let distinct: BTreeSet<&str> = NAMES.iter().map(|row| row.name).collect();
    assert_eq!(distinct.len(), NAMES.len());
    for row in NAMES {
        assert!(row.name.starts_with("dynvm_reaper_"), "{}", row.name);
        assert_eq!(
            row.name.ends_with("_total"),
            row.kind == super::Kind::Counter,
            "{}",
            row.name
        );
        assert!(row.help.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn a_page_of_one_pool() {
    let metrics = Metrics::default();
    tell_all(&metrics.pool("lab1"));
    let wanted = [
        r#"dynvm_reaper_up{pool="lab1"} 1"#,
        r#"dynvm_reaper_managed_vms{pool="lab1",verdict="expired"} 1"#,
        r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 3"#,
        r#"dynvm_reaper_oldest_overdue_seconds{pool="lab1"} 0.0"#,
        r#"dynvm_reaper_deletions_total{pool="lab1",result="deleted"} 1"#,
        r#"dynvm_reaper_deletions_total{pool="lab1",result="failed"} 0"#,
        r#"dynvm_reaper_deletions_total{pool="lab1",result="refused"} 0"#,
        r#"dynvm_reaper_deletions_total{pool="lab1",result="gone"} 0"#,
        r#"dynvm_reaper_last_success_timestamp_seconds{pool="lab1"} 1790000000"#,
        r#"dynvm_reaper_rail_active{pool="lab1",rail="clock-moved"} 0"#,
        r#"dynvm_reaper_rail_active{pool="lab1",rail="paused"} 1"#,
        r#"dynvm_reaper_quarantined{pool="lab1"} 2"#,
        r#"dynvm_reaper_clock_skew_seconds{pool="lab1"} -1.5"#,
        r#"dynvm_reaper_history_queue 0"#,
    ];
    let text = metrics.text().unwrap();
    for line in wanted {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn what_is_not_known_yet_is_not_shown_as_nothing() {
    let metrics = Metrics::default();
    let _pool = metrics.pool("lab1");
    assert_eq!(
        samples(&metrics, "dynvm_reaper_up"),
        [r#"dynvm_reaper_up{pool="lab1"} 0"#]
    );
    for name in [
        "dynvm_reaper_oldest_overdue_seconds",
        "dynvm_reaper_last_success_timestamp_seconds",
        "dynvm_reaper_quarantined",
        "dynvm_reaper_clock_skew_seconds",
        "dynvm_reaper_managed_vms",
    ] {
        assert_eq!(samples(&metrics, name), [""; 0], "{name}");
    }
}

#[test]
fn managed_vms_are_replaced_at_once() {
    let metrics = Metrics::default();
    let pool = metrics.pool("lab1");
    pool.managed([("living", 3), ("expired", 1)]);
    pool.managed([("living", 2)]);
    assert_eq!(
        samples(&metrics, "dynvm_reaper_managed_vms"),
        [r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 2"#]
    );
}

#[test]
fn a_removed_pool_is_not_brought_back_by_a_loop_that_is_still_ending() {
    let metrics = Metrics::default();
    let old = metrics.pool("lab1");
    tell_all(&old);
    tell_all(&metrics.pool("lab2"));
    metrics.remove("lab1");
    tell_all(&old);
    let text = metrics.text().unwrap();
    assert!(!text.contains("lab1"), "{text}");
    assert!(text.contains(r#"{pool="lab2"}"#), "{text}");
    let anew = metrics.pool("lab1");
    old.deletion(Deletion::Failed);
    anew.deletion(Deletion::Deleted);
    let text = metrics.text().unwrap();
    assert!(
        text.contains(r#"deletions_total{pool="lab1",result="deleted"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"deletions_total{pool="lab1",result="failed"} 0"#),
        "{text}"
    );
}

#[test]
fn a_pool_that_stays_keeps_its_counts() {
    let metrics = Metrics::default();
    metrics.pool("lab1").deletion(Deletion::Deleted);
    metrics.pool("lab1").deletion(Deletion::Deleted);
    assert!(
        samples(&metrics, "dynvm_reaper_deletions_total")
            .contains(&r#"dynvm_reaper_deletions_total{pool="lab1",result="deleted"} 2"#.to_owned())
    );
}

#[test]
fn readings_remember_whether_there_ever_was_one() {
    let metrics = Metrics::default();
    let pool = metrics.pool("lab1");
    let reading = || metrics.readings().remove(0).1;
    assert_eq!(reading(), Reading::Untried);
    pool.unreadable();
    assert_eq!(reading(), Reading::Unreadable);
    pool.read();
    assert_eq!(reading(), Reading::Read);
    pool.unreadable();
    pool.unreadable();
    assert_eq!(reading(), Reading::Lost);
    assert!(Reading::Lost.was_read() && !Reading::Unreadable.was_read());
}

#[tokio::test(start_paused = true)]
async fn what_is_overdue_ages_between_two_looks() {
    let metrics = Metrics::default();
    let pool = metrics.pool("lab1");
    let overdue = || samples(&metrics, "dynvm_reaper_oldest_overdue_seconds").remove(0);
    let is = |seconds: u64| format!(r#"dynvm_reaper_oldest_overdue_seconds{{pool="lab1"}} {seconds}.0"#);
    pool.oldest_due(Due::In(Duration::from_secs(60)));
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(overdue(), is(0));
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(overdue(), is(40));
    pool.oldest_due(Due::Since(Duration::from_secs(7)));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(overdue(), is(10));
    pool.oldest_due(Due::Nothing);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(overdue(), is(0));
}

#[test]
fn cycles_fall_into_their_buckets() {
    let metrics = Metrics::default();
    metrics.cycle(Duration::from_millis(20));
    metrics.cycle(Duration::from_secs(90));
    let buckets = samples(&metrics, "dynvm_reaper_cycle_seconds_bucket");
    let counts: BTreeMap<&str, &str> = buckets
        .iter()
        .map(|line| {
            let (head, count) = line.split_once(' ').unwrap();
            (head.split('"').nth(1).unwrap(), count)
        })
        .collect();
    assert_eq!(counts.len(), super::BOUNDS.len() + 1);
    assert_eq!(
        (counts["0.01"], counts["0.025"], counts["60"], counts["+Inf"]),
        ("0", "1", "1", "2")
    );
    assert_eq!(
        samples(&metrics, "dynvm_reaper_cycle_seconds_count"),
        ["dynvm_reaper_cycle_seconds_count 2"]
    );
}

#[test]
fn a_name_with_quotes_stays_one_label() {
    let metrics = Metrics::default();
    metrics.pool("lab \"1\"\\").read();
    assert_eq!(
        samples(&metrics, "dynvm_reaper_up"),
        [r#"dynvm_reaper_up{pool="lab \"1\"\\"} 1"#]
    );
}

/// A client of the first pool of a lab.
fn client(simulator: &Simulator) -> Arc<xenapi::Pool> {
    let lab1 = simulator.pools().remove(0);
    let config = PoolConfig {
        name: lab1.name,
        urls: vec![Endpoint::parse(&lab1.url).unwrap()],
        username: lab1.username,
        password: Secret::new(lab1.password),
        tls: TlsTrust::SystemRoots,
        wire: WireChoice::Auto,
        originator: "dynvm-reaper/test".to_owned(),
        limits: Limits::default(),
    };
    xenapi::Pool::new(config).unwrap()
}

/// What the client itself counted, as lines of the page.
fn counted(client: &xenapi::Pool) -> Vec<String> {
    let tallies = client.counters().snapshot().into_iter();
    tallies
        .map(|tally| {
            format!(
                r#"dynvm_reaper_xapi_requests_total{{pool="lab1",method="{}",code="{}"}} {}"#,
                tally.method, tally.code, tally.requests
            )
        })
        .collect()
}

#[tokio::test]
async fn requests_are_those_that_the_client_counted() {
    let options = Options {
        clock: ClockMode::Auto,
        control: None,
    };
    let simulator = Simulator::start(World::default_lab(), options).await.unwrap();
    let client = client(&simulator);
    let metrics = Metrics::default();
    let pool = metrics.pool("lab1");
    pool.counts_requests_of(&client);
    client.pool().all_records().await.unwrap();
    client.pool().all_records().await.unwrap();
    assert!(client.vm().by_uuid(xenapi::Uuid::from_bytes([7; 16])).await.is_err());
    let told = || samples(&metrics, "dynvm_reaper_xapi_requests_total");
    assert!(
        told().iter().any(|line| line.ends_with(r#"code="UUID_INVALID"} 1"#)),
        "{:?}",
        told()
    );
    assert_eq!(told(), counted(&client));
    assert_eq!(told(), counted(&client), "a scrape adds nothing");
    let next = self::client(&simulator);
    pool.counts_requests_of(&next);
    assert_eq!(told(), [""; 0], "a client that was replaced is not counted on");
}
