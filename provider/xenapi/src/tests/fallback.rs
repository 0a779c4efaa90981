//! Pools that know no JSON-RPC, found out by the login and by nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::server::{PASSWORD, Reply, SESSION, Seen, Server, failure, failure_text, ok};
use crate::{ErrorKind, Outcome, Pool, Ref, Vm, Wire, WireChoice};

const LOGIN: &str = "session.login_with_password";

fn vm() -> Ref<Vm> {
    Ref::new("OpaqueRef:vm")
}

fn pool(server: &Server, wire: WireChoice) -> Arc<Pool> {
    Pool::new(crate::PoolConfig {
        wire,
        ..server.config()
    })
    .unwrap()
}

/// How an old pool answers what is no XML.
fn no_xml() -> Reply {
    let texts = ["INTERNAL_ERROR", "Xmlrpc.parse_error"].map(str::to_owned);
    Reply::Typed("text/xml", failure_text(Wire::Xml, &texts))
}

/// A pool that knows XML-RPC only.
async fn old(refusal: fn() -> Reply, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(Wire::Xml, move |seen| match (seen.wire, seen.method.as_str()) {
        (Wire::Json, _) => refusal(),
        (Wire::Xml, LOGIN) => ok(SESSION),
        (Wire::Xml, _) => script(seen),
    })
    .await
}

fn wires(server: &Server) -> Vec<(Wire, String)> {
    server.seen().into_iter().map(|seen| (seen.wire, seen.method)).collect()
}

fn seen(wire: Wire, method: &str) -> (Wire, String) {
    (wire, method.to_owned())
}

#[tokio::test]
async fn a_pool_that_knows_json_is_talked_to_in_it() {
    let server = Server::xapi(Wire::Json, |_| ok("")).await;
    let pool = pool(&server, WireChoice::Auto);
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    pool.logout(Duration::from_secs(5)).await;
    assert!(server.seen().iter().all(|seen| seen.wire == Wire::Json));
    assert_eq!(server.methods(), [LOGIN, "VM.add_tags", "session.logout"]);
}

#[tokio::test]
async fn an_old_pool_is_talked_to_in_xml_from_the_login_on() {
    for refusal in [no_xml, || Reply::Status(500)] {
        let server = old(refusal, |seen| match seen.method.as_str() {
            "VM.clone" => ok("OpaqueRef:new"),
            _ => ok(""),
        })
        .await;
        let pool = pool(&server, WireChoice::Auto);
        pool.vm().clone_to(&vm(), "n", Duration::from_secs(5)).await.unwrap();
        pool.vm().add_tags(&vm(), "t").await.unwrap();
        pool.logout(Duration::from_secs(5)).await;
        let expected = [
            seen(Wire::Json, LOGIN),
            seen(Wire::Xml, LOGIN),
            seen(Wire::Xml, "VM.clone"),
            seen(Wire::Xml, "VM.add_tags"),
            seen(Wire::Xml, "session.logout"),
        ];
        assert_eq!(wires(&server), expected);
    }
}

#[tokio::test]
async fn of_an_old_pool_it_is_remembered_what_it_is_and_of_an_unclear_one_it_is_not() {
    for (refusal, asked) in [(no_xml as fn() -> Reply, 1), (|| Reply::Status(500), 2)] {
        let calls = AtomicUsize::new(0);
        let server = old(refusal, move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => failure(&["SESSION_INVALID", SESSION]),
            _ => ok(""),
        })
        .await;
        let pool = pool(&server, WireChoice::Auto);
        pool.vm().start(&vm(), Duration::from_secs(5)).await.unwrap();
        let json = server.seen().iter().filter(|seen| seen.wire == Wire::Json).count();
        assert_eq!((json, server.count("VM.start")), (asked, 2));
    }
}

#[tokio::test]
async fn another_coordinator_is_asked_anew() {
    let new = Server::xapi(Wire::Json, |_| ok("")).await;
    let address = new.address.to_string();
    let member = Server::start(Wire::Xml, move |seen| match seen.wire {
        Wire::Json => no_xml(),
        Wire::Xml => failure(&["HOST_IS_SLAVE", &address]),
    })
    .await;
    let pool = pool(&member, WireChoice::Auto);
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    assert_eq!(wires(&member), [seen(Wire::Json, LOGIN), seen(Wire::Xml, LOGIN)]);
    assert_eq!(wires(&new), [seen(Wire::Json, LOGIN), seen(Wire::Json, "VM.add_tags")]);
}

#[tokio::test]
async fn what_an_old_pool_says_to_the_login_is_the_answer() {
    let server = Server::start(Wire::Xml, |seen| match seen.wire {
        Wire::Json => no_xml(),
        Wire::Xml => failure(&["SESSION_AUTHENTICATION_FAILED", "root", PASSWORD]),
    })
    .await;
    let error = pool(&server, WireChoice::Auto).vm().record(&vm()).await.unwrap_err();
    assert!(error.is_permission(), "{error}");
    assert!(!format!("{error:?}").contains(PASSWORD));
    assert_eq!(server.count(LOGIN), 2);
}

#[tokio::test]
async fn a_choice_is_kept_to() {
    let server = old(no_xml, |_| ok("")).await;
    let error = pool(&server, WireChoice::Only(Wire::Json))
        .vm()
        .record(&vm())
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.to_string().contains("older than 7.3"), "{error}");
    assert_eq!(wires(&server), [seen(Wire::Json, LOGIN)]);

    let server = Server::xapi(Wire::Json, |_| ok("")).await;
    let pool = pool(&server, WireChoice::Only(Wire::Xml));
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    assert_eq!(wires(&server), [seen(Wire::Xml, LOGIN), seen(Wire::Xml, "VM.add_tags")]);
}

#[tokio::test]
async fn a_write_that_is_answered_in_xml_is_not_made_again_but_the_next_call_finds_out() {
    // A pool that is replaced by an older one while a session is held.
    let logins = AtomicUsize::new(0);
    let server = Server::start(Wire::Json, move |seen| match (seen.wire, seen.method.as_str()) {
        (Wire::Json, LOGIN) if logins.fetch_add(1, Ordering::SeqCst) == 0 => ok(SESSION),
        (Wire::Json, _) => no_xml(),
        (Wire::Xml, LOGIN) => ok(SESSION),
        (Wire::Xml, _) => ok(""),
    })
    .await;
    let pool = pool(&server, WireChoice::Auto);
    let error = pool
        .vm()
        .clone_to(&vm(), "n", Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeSent);
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    let expected = [
        seen(Wire::Json, LOGIN),
        seen(Wire::Json, "VM.clone"),
        seen(Wire::Json, LOGIN),
        seen(Wire::Xml, LOGIN),
        seen(Wire::Xml, "VM.add_tags"),
    ];
    assert_eq!(wires(&server), expected);
}

#[tokio::test]
async fn other_troubles_of_the_login_are_no_reason_to_try_xml() {
    for trouble in [
        || Reply::Cut,
        || Reply::Status(503),
        || Reply::Status(404),
        || Reply::Body("<html/>".to_owned()),
        || failure(&["INTERNAL_ERROR", "x"]),
    ] {
        let server = Server::start(Wire::Json, move |_| trouble()).await;
        pool(&server, WireChoice::Auto).vm().record(&vm()).await.unwrap_err();
        assert!(server.seen().iter().all(|seen| seen.wire == Wire::Json));
    }
}
