//! What a picture of a pool is kept by: two subscriptions, as not all of it is needed equally soon.
//!
//! What this process writes changes VMs with their devices and disks, the SRs, and the pool's own map of tickets. A reader of own writes waits for these
//! alone: the records of hosts and networks list all guests and NICs of a pool, and are told some seconds later.

use xenapi::{EventClass, Haste, Interest, Loss, Notice, Subscription, Token, Watcher};

use crate::error::{Error, VmName};

/// What own writes change.
const NEAR: [EventClass; 7] = [
    EventClass::Pool,
    EventClass::Sr,
    EventClass::Vm,
    EventClass::VmGuestMetrics,
    EventClass::Vbd,
    EventClass::Vif,
    EventClass::Vdi,
];
/// The rest of the fabric.
const FAR: [EventClass; 5] = [
    EventClass::Host,
    EventClass::HostMetrics,
    EventClass::Pbd,
    EventClass::Network,
    EventClass::Pif,
];

/// Tells of all that changes in a pool.
pub(super) struct Following {
    /// Tells also how far it goes.
    near: Subscription,
    far: Subscription,
}

impl Following {
    /// Begins to listen.
    pub(super) async fn begin(watcher: &Watcher) -> Result<Self, Error> {
        Ok(Self {
            near: listening(watcher, Interest::classes(&NEAR).with_tokens().on_call()).await?,
            far: listening(watcher, Interest::classes(&FAR).patient()).await?,
        })
    }

    /// From where on changes are told; `None` if that is not known.
    pub(super) fn since(&self) -> [Option<&Token>; 2] {
        [self.near.since(), self.far.since()]
    }

    /// Waits for the next notice.
    pub(super) async fn next(&mut self) -> Notice {
        tokio::select! {
            notice = self.near.next() => notice,
            notice = self.far.next() => notice,
        }
    }

    /// The way to hurry what own writes change.
    pub(super) fn haste(&self) -> Haste {
        self.near.haste()
    }
}

/// Waits until events are told at all: what was read before that would have to be read again.
async fn listening(watcher: &Watcher, interest: Interest) -> Result<Subscription, Error> {
    let mut events = watcher.subscribe(interest);
    if events.since().is_some() {
        return Ok(events);
    }
    match events.next().await {
        Notice::Lost(Loss::Unreachable(cause)) => Err(Error::call("listening to the pool", VmName::unknown(), cause)),
        Notice::Lost(Loss::Closed) => Err(Error::Cancelled { left: None }),
        Notice::Change(_) | Notice::Reached(_) | Notice::Lost(Loss::Fresh | Loss::Overflow | Loss::Interrupted) => {
            Ok(events)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pool::CLASSES;

    #[test]
    fn the_whole_fabric_is_followed() {
        let followed: BTreeSet<EventClass> = NEAR.into_iter().chain(FAR).collect();
        assert_eq!(followed.len(), NEAR.len() + FAR.len());
        assert!(followed.is_superset(&BTreeSet::from(CLASSES)));
    }
}
