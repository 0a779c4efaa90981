//! Login, its failures, other members, and what is repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::said::Said;
use super::server::{PASSWORD, Reply, SESSION, Server, failure, ok};
use crate::{Endpoint, ErrorKind, Outcome, Pool, Ref, Uuid, Vm, Wire};

const LOGIN: &str = "session.login_with_password";
const OTHER: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

fn vm() -> Ref<Vm> {
    Ref::new("OpaqueRef:vm")
}

async fn a_pool_is_contacted_when_first_needed_and_once(wire: Wire) {
    let server = Server::xapi(wire, |_| ok("")).await;
    let pool = server.pool();
    assert!(server.seen().is_empty());
    let (a, b) = (vm(), vm());
    let (first, second) = tokio::join!(pool.vm().add_tags(&a, "a"), pool.vm().add_tags(&b, "b"));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(server.count(LOGIN), 1);
    assert_eq!(server.seen()[0].strings(), ["root", PASSWORD, "2.21", "dynvm-test/1"]);
}

async fn a_wrong_password_is_tried_once_for_all(wire: Wire) {
    let server = Server::start(wire, |_| {
        failure(&["SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"])
    })
    .await;
    let pool = server.pool();
    let (a, b) = (vm(), vm());
    let (first, second) = tokio::join!(pool.vm().record(&a), pool.vm().record(&b));
    let third = pool.vm().record(&vm()).await;
    for result in [first, second, third] {
        let error = result.unwrap_err();
        assert!(error.is_permission(), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
    assert_eq!(server.count(LOGIN), 1);
}

async fn no_error_shows_password_or_session(wire: Wire) {
    let server = Server::start(wire, |seen| match seen.method.as_str() {
        LOGIN => failure(&["INTERNAL_ERROR", &format!("Failure({PASSWORD})")]),
        _ => ok(""),
    })
    .await;
    let error = server.pool().vm().record(&vm()).await.unwrap_err();
    let shown = format!("{error} {error:?} {:?}", server.config());
    assert!(!shown.contains(PASSWORD), "{shown}");
    let server = Server::xapi(wire, |_| {
        failure(&["INTERNAL_ERROR", &format!("bad session {SESSION}")])
    })
    .await;
    let error = server
        .pool()
        .vm()
        .start(&vm(), Duration::from_secs(5))
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(SESSION) && shown.contains("***"), "{shown}");
}

async fn an_ended_session_is_renewed_once_also_for_writes(wire: Wire) {
    let calls = AtomicUsize::new(0);
    let server = Server::xapi(wire, move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => failure(&["SESSION_INVALID", SESSION]),
        _ => ok("OpaqueRef:new"),
    })
    .await;
    let pool = server.pool();
    let made = pool.vm().clone_to(&vm(), "n", Duration::from_secs(5)).await.unwrap();
    assert_eq!(made.as_str(), "OpaqueRef:new");
    assert_eq!(server.methods(), [LOGIN, "VM.clone", LOGIN, "VM.clone"]);
}

async fn a_session_that_always_ends_is_given_up(wire: Wire) {
    let server = Server::xapi(wire, |_| failure(&["SESSION_INVALID", SESSION])).await;
    let error = server.pool().vm().record(&vm()).await.unwrap_err();
    assert!(error.is_failure(crate::Failure::is_session_invalid));
    assert!(!format!("{error} {error:?}").contains(SESSION));
    assert_eq!(server.count(LOGIN), 2);
}

async fn a_member_sends_the_login_to_the_coordinator(wire: Wire) {
    let coordinator = Server::xapi(wire, |_| ok("")).await;
    let address = coordinator.address.to_string();
    let member = Server::start(wire, move |_| failure(&["HOST_IS_SLAVE", &address])).await;
    let pool = member.pool();
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    assert_eq!(pool.session_endpoint(), Some(coordinator.endpoint()));
    assert_eq!((member.count(LOGIN), coordinator.count(LOGIN)), (1, 1));
}

