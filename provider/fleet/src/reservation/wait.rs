//! Standing in line: woken by what changes in the pool.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xenapi::{EventClass, Interest, Loss, Notice, PoolObject, Ref, Subscription};

/// Between two looks of one who waits: changes come in bursts, and a look lists all VMs.
const PACE: Duration = Duration::from_secs(1);
/// How often somebody who waits looks even so: a ticket that ends by its time is no event.
const SAFETY: Duration = Duration::from_secs(30);

/// Somebody in line.
pub(super) struct Waiting {
    events: Subscription,
    until: Instant,
    cancel: CancellationToken,
    looked: Instant,
}

/// Why it goes on.
pub(super) enum Woken {
    /// Something has changed, or may have.
    Changed,
    /// It has been long enough, or the caller does not want it any more.
    LongEnough,
}

impl Waiting {
    /// Listens from now on.
    pub(super) fn begin(
        client: &Arc<xenapi::Pool>,
        pool: &Ref<PoolObject>,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Self {
        let interest = Interest::object(pool).and_class(EventClass::Vm);
        let now = Instant::now();
        Self {
            events: client.watcher().subscribe(interest),
            until: now.checked_add(patience).unwrap_or(now),
            cancel: cancel.clone(),
            looked: now,
        }
    }

    /// What has changed until now is about to be read.
    pub(super) fn forget(&mut self) {
        while let Some(notice) = self.events.try_next() {
            if matches!(notice, Notice::Lost(Loss::Closed)) {
                break;
            }
        }
        self.looked = Instant::now();
    }

    /// Waits for a change, and then until the last look is some time ago.
    pub(super) async fn wait(&mut self) -> Woken {
        let (next, safety) = (self.looked + PACE, self.looked + SAFETY);
        let changed = async {
            tokio::select! {
                notice = self.events.next() => {
                    if matches!(notice, Notice::Lost(Loss::Closed)) {
                        return Woken::LongEnough;
                    }
                    tokio::time::sleep_until(next).await;
                }
                () = tokio::time::sleep_until(safety) => {}
            }
            Woken::Changed
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Woken::LongEnough,
            () = tokio::time::sleep_until(self.until) => Woken::LongEnough,
            woken = changed => woken,
        }
    }
}
