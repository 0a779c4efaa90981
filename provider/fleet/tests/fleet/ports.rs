//! Ports that must answer before a create ends.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::{Error, Fleet, Knock, Missed, Progress, ServerSpec, Subject, Tcp};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, running, spec};

/// Doors that open at some try, and whoever knocked at them.
#[derive(Default)]
struct Doors {
    /// By port; the others stay closed.
    opens_at_try: BTreeMap<u16, usize>,
    /// Where somebody answers; everywhere without it.
    only_at: Option<IpAddr>,
    knocks: Mutex<Vec<SocketAddr>>,
    /// What is cancelled at the first knock, which then never ends.
    cancels: Option<CancellationToken>,
}

impl Doors {
    fn that_open(tries: &[(u16, usize)]) -> Self {
        Self {
            opens_at_try: tries.iter().copied().collect(),
            ..Self::default()
        }
    }

    fn knocks(&self) -> Vec<SocketAddr> {
        self.knocks.lock().unwrap().clone()
    }
}

impl Knock for Doors {
    fn knock(&self, at: SocketAddr) -> BoxFuture<'_, bool> {
        let mut knocks = self.knocks.lock().unwrap();
        knocks.push(at);
        let tries = knocks.iter().filter(|earlier| **earlier == at).count();
        if let Some(cancel) = &self.cancels {
            cancel.cancel();
            return Box::pin(std::future::pending());
        }
        let is_here = self.only_at.is_none_or(|only| only == at.ip());
        let opens = self.opens_at_try.get(&at.port()).is_some_and(|first| tries >= *first);
        Box::pin(std::future::ready(is_here && opens))
    }
}

fn waiting(ports: &[u16]) -> ServerSpec {
    let mut waiting = spec("web");
    waiting.wait.ports = ports.to_vec();
    waiting
}

async fn create(fleet: &Arc<Fleet>, spec: ServerSpec) -> Result<fleet::Server, fleet::CreateFailure> {
    fleet.create(spec, CancellationToken::new(), &|_| {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_ends_when_all_ports_have_answered_once() {
    let lab = Lab::small().await;
    let doors = Arc::new(Doors::that_open(&[(22, 3), (80, 1)]));
    let fleet = lab.knocking(Arc::clone(&doors) as Arc<dyn Knock>);
    let server = create(&fleet, waiting(&[22, 80, 22])).await.unwrap();
    let address = server.ip_address.unwrap();
    let at = |port| SocketAddr::new(address, port);
    let mut knocks = doors.knocks();
    knocks.sort();
    assert_eq!(knocks, [at(22), at(22), at(22), at(80)]);
    assert!(server.timings.unwrap().ports > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_stays_closed_is_named_and_the_server_cloned_again() {
    let lab = Lab::small().await;
    let before = lab.world();
    let doors = Arc::new(Doors::that_open(&[(22, 1)]));
    let fleet = lab.knocking(Arc::clone(&doors) as Arc<dyn Knock>);
    let mut wanted = waiting(&[443, 22, 8443]);
    wanted.wait.timeout = Duration::from_millis(600);
    wanted.ip_attempts = 2;
    let failure = create(&fleet, wanted).await.unwrap_err();
    let text = failure.error.to_string();
    let Error::NoAddress { missed, attempts, .. } = failure.error else {
        panic!("{text}");
    };
    assert_eq!((missed, attempts), (Missed::PortClosed(443), 2));
    let last = doors.knocks().last().unwrap().ip();
    assert!(text.contains("port 443 closed; last seen: "), "{text}");
    assert!(text.ends_with(&last.to_string()), "{text}");
    assert_eq!(failure.error.subject(), Subject::ReadyPorts);
    assert_eq!(failure.error.title(), "Port closed");
    assert!(failure.left.is_none());
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_time_is_over_names_port_and_address() {
    let lab = Lab::small().await;
    let doors = Arc::new(Doors::default());
    let fleet = lab.knocking(Arc::clone(&doors) as Arc<dyn Knock>);
    let mut wanted = waiting(&[22]);
    wanted.create_timeout = Duration::from_millis(1500);
    let text = create(&fleet, wanted).await.unwrap_err().error.to_string();
    let at = doors.knocks()[0].ip();
    assert!(text.contains(&format!("port 22 closed; last seen: {at}")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_waits_for_no_port() {
    let lab = Lab::small().await;
    let cancel = CancellationToken::new();
    let doors = Doors {
        cancels: Some(cancel.clone()),
        ..Doors::default()
    };
    let fleet = lab.knocking(Arc::new(doors));
    let failure = fleet.create(waiting(&[22]), cancel, &|_| {}).await.unwrap_err();
    assert!(failure.error.is_cancelled(), "{}", failure.error);
    let left = failure.left.unwrap();
    assert!(left.ip_address.is_some(), "it is shown as far as it came");
    lab.delete(&left).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_is_tried_when_the_guest_takes_it() {
    let lab = Lab::small().await;
    let later: IpAddr = "10.1.9.9".parse().unwrap();
    let doors = Arc::new(Doors {
        only_at: Some(later),
        ..Doors::that_open(&[(22, 1)])
    });
    let fleet = lab.knocking(Arc::clone(&doors) as Arc<dyn Knock>);
    let (send, receive) = tokio::sync::oneshot::channel();
    let send = Mutex::new(Some(send));
    let when_running = |step: &Progress| {
        if let Some(server) = running(step)
            && let Some(send) = send.lock().unwrap().take()
        {
            send.send(server.id.to_string()).unwrap();
        }
    };
    let moves = async {
        let vm = receive.await.unwrap();
        while doors.knocks().is_empty() {
            tokio::task::yield_now().await;
        }
        let networks = [("0/ip".to_owned(), later.to_string())].into();
        lab.control.set_networks(&vm, networks).unwrap();
    };
    let create = fleet.create(waiting(&[22]), CancellationToken::new(), &when_running);
    let (server, ()) = tokio::join!(create, moves);
    assert_eq!(server.unwrap().ip_address, Some(later));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_is_open_while_somebody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    assert!(Tcp.knock(at).await);
    drop(listener);
    assert!(!Tcp.knock(at).await);
}