async fn a_coordinator_that_stepped_down_is_left(wire: Wire) {
    let calls = AtomicUsize::new(0);
    let new = Server::xapi(wire, |_| ok("")).await;
    let address = new.address.to_string();
    let old = Server::xapi(wire, move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => ok(""),
        _ => failure(&["HOST_IS_SLAVE", &address]),
    })
    .await;
    let pool = old.pool();
    pool.vm().add_tags(&vm(), "1").await.unwrap();
    pool.vm().start(&vm(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(new.methods(), [LOGIN, "VM.start"]);
}

async fn members_that_point_at_each_other_end_in_an_error(wire: Wire) {
    let own = Arc::new(std::sync::Mutex::new(String::new()));
    let address = Arc::clone(&own);
    let server = Server::start(wire, move |_| failure(&["HOST_IS_SLAVE", &address.lock().unwrap()])).await;
    *own.lock().unwrap() = server.address.to_string();
    let error = server.pool().vm().record(&vm()).await.unwrap_err();
    assert!(error.is_failure(crate::Failure::is_other_master), "{error}");
    assert_eq!(server.count(LOGIN), 1);
}

/// An address where nobody listens.
async fn dead() -> Endpoint {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

async fn addresses_are_tried_in_turn(wire: Wire) {
    let server = Server::xapi(wire, |_| ok("")).await;
    let mut config = server.config();
    config.urls.insert(0, dead().await);
    let pool = Pool::new(config).unwrap();
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    assert_eq!(pool.session_endpoint(), Some(server.endpoint()));
}

async fn a_pool_that_never_answered_is_given_up_at_once(wire: Wire) {
    let server = Server::xapi(wire, |_| ok("")).await;
    let mut config = server.config();
    config.urls = vec![dead().await];
    let began = std::time::Instant::now();
    let error = Pool::new(config).unwrap().vm().record(&vm()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreachable { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.is_unreachable() && error.is_retryable());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(error.advice().contains("check the address"), "{error}");
}

async fn reads_are_repeated_on_a_broken_connection_and_creates_are_not(wire: Wire) {
    let calls = AtomicUsize::new(0);
    let server = Server::xapi(wire, move |seen| {
        match (seen.method.as_str(), calls.fetch_add(1, Ordering::SeqCst)) {
            ("VM.clone", _) => Reply::Cut,
            (_, 0) => Reply::Cut,
            (_, _) => ok("Halted"),
        }
    })
    .await;
    let pool = server.pool();
    assert_eq!(pool.vm().get_power_state(&vm()).await.unwrap().as_str(), "Halted");
    let error = pool
        .vm()
        .clone_to(&vm(), "n", Duration::from_secs(5))
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::MaybeSent);
    assert!(matches!(error.kind(), ErrorKind::Broken), "{error}");
    assert!(error.advice().contains("it is open whether"), "{error}");
    assert_eq!(server.count("VM.clone"), 1);
    let error = pool.vm().add_to_other_config(&vm(), "k", "v").await;
    assert!(error.is_ok());
}

async fn a_coordinator_to_which_no_connection_holds_is_left(wire: Wire) {
    let calls = AtomicUsize::new(0);
    let old = Server::start(wire, move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => ok(SESSION),
        1 => ok("Halted"),
        _ => Reply::Cut,
    })
    .await;
    let new = Server::xapi(wire, |_| ok("Running")).await;
    let mut config = old.config();
    config.urls.push(new.endpoint());
    let pool = Pool::new(config).unwrap();
    assert_eq!(pool.vm().get_power_state(&vm()).await.unwrap().as_str(), "Halted");
    assert_eq!(pool.vm().get_power_state(&vm()).await.unwrap().as_str(), "Running");
    assert_eq!(pool.session_endpoint(), Some(new.endpoint()));
}

async fn a_late_answer_is_an_open_outcome(wire: Wire) {
    let server = Server::xapi(wire, |_| Reply::After(Arc::default(), Box::new(Reply::Cut))).await;
    let error = server
        .pool()
        .vm()
        .start(&vm(), Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeSent);
}

async fn a_dropped_login_serves_the_next_caller(wire: Wire) {
    let signal = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&signal);
    let server = Server::start(wire, move |seen| match seen.method.as_str() {
        LOGIN => Reply::After(Arc::clone(&gate), Box::new(ok(SESSION))),
        _ => ok(""),
    })
    .await;
    let pool = server.pool();
    {
        let (target, calls) = (vm(), pool.vm());
        let first = calls.add_tags(&target, "t");
        tokio::pin!(first);
        tokio::select! {
            _ = &mut first => panic!("answered before the login"),
            () = server.wait_for(LOGIN, 1) => {}
        }
    }
    signal.notify_one();
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    assert_eq!(server.methods(), [LOGIN, "VM.add_tags"]);
}

async fn another_pool_behind_the_address_is_refused(wire: Wire) {
    let server = Server::xapi(wire, |seen| match seen.method.as_str() {
        "pool.get_all_records" => {
            let record = [("uuid", OTHER.into()), ("gui_config", Said::empty_map())];
            ok([("OpaqueRef:p", record.into())])
        }
        _ => ok(""),
    })
    .await;
    let pool = server.pool();
    pool.pin_identity(Uuid::from_bytes([1; 16]));
    let error = pool.vm().record(&vm()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::OtherPool { found, .. } if found == OTHER),
        "{error}"
    );
    assert_eq!(server.methods(), [LOGIN, "pool.get_all_records", "session.logout"]);
    let pool = server.pool();
    pool.pin_identity(OTHER.parse().unwrap());
    pool.vm().add_tags(&vm(), "t").await.unwrap();
}

