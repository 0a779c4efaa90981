//! The last phase: the lease takes the place of the creation lease. Its last read is what the caller gets.

use std::time::Duration;

use super::marks::{Change, Subject};
use super::plan::Plan;
use super::{Bounds, Made, Stage};
use crate::error::{Error, VmName};
use crate::lease::{Expires, LeaseRecord, Renewal};
use crate::pool::{later, whole_seconds};

/// How much time the creation lease must have left to be removed beside the read.
pub(super) const MARGIN: Duration = Duration::from_secs(60);

/// Writes the lease; it begins now, by the coordinator's clock.
pub(super) async fn finish(plan: &Plan, bounds: &Bounds, made: &mut Made) -> Result<(), Error> {
    let Some(loaded) = &made.loaded else {
        return Err(Error::Gone {
            pool: plan.pool().to_owned(),
            vm: VmName::unknown(),
        });
    };
    let name = loaded.name();
    let steps = async {
        let start = whole_seconds(plan.member.now().await?);
        let own = Expires::minted(whole_seconds(later(start, plan.spec.ttl)), start);
        made.lease = Some(own);
        let subject = Subject {
            client: plan.member.client()?,
            pool: plan.pool(),
            vm: &made.reference,
            name: name.clone(),
            record: LeaseRecord {
                start,
                ttl_seconds: plan.spec.ttl.as_secs(),
                by: plan.origin.by(),
            },
        };
        // While the creation lease has time left nobody may claim the VM, and the lease is on both sides already.
        let is_safe = made.birth.deadline > later(start, MARGIN);
        let renewal = Change::Renew(Renewal::new(own, &loaded.marks()));
        subject
            .change(renewal, loaded.vm.clone(), is_safe.then_some(made.birth.deadline))
            .await
    };
    let record = bounds.hold(steps, || plan.late(Stage::Finish, name.clone())).await?;
    if let Some(loaded) = &mut made.loaded {
        loaded.vm = record;
    }
    Ok(())
}
