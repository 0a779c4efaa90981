//! How a server comes to its end, and the signals it listens to.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::connection::Connections;

/// How often it is looked whether the host is still there.
const PARENT_POLL: Duration = Duration::from_secs(5);

/// Why a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The host asked for it; no call is in flight that anybody waits for.
    Shutdown,
    /// The process was told to go by a signal.
    Terminated,
    /// The host is gone without a word.
    Orphaned,
}

/// The signals of this process.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over: from here on an interrupt does not end the process.
    ///
    /// Ctrl-C reaches the whole process group, and the host then asks by `StopProvider`.
    pub(crate) fn install() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the signal to end.
    pub(crate) async fn terminated(&mut self) -> Ending {
        self.terminate.recv().await;
        Ending::Terminated
    }

    /// Waits for Ctrl-C or the signal to end.
    pub(crate) async fn interrupted(&mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Terminated,
            _ = self.terminate.recv() => Ending::Terminated,
        }
    }
}

/// Waits until the process has another parent than at first, and nobody is connected.
pub(crate) async fn orphaned(connections: Connections, parent: impl Fn() -> u32) -> Ending {
    let first = parent();
    let mut ticks = interval(PARENT_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if parent() != first && connections.count() == 0 {
            return Ending::Orphaned;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::{net::UnixStream, task::JoinSet, time::timeout};
    use tokio_stream::StreamExt;

    use super::*;
    use crate::{Environment, connection::incoming, socket::Socket};

    #[tokio::test(start_paused = true)]
    async fn a_new_parent_alone_does_not_end_a_connected_server() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            socket_directory: directory.path().to_owned(),
            ..Environment::default()
        };
        let socket = Socket::bind(&environment).unwrap();
        let (connections, mut tasks) = (Connections::new(), JoinSet::new());
        let mut accepted = incoming(socket.listener, None, connections.clone(), &mut tasks);
        let _client = UnixStream::connect(socket.file.path()).await.unwrap();
        let connection = accepted.next().await.unwrap().unwrap();

        let parent = Arc::new(AtomicU32::new(7));
        let seen = Arc::clone(&parent);
        let mut watch = Box::pin(orphaned(connections.clone(), move || seen.load(Ordering::Relaxed)));
        assert!(timeout(PARENT_POLL * 3, &mut watch).await.is_err());
        parent.store(1, Ordering::Relaxed);
        assert!(timeout(PARENT_POLL * 3, &mut watch).await.is_err());
        drop(connection);
        assert_eq!(connections.count(), 0);
        assert_eq!(timeout(PARENT_POLL * 3, &mut watch).await, Ok(Ending::Orphaned));
    }
}
