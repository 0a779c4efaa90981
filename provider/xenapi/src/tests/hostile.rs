//! Answers that no pool gives: nothing hangs, grows or panics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::{Reply, Server, host_metrics, ok, record, success};
use crate::{ErrorKind, Filter, HostMetrics, Outcome, Ref};

async fn read(reply: impl Fn() -> Reply + Send + Sync + 'static) -> crate::Error {
    let server = Server::xapi(move |_| reply()).await;
    let mut config = server.config();
    config.limits.quick = Duration::from_secs(3);
    let pool = crate::Pool::new(config).unwrap();
    pool.host_metrics()
        .record(&Ref::<HostMetrics>::new("OpaqueRef:m"))
        .await
        .unwrap_err()
}

fn check(error: &crate::Error, expect: &str) {
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(expect), "{shown:?} lacks {expect:?}");
}

#[tokio::test]
async fn refuses_answers_that_are_no_xmlrpc() {
    for (body, expect) in [
        ("", "holds no value"),
        ("hello", "text stands"),
        ("{\"result\": 1}", "text stands"),
        ("<html><body>It works</body></html>", "<html>"),
        ("<!DOCTYPE a [<!ENTITY a \"aaaa\">]><methodResponse/>", "document type"),
        (
            "<methodResponse><params><param><value>&a;</value></param></params></methodResponse>",
            "&a;",
        ),
        (
            "<methodResponse><params><param><value><struct><member><name>Status</name></member></struct></value></param></params></methodResponse>",
            "no value follows",
        ),
        ("<methodResponse><params><param><value>", "ends early"),
        (
            "<methodResponse><params><param></value></param></params></methodResponse>",
            "value",
        ),
        (
            "<methodResponse><fault><value>4</value></fault></methodResponse>",
            "fault",
        ),
        (
            "<methodResponse><params><param><value><int>NaN</int></value></param></params></methodResponse>",
            "whole number",
        ),
    ] {
        let error = read(move || Reply::Xml(body.to_owned())).await;
        assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{body}: {error}");
        check(&error, expect);
    }
}

#[tokio::test]
async fn refuses_records_of_another_shape() {
    let wrong = |field: &str, value: &str| {
        let good = host_metrics("1");
        let start = good.find(&format!("<name>{field}</name>")).unwrap();
        let end = start + good[start..].find("</member>").unwrap();
        format!("{}<name>{field}</name>{value}{}", &good[..start], &good[end..])
    };
    for (body, expect) in [
        (wrong("live", "<value>true</value>"), "the field live is no flag"),
        (
            wrong("memory_total", "<value>much</value>"),
            "the field memory_total is no whole number",
        ),
        (
            wrong("memory_total", "<value><double>NaN</double></value>"),
            "memory_total",
        ),
        (
            wrong("last_updated", "<value>yesterday</value>"),
            "the field last_updated is no time",
        ),
        (wrong("uuid", "<value>x</value>"), "the field uuid is no UUID"),
        (
            host_metrics("1").replace("<name>memory_free</name>", "<name>memory_taken</name>"),
            "the field memory_free is missing",
        ),
        ("<value>OpaqueRef:NULL</value>".to_owned(), "the record is no structure"),
    ] {
        let answer = success(&body);
        let error = read(move || Reply::Xml(answer.clone())).await;
        check(&error, expect);
        check(&error, "OpaqueRef:m");
    }
}

#[tokio::test]
async fn bounds_the_size_of_a_record() {
    let big = record(&[("uuid", &format!("<value>{}</value>", "x".repeat(2 << 20)))]);
    check(&read(move || ok(&big)).await, "bytes");
}

#[tokio::test]
async fn bounds_the_depth() {
    let deep = format!(
        "{}{}",
        "<value><array><data>".repeat(500),
        "</data></array></value>".repeat(500)
    );
    let unwanted = record(&[("unwanted", &deep)]);
    check(&read(move || ok(&deep)).await, "levels deep");
    check(&read(move || ok(&unwanted)).await, "levels deep");
}

#[tokio::test]
async fn an_endless_text_ends() {
    check(
        &read(|| Reply::Endless("<methodResponse><params><param><value>", "AAAAAAAA")).await,
        "",
    );
}

const LISTING: &str = "<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
    <member><name>Value</name><value><struct>";

#[tokio::test]
async fn an_endless_listing_ends_with_its_time() {
    const AGAIN: &str = "<member><name>OpaqueRef:x</name><value><struct><member><name>uuid</name>\
        <value>11111111-2222-3333-4444-555555555555</value></member><member><name>host</name><value>OpaqueRef:h</value></member>\
        <member><name>SR</name><value>OpaqueRef:s</value></member><member><name>currently_attached</name>\
        <value><boolean>1</boolean></value></member></struct></value></member>";
    let server = Server::xapi(|_| Reply::Endless(LISTING, AGAIN)).await;
    let pool = server.pool();
    let mut count = 0_u64;
    let began = Instant::now();
    let limit = Duration::from_millis(500);
    let error = pool
        .pbd()
        .each_where(&Filter::all(), limit, |_, _| count += 1)
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert!(count > 100 && began.elapsed() < Duration::from_secs(5), "{count}");
    assert_eq!(server.count("PBD.get_all_records_where"), 1);
}

#[tokio::test]
async fn an_endless_set_ends_with_its_size() {
    const START: &str = "<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
        <member><name>Value</name><value><array><data>";
    let server = Server::xapi(|_| Reply::Endless(START, "<value>OpaqueRef:x</value>")).await;
    let error = server.pool().pbd().refs_where(&Filter::all()).await.unwrap_err();
    check(&error, "bytes");
}

#[tokio::test]
async fn a_slow_drip_ends_with_its_time() {
    let began = Instant::now();
    let error = read(|| Reply::Drip(success("<value></value>"))).await;
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_answer_cut_short_is_a_broken_connection() {
    let error = read(|| Reply::Partly(success(&host_metrics("1")), 300)).await;
    assert!(matches!(error.kind(), ErrorKind::Broken), "{error:?}");
}

#[tokio::test]
async fn other_statuses_tell_whether_the_server_acted() {
    for (status, outcome) in [
        (302, Outcome::Rejected),
        (404, Outcome::Rejected),
        (431, Outcome::Rejected),
        (500, Outcome::MaybeSent),
    ] {
        let error = read(move || Reply::Status(status)).await;
        assert!(
            matches!(error.kind(), ErrorKind::Http(found) if *found == status),
            "{error}"
        );
        assert_eq!(error.outcome(), outcome);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place() {
    let server = Server::xapi(|_| Reply::After(Arc::default(), Box::new(Reply::Cut))).await;
    let pool = server.pool();
    let target = Ref::<HostMetrics>::new("OpaqueRef:m");
    for round in 1..=70 {
        let calls = pool.host_metrics();
        let call = calls.record(&target);
        tokio::select! {
            _ = call => panic!("answered"),
            () = server.wait_for("host_metrics.get_record", round) => {}
        }
    }
}