async fn logout_ends_the_session_and_the_pool(wire: Wire) {
    let server = Server::xapi(wire, |_| ok("")).await;
    let pool = server.pool();
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    pool.logout(Duration::from_secs(5)).await;
    assert_eq!(server.methods(), [LOGIN, "VM.add_tags", "session.logout"]);
    let error = pool.vm().add_tags(&vm(), "t").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed));
    let unused = server.pool();
    unused.logout(Duration::from_secs(5)).await;
    assert_eq!(server.count("session.logout"), 1);
}

async fn logout_is_bounded(wire: Wire) {
    let server = Server::start(wire, |seen| match seen.method.as_str() {
        LOGIN => ok(SESSION),
        "session.logout" => Reply::After(Arc::default(), Box::new(Reply::Cut)),
        _ => ok(""),
    })
    .await;
    let pool = server.pool();
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    let began = std::time::Instant::now();
    pool.logout(Duration::from_millis(200)).await;
    assert!(began.elapsed() < Duration::from_secs(3));
}

async fn a_busy_pool_is_given_time(wire: Wire) {
    let calls = AtomicUsize::new(0);
    let server = Server::xapi(wire, move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => failure(&["TOO_MANY_PENDING_TASKS"]),
        _ => ok("OpaqueRef:new"),
    })
    .await;
    let mut config = server.config();
    config.limits.throttle = Duration::from_millis(50);
    let pool = Pool::new(config).unwrap();
    pool.vm().clone_to(&vm(), "n", Duration::from_secs(20)).await.unwrap();
    assert_eq!(server.count("VM.clone"), 3);
    // No time left to wait: the answer of the pool is the error.
    let hopeless = Server::xapi(wire, |_| failure(&["TOO_MANY_PENDING_TASKS"])).await;
    let error = hopeless
        .pool()
        .vm()
        .clone_to(&vm(), "n", Duration::from_secs(2))
        .await
        .unwrap_err();
    assert!(error.is_failure(crate::Failure::is_throttled), "{error}");
    assert_eq!(hopeless.count("VM.clone"), 1);
}

async fn a_restarting_pool_is_waited_for_once_it_was_there(wire: Wire) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = Server::start(wire, move |seen| {
        match (seen.method.as_str(), count.fetch_add(1, Ordering::SeqCst)) {
            // Login and first call; then the restart, seen by one call and by one login.
            (LOGIN, 3) => failure(&["HOST_STILL_BOOTING"]),
            (LOGIN, _) => ok(SESSION),
            (_, 2) => failure(&["SESSION_INVALID", SESSION]),
            (_, _) => ok(""),
        }
    })
    .await;
    let pool = server.pool();
    pool.vm().add_tags(&vm(), "1").await.unwrap();
    pool.vm().start(&vm(), Duration::from_secs(30)).await.unwrap();
    assert_eq!(
        server.methods(),
        [LOGIN, "VM.add_tags", "VM.start", LOGIN, LOGIN, "VM.start"]
    );
}

async fn a_booting_host_that_was_never_there_is_an_error_at_once(wire: Wire) {
    let server = Server::start(wire, |_| failure(&["HOST_STILL_BOOTING"])).await;
    let error = server.pool().vm().record(&vm()).await.unwrap_err();
    assert!(error.is_unreachable() && error.is_retryable(), "{error}");
    assert_eq!(server.count(LOGIN), 1);
}

/// Collects everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn no_log_shows_password_or_session(wire: Wire) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::xapi(wire, |seen| match seen.method.as_str() {
        "VM.start" => failure(&["SESSION_INVALID", SESSION]),
        _ => ok(""),
    })
    .await;
    let pool = server.pool();
    pool.vm().add_tags(&vm(), "t").await.unwrap();
    let _ = pool.vm().start(&vm(), Duration::from_secs(5)).await;
    pool.logout(Duration::from_secs(5)).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("request ended") && text.contains("VM.add_tags") && text.contains("SESSION_INVALID"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD) && !text.contains(SESSION), "{text}");
}

over_both_wires!(
    a_pool_is_contacted_when_first_needed_and_once,
    a_wrong_password_is_tried_once_for_all,
    no_error_shows_password_or_session,
    an_ended_session_is_renewed_once_also_for_writes,
    a_session_that_always_ends_is_given_up,
    a_member_sends_the_login_to_the_coordinator,
    a_coordinator_that_stepped_down_is_left,
    members_that_point_at_each_other_end_in_an_error,
    addresses_are_tried_in_turn,
    a_pool_that_never_answered_is_given_up_at_once,
    reads_are_repeated_on_a_broken_connection_and_creates_are_not,
    a_coordinator_to_which_no_connection_holds_is_left,
    a_late_answer_is_an_open_outcome,
    a_dropped_login_serves_the_next_caller,
    another_pool_behind_the_address_is_refused,
    logout_ends_the_session_and_the_pool,
    logout_is_bounded,
    a_busy_pool_is_given_time,
    a_restarting_pool_is_waited_for_once_it_was_there,
    a_booting_host_that_was_never_there_is_an_error_at_once,
    no_log_shows_password_or_session,
);
