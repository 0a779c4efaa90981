//! Answers that no pool gives: nothing hangs, grows or panics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::said::{Said, host_metrics};
use super::server::{Reply, Server, ok};
use crate::{ErrorKind, Filter, HostMetrics, Outcome, Ref, Wire};

async fn read(wire: Wire, reply: impl Fn() -> Reply + Send + Sync + 'static) -> crate::Error {
    let server = Server::xapi(wire, move |_| reply()).await;
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

/// What is no answer on a wire, and what is said of it.
fn no_answers(wire: Wire) -> Vec<(&'static str, &'static str)> {
    match wire {
        Wire::Xml => vec![
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
        ],
        Wire::Json => vec![
            ("", "holds no value"),
            ("hello", "no JSON object"),
            ("[1]", "no JSON object"),
            ("<methodResponse/>", "no JSON object"),
            ("{", "ends early"),
            ("{\"result\":\"a", "ends early"),
            ("{\"id\":1", "ends early"),
            ("{\"result\" \"a\"}", "a colon is missing"),
            ("{result:1}", "a name is missing"),
            ("{\"id\":1,}", "a name is missing"),
            ("{\"id\":1 \"result\":{}}", "a name is missing"),
            ("{\"result\":{\"uuid\" 1}}", "expected `:`"),
            ("{\"result\":{\"uuid\":}}", "expected value"),
            ("{\"result\":{\"uuid\":\"\\ud800\"}}", "hex escape"),
            ("{\"result\":{\"uuid\":\"\\x\"}}", "escape"),
            ("{\"result\":{\"uuid\":nul}}", "expected ident"),
            ("{\"result\":{]}", "key must be a string"),
            ("{\"error\":7,\"id\":1}", "no failure"),
            ("{\"error\":{\"code\":1},\"id\":1}", "no failure"),
            ("{\"id\":1}", "holds no value"),
        ],
    }
}

async fn refuses_what_is_no_answer(wire: Wire) {
    for (body, expect) in no_answers(wire) {
        let error = read(wire, move || Reply::Body(body.to_owned())).await;
        assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{body}: {error}");
        check(&error, expect);
    }
}

async fn refuses_what_follows_the_answer(wire: Wire) {
    let body = host_metrics(1).success(wire) + " \r\n.";
    let error = read(wire, move || Reply::Body(body.clone())).await;
    check(&error, "something follows the answer");
}

async fn refuses_records_of_another_shape(wire: Wire) {
    let wrong = |field: &str, value: Said| host_metrics(1).with(field, Some(value));
    for (said, expect) in [
        (wrong("live", "true".into()), "the field live is no flag"),
        (wrong("live", 1.into()), "the field live is no flag"),
        (
            wrong("memory_total", "much".into()),
            "the field memory_total is no whole number",
        ),
        (wrong("memory_total", 1.5.into()), "memory_total"),
        (wrong("memory_total", Said::Tagged("double", "NaN")), ""),
        (
            wrong("memory_total", Said::Tagged("int", "99999999999999999999")),
            "whole number",
        ),
        (wrong("memory_total", Said::Tagged("double", "1e999")), ""),
        (
            wrong("last_updated", "yesterday".into()),
            "the field last_updated is no time",
        ),
        (wrong("uuid", "x".into()), "the field uuid is no UUID"),
        (wrong("uuid", ["x"].into()), "the field uuid is no UUID"),
        (wrong("uuid", Said::empty_map()), "the field uuid is no UUID"),
        (
            host_metrics(1).with("memory_free", None),
            "the field memory_free is missing",
        ),
        ("OpaqueRef:NULL".into(), "the record is no structure"),
        (Said::empty_set(), "the record is no structure"),
        (7.into(), "the record is no structure"),
    ] {
        let error = read(wire, move || ok(said.clone())).await;
        assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
        check(&error, expect);
        check(&error, "OpaqueRef:m");
    }
}

async fn what_stands_twice_is_worth_nothing(wire: Wire) {
    let Said::Map(members) = host_metrics(1) else {
        panic!("no map")
    };
    let twice = Said::Map([members, vec![("live".to_owned(), false.into())]].concat());
    let error = read(wire, move || ok(twice.clone())).await;
    check(&error, "the field live stands twice");

    let key = || ("dynvm:vm", "u".into());
    let server = Server::xapi(wire, move |_| ok([key(), key()])).await;
    let error = server
        .pool()
        .vm()
        .get_other_config(&Ref::new("OpaqueRef:vm"))
        .await
        .unwrap_err();
    check(&error, "no map of texts");
}

async fn bounds_the_size_of_a_record(wire: Wire) {
    let text = "x".repeat(17 << 20);
    for name in ["uuid", "unwanted"] {
        let big = Said::from([(name, (&*text).into())]);
        check(&read(wire, move || ok(big.clone())).await, "bytes");
    }
}

async fn bounds_the_depth(wire: Wire) {
    let (open, close) = match wire {
        Wire::Json => ("[", "]"),
        Wire::Xml => ("<value><array><data>", "</data></array></value>"),
    };
    let deep = format!("{}{}", open.repeat(500), close.repeat(500));
    let body = move |name: &str| match wire {
        Wire::Json => format!("{{\"result\":{{\"{name}\":{deep}}}}}"),
        Wire::Xml => Said::from([(name, "".into())])
            .success(wire)
            .replace("<value></value>", &deep),
    };
    for name in ["uuid", "unwanted"] {
        let body = body(name);
        check(&read(wire, move || Reply::Body(body.clone())).await, "levels deep");
    }
}

async fn an_endless_text_ends(wire: Wire) {
    let start = match wire {
        Wire::Json => "{\"result\":\"",
        Wire::Xml => "<methodResponse><params><param><value>",
    };
    check(&read(wire, move || Reply::Endless(start, "AAAAAAAA")).await, "");
}

async fn an_endless_listing_ends_with_its_time(wire: Wire) {
    let (start, again) = match wire {
        Wire::Json => (
            "{\"result\":{\"OpaqueRef:x\":{\"uuid\":\"11111111-2222-3333-4444-555555555555\",\"host\":\"\",\"SR\":\"\",\"currently_attached\":true}",
            ",\"OpaqueRef:x\":{\"uuid\":\"11111111-2222-3333-4444-555555555555\",\"host\":\"\",\"SR\":\"\",\"currently_attached\":true}",
        ),
        Wire::Xml => (
            "<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
             <member><name>Value</name><value><struct>",
            "<member><name>OpaqueRef:x</name><value><struct><member><name>uuid</name>\
             <value>11111111-2222-3333-4444-555555555555</value></member><member><name>host</name><value>OpaqueRef:h</value></member>\
             <member><name>SR</name><value>OpaqueRef:s</value></member><member><name>currently_attached</name>\
             <value><boolean>1</boolean></value></member></struct></value></member>",
        ),
    };
    let server = Server::xapi(wire, move |_| Reply::Endless(start, again)).await;
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

async fn an_endless_set_ends_with_its_size(wire: Wire) {
    let (start, again) = match wire {
        Wire::Json => ("{\"result\":[\"OpaqueRef:x\"", ",\"OpaqueRef:x\""),
        Wire::Xml => (
            "<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
             <member><name>Value</name><value><array><data>",
            "<value>OpaqueRef:x</value>",
        ),
    };
    let server = Server::xapi(wire, move |_| Reply::Endless(start, again)).await;
    let error = server.pool().pbd().refs_where(&Filter::all()).await.unwrap_err();
    check(&error, "bytes");
}

async fn a_set_of_very_many_very_small_items_is_refused(wire: Wire) {
    let many = Said::Set(vec!["".into(); 200_000]);
    let server = Server::xapi(wire, move |_| ok(many.clone())).await;
    let error = server.pool().pbd().refs_where(&Filter::all()).await.unwrap_err();
    check(&error, "it is no set");
}

async fn a_slow_drip_ends_with_its_time(wire: Wire) {
    let began = Instant::now();
    let error = read(wire, || Reply::Drip(host_metrics(1))).await;
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

async fn an_answer_cut_short_is_a_broken_connection(wire: Wire) {
    let error = read(wire, || Reply::Partly(host_metrics(1), 120)).await;
    assert!(matches!(error.kind(), ErrorKind::Broken), "{error:?}");
}

async fn other_statuses_tell_whether_the_server_acted(wire: Wire) {
    for (status, outcome) in [
        (302, Outcome::Rejected),
        (404, Outcome::Rejected),
        (431, Outcome::Rejected),
        (500, Outcome::MaybeSent),
    ] {
        let error = read(wire, move || Reply::Status(status)).await;
        assert!(
            matches!(error.kind(), ErrorKind::Http(found) if *found == status),
            "{error}"
        );
        assert_eq!(error.outcome(), outcome);
    }
}

async fn a_caller_that_leaves_frees_its_place(wire: Wire) {
    let server = Server::xapi(wire, |_| Reply::After(Arc::default(), Box::new(Reply::Cut))).await;
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

over_both_wires!(
    refuses_what_is_no_answer,
    refuses_what_follows_the_answer,
    refuses_records_of_another_shape,
    what_stands_twice_is_worth_nothing,
    bounds_the_size_of_a_record,
    bounds_the_depth,
    an_endless_text_ends,
    an_endless_listing_ends_with_its_time,
    an_endless_set_ends_with_its_size,
    a_set_of_very_many_very_small_items_is_refused,
    a_slow_drip_ends_with_its_time,
    an_answer_cut_short_is_a_broken_connection,
    other_statuses_tell_whether_the_server_acted,
    a_caller_that_leaves_frees_its_place,
);
