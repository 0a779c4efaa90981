//! The coordinator's clock: the only one that leases are measured by.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use xenapi::{Host, Ref};

use crate::error::{Error, VmName};
use crate::flight::Flight;

/// How long one sample is carried forward by the monotonic clock.
const CARRIED: Duration = Duration::from_secs(60);

/// A pool's clock: one sample, carried forward.
#[derive(Default)]
pub(crate) struct PoolClock {
    sample: Flight<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    said: Timestamp,
    at: Instant,
}

impl PoolClock {
    /// What the coordinator's clock shows now.
    pub(crate) async fn now(
        &self,
        client: &std::sync::Arc<xenapi::Pool>,
        coordinator: &Ref<Host>,
    ) -> Result<Timestamp, Error> {
        let (client, coordinator) = (std::sync::Arc::clone(client), coordinator.clone());
        let read = move || async move {
            let said = client.host().servertime(&coordinator).await;
            let said =
                said.map_err(|cause| Error::call("reading the coordinator's clock", VmName::unknown(), cause))?;
            Ok(Sample {
                said,
                at: Instant::now(),
            })
        };
        let sample = self.sample.get(CARRIED, read).await?;
        Ok(sample.now())
    }
}

impl Sample {
    fn now(&self) -> Timestamp {
        later(self.said, self.at.elapsed())
    }
}

/// A time so much later; the end of time where there is none.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A time in whole seconds, as marks carry it.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
