//! What the system, or a person at the keyboard, asks of the process.

use std::io;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::signal::unix::{SignalKind, signal};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To end; the exit code of a process that does so at once.
    End(u8),
    /// To read the configuration again.
    Reload,
}

/// What is asked for, as it comes.
pub type Signals = BoxStream<'static, Signal>;

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// To read the configuration again.
    Reloads,
    /// What it means to every process: its terminal is gone.
    Ends,
}

/// Ends by SIGINT and SIGTERM, as shells count them.
const INTERRUPTED: Signal = Signal::End(130);
const TERMINATED: Signal = Signal::End(143);

/// Listens to the signals of this process.
///
/// # Errors
/// The system refuses.
pub fn of_this_process(hangup: Hangup) -> io::Result<Signals> {
    let interrupts = heard(SignalKind::interrupt(), INTERRUPTED)?;
    let terminations = heard(SignalKind::terminate(), TERMINATED)?;
    let mut all = vec![interrupts, terminations];
    if hangup == Hangup::Reloads {
        all.push(heard(SignalKind::hangup(), Signal::Reload)?);
    }
    Ok(stream::select_all(all).boxed())
}

fn heard(kind: SignalKind, meaning: Signal) -> io::Result<Signals> {
    let signals = signal(kind)?;
    let all = stream::unfold(signals, move |mut signals| async move {
        signals.recv().await.map(|()| (meaning, signals))
    });
    Ok(all.boxed())
}
