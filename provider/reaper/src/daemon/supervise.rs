//! Keeps a loop going: one that breaks off begins anew after a pause, and never takes the process with it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between the end of a loop that broke off and its next beginning.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs the loop of a pool until the end is asked for.
pub(super) async fn supervise<W>(pool: &str, stop: &CancellationToken, mut begin: impl FnMut() -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    loop {
        // A task of its own: a panic in it ends it alone.
        let mut task = JoinSet::new();
        task.spawn(begin());
        let ended = task.join_next().await;
        if stop.is_cancelled() {
            return;
        }
        let error = match ended {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => "it ended by itself".to_owned(),
        };
        tracing::error!(pool, error, pause = ?PAUSE, "the loop over the pool broke off, and begins anew after a pause");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Health;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_shows_in_health_and_begins_anew() {
        let (stop, health) = (CancellationToken::new(), Health::default());
        let mut beginnings = 0_u32;
        let (seen, mut ailing) = tokio::sync::mpsc::unbounded_channel();
        supervise("lab1", &stop, || {
            beginnings += 1;
            let count = beginnings;
            let _ = seen.send(health.ailing().len());
            let pulse = health.watch("pool lab1", Duration::from_secs(60));
            let stop = stop.clone();
            async move {
                assert!(count > 2, "a fault in the loop");
                stop.cancel();
                pulse.retire();
            }
        })
        .await;
        assert_eq!(beginnings, 3);
        let mut counts = Vec::new();
        while let Ok(count) = ailing.try_recv() {
            counts.push(count);
        }
        assert_eq!(counts, [0, 1, 1], "each death shows until the next beginning");
        assert_eq!(health.ailing(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_was_asked_for_is_no_fault() {
        let stop = CancellationToken::new();
        stop.cancel();
        let mut beginnings = 0;
        supervise("lab1", &stop, || {
            beginnings += 1;
            std::future::ready(())
        })
        .await;
        assert_eq!(beginnings, 1);
    }
}
