//! Which addresses count, and what is said when none does.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use fleet::{Error, Missed, Progress, ServerSpec, Subject};

use crate::lab::{Lab, spec, spec_of};

fn hurried(template: &str) -> ServerSpec {
    let mut hurried = spec_of("web", template);
    hurried.wait.timeout = Duration::from_millis(400);
    hurried
}

async fn missed(wanted: ServerSpec) -> (Error, Missed, String, u32) {
    let lab = Lab::small().await;
    let before = lab.world();
    let failure = lab.create(wanted).await.unwrap_err();
    assert!(failure.left.is_none());
    assert_eq!(lab.world(), before, "every trace is gone");
    match failure.error.clone() {
        Error::NoAddress {
            missed, seen, attempts, ..
        } => (failure.error, missed, seen, attempts),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_templates_stale_address_and_link_local_ones_do_not_count() {
    let lab = Lab::small().await;
    let server = lab.create(spec_of("web", "tmpl-centos7")).await.unwrap();
    let address = server.ip_address.unwrap().to_string();
    assert!(address.starts_with("10.1."), "{address}");
    assert!(server.ip_addresses.iter().all(|address| address.is_ipv4()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_link_local_is_named() {
    let (error, what, seen, attempts) = missed(hurried("tmpl-link-local")).await;
    assert_eq!((what, attempts), (Missed::OnlyLinkLocal, 1));
    assert!(seen.contains("169.254."), "{seen}");
    assert_eq!(error.subject(), Subject::WaitForIp);
    assert!(error.to_string().contains("only link-local"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_agent_is_named() {
    let (_, what, seen, _) = missed(hurried("tmpl-no-agent")).await;
    assert_eq!((what, seen.as_str()), (Missed::NoAgent, "no address was seen"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_address_is_named() {
    let (_, what, ..) = missed(hurried("tmpl-never")).await;
    assert_eq!(what, Missed::NoAddress);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_outside_the_ranges_is_named() {
    let mut wanted = hurried("tmpl-debian12");
    wanted.wait.cidrs = vec!["192.168.0.0/16".parse().unwrap()];
    let (error, what, seen, _) = missed(wanted).await;
    assert_eq!(what, Missed::OutsideCidrs);
    assert!(seen.contains("10.1."), "{seen}");
    assert_eq!(error.subject(), Subject::IpCidrs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_without_an_address_is_made_again() {
    let lab = Lab::small().await;
    let before = lab.world();
    let mut wanted = hurried("tmpl-never");
    wanted.ip_attempts = 2;
    let undone = Mutex::new(BTreeSet::new());
    let progress = |step: &Progress| {
        if let Progress::Undone { server, .. } = step {
            assert!(server.managed && server.created_at.is_some());
            undone.lock().unwrap().insert(server.id);
        }
    };
    let failure = lab.fleet.create(wanted, Default::default(), &progress).await;
    let failure = failure.unwrap_err();
    assert_eq!(undone.into_inner().unwrap().len(), 2, "each attempt is told of");
    assert!(
        matches!(failure.error, Error::NoAddress { attempts: 2, .. }),
        "{}",
        failure.error
    );
    let clones = lab
        .requests()
        .iter()
        .filter(|request| request.method == "VM.clone")
        .count();
    assert_eq!(clones, 2);
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_wait_there_is_no_address_yet() {
    let lab = Lab::small().await;
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Template("tmpl-no-agent".into());
    wanted.wait.for_ip = false;
    let server = lab.create(wanted).await.unwrap();
    assert_eq!(server.ip_address, None);
    assert!(server.lease.expires_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_server_is_kept_on_demand_with_its_full_ttl() {
    let lab = Lab::small().await;
    let mut wanted = hurried("tmpl-no-agent");
    wanted.keep_on_failure = true;
    wanted.ip_attempts = 2;
    let failure = lab.create(wanted).await.unwrap_err();
    assert!(
        matches!(&failure.error, Error::Kept { error, .. } if matches!(**error, Error::NoAddress { attempts: 2, .. }))
    );
    let left = failure.left.unwrap();
    let read = lab.read(&left.key()).await.unwrap().unwrap();
    let lease = read.lease;
    assert_eq!(
        lease.expires_at.unwrap().as_second() - lease.started_at.unwrap().as_second(),
        3600
    );
    assert_eq!(lab.traces().await.len(), 1, "only the last attempt is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_running_shows_no_address() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.hard_shutdown", serde_json::json!([vm])).await;
    let read = lab.second().read(&server.key()).await.unwrap().unwrap();
    assert_eq!(read.power_state, fleet::PowerState::Halted);
    assert_eq!(
        (read.ip_address, read.ip_addresses.len(), read.os_version),
        (None, 0, None)
    );
    assert_eq!(read.resident_host, None);
}
