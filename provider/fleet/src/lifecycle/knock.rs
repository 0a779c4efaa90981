//! Whether the ports of a new server answer, as seen from the machine that this runs on.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// How long one try may take: a firewall may swallow it.
const TRY: Duration = Duration::from_secs(3);
/// The pause after the first try, and the longest: each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Tries whether somebody answers at a port.
pub trait Knock: Send + Sync {
    /// Tries once.
    fn knock(&self, at: SocketAddr) -> BoxFuture<'_, bool>;
}

/// Tries by making a TCP connection, and closes it at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Knock for Tcp {
    fn knock(&self, at: SocketAddr) -> BoxFuture<'_, bool> {
        Box::pin(async move { matches!(timeout(TRY, TcpStream::connect(at)).await, Ok(Ok(_))) })
    }
}

/// The ports that have to answer, and where they have not yet.
#[derive(Debug)]
pub(super) struct Ports {
    all: BTreeSet<u16>,
    closed: Mutex<BTreeSet<SocketAddr>>,
}

impl Ports {
    pub(super) fn new(ports: &[u16]) -> Self {
        Self {
            all: ports.iter().copied().collect(),
            closed: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Waits until each of them has answered at an address, from none on.
    pub(super) async fn open(&self, knock: &dyn Knock, address: IpAddr) {
        let doors: BTreeSet<SocketAddr> = self.all.iter().map(|port| SocketAddr::new(address, *port)).collect();
        self.closed().clone_from(&doors);
        let each = doors.into_iter().map(|at| async move {
            opened(knock, at).await;
            self.closed().remove(&at);
        });
        join_all(each).await;
    }

    /// The lowest that has not answered, and where it was tried last; none before the first try.
    pub(super) fn closed_at(&self) -> Option<SocketAddr> {
        self.closed().first().copied()
    }

    fn closed(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn opened(knock: &dyn Knock, at: SocketAddr) {
    let mut pause = FIRST_PAUSE;
    while !knock.knock(at).await {
        sleep_until(Instant::now() + pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
