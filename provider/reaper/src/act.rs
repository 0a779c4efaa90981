//! Deleting one thing: claim, look again, remove step by step, looking again before each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fleet::lease::{Claim, ClaimOutcome, ClaimStep, Mark, Seen};
use fleet::{BirthName, Error, Grounds, KeptDisk, Recheck, VmName};
use futures::future::{BoxFuture, join};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use xenapi::{Pool, Ref, Vm};

use crate::clock::PoolClock;
use crate::decide::due;
use crate::marks;
use crate::policy::Policy;
use crate::sight::Sight;
use crate::survey::{Stray, keeps};

/// How long one deletion may take.
const LIMIT: Duration = Duration::from_secs(1200);

/// How a deletion ended.
#[derive(Debug, Clone)]
pub enum Deed {
    /// It is gone, and this reaper did it.
    Deleted {
        /// Disks that were not the server's own.
        kept: Vec<KeptDisk>,
        /// The sum of its own disks.
        disk_bytes: Option<u64>,
        /// How long it took.
        took: Duration,
    },
    /// It was gone already: another reaper or its owner was faster.
    Gone,
    /// It is not to be deleted any more.
    GivenUp {
        /// What has changed.
        why: String,
    },
    /// A step failed.
    Failed {
        /// Which, and why.
        why: String,
    },
}

/// What a deletion needs.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// The pool.
    pub client: &'a Pool,
    /// Its clock.
    pub clock: &'a PoolClock,
    /// The rules.
    pub policy: &'a Policy,
    /// Ends a deletion after the step in hand.
    pub stop: &'a CancellationToken,
    /// A rail has come up: what is not destroyed in part already is let go.
    pub is_held: &'a AtomicBool,
}

/// Looks at a VM on which a claim is held.
struct AfterClaim<'a> {
    hands: Hands<'a>,
    sight: &'a Sight,
    claim: Ulid,
    /// A destructive step was allowed: the claim is final.
    has_begun: AtomicBool,
}

impl Hands<'_> {
    /// Deletes a VM that is due.
    pub async fn reap(&self, sight: &Sight, id: Ulid) -> Deed {
        let begun = Instant::now();
        let claim = match self.claim(sight, id).await {
            Ok(Ok(claim)) => claim,
            Ok(Err(why)) => return Deed::GivenUp { why },
            Err(error) if error.is_gone_object(&sight.vm) => return Deed::Gone,
            Err(error) => return failed(&error),
        };
        let recheck = AfterClaim {
            hands: *self,
            sight,
            claim: id,
            has_begun: AtomicBool::new(false),
        };
        let never = CancellationToken::new();
        let removed = self.grounds(&never).remove(&sight.vm, &recheck).await;
        let error = match removed {
            Ok(removed) if removed.disk_bytes.is_none() => return Deed::Gone,
            Ok(removed) => {
                return Deed::Deleted {
                    kept: removed.kept_disks,
                    disk_bytes: removed.disk_bytes,
                    took: begun.elapsed(),
                };
            }
            Err(error) => error,
        };
        if !recheck.has_begun.load(Ordering::Acquire) {
            self.give_up(&sight.vm, &claim).await;
        }
        match error {
            Error::NoLongerDue { why, .. } => Deed::GivenUp { why },
            Error::Cancelled { .. } => Deed::GivenUp {
                why: "the reaper is ending".to_owned(),
            },
            error => failed(&error),
        }
    }

    /// Deletes a disk whose VM is gone.
    pub async fn reap_disk(&self, stray: &Stray) -> Deed {
        let begun = Instant::now();
        if self.stop.is_cancelled() {
            let why = "the reaper is ending".to_owned();
            return Deed::GivenUp { why };
        }
        match self.client.vm().record_by_uuid(stray.vm).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                let why = "its VM is there".to_owned();
                return Deed::GivenUp { why };
            }
            Err(error) => return failed(&error),
        }
        let never = CancellationToken::new();
        let removed = self
            .grounds(&never)
            .remove_disk(&stray.vdi, &stray.record, &keeps)
            .await;
        match removed {
            Ok(None) => Deed::Deleted {
                kept: Vec::new(),
                disk_bytes: u64::try_from(stray.record.virtual_size).ok(),
                took: begun.elapsed(),
            },
            Ok(Some(kept)) => Deed::GivenUp { why: kept.reason },
            Err(error) => failed(&error),
        }
    }

    /// A reaper that ends does so between two steps: the removal itself is never cut short.
    fn grounds<'b>(&'b self, never: &'b CancellationToken) -> Grounds<'b> {
        Grounds {
            client: self.client,
            limit: LIMIT,
            cancel: never,
        }
    }

    /// Claims a VM; `Err` in `Ok` says why it is not to be deleted after all.
    async fn claim(&self, sight: &Sight, id: Ulid) -> Result<Result<Mark, String>, xenapi::Error> {
        let mark = Mark::Reaping(id);
        let mut claim = Claim::new(id, &sight.name);
        let claimed = self.drive(sight, &mut claim).await;
        if claimed.is_err() {
            self.give_up(&sight.vm, &mark).await;
        }
        claimed.map(|claimed| claimed.map(|()| mark))
    }

    async fn drive(&self, sight: &Sight, claim: &mut Claim) -> Result<Result<(), String>, xenapi::Error> {
        let mark = Mark::Reaping(claim.id());
        let (mut seen, mut why) = (sight.clone(), None);
        loop {
            let step = claim.next(&Seen {
                marks: &seen.marks,
                name: &seen.name,
                is_due: why.is_none(),
            });
            match step {
                ClaimStep::Add(_, name) => self.put(&sight.vm, &mark, name).await?,
                ClaimStep::Read => (seen, why) = self.read(sight).await?,
                ClaimStep::Remove(_) => self.give_up(&sight.vm, &mark).await,
                ClaimStep::Done(ClaimOutcome::Held) => return Ok(Ok(())),
                ClaimStep::Done(ClaimOutcome::GivenUp) => {
                    return Ok(Err(why.unwrap_or_else(|| "the claim was overwritten".to_owned())));
                }
            }
        }
    }

    /// Puts the claim on both sides, and the name that goes with it. All calls have ended when this has: none may arrive after
    /// the claim was taken back.
    async fn put(&self, vm: &Ref<Vm>, mark: &Mark, name: Option<BirthName>) -> Result<(), xenapi::Error> {
        let renamed = async {
            match name {
                Some(name) => self.client.vm().set_name_label(vm, &name.to_string()).await,
                None => Ok(()),
            }
        };
        let (put, renamed) = join(marks::put(self.client, vm, mark), renamed).await;
        put.and(renamed)
    }

    /// Reads a VM that is being claimed, and says why it is not to be deleted after all.
    async fn read(&self, then: &Sight) -> Result<(Sight, Option<String>), xenapi::Error> {
        let record = self.client.vm().record(&then.vm).await?;
        let now = Sight::of(&then.vm, &record);
        let operation = now.operation.as_ref();
        let busy = operation.map(|operation| format!("{operation} is in progress on it"));
        let why = self.why_not(then, &now).await?.or(busy);
        Ok((now, why))
    }

    /// Says why a VM is not to be deleted, as it is now.
    async fn why_not(&self, then: &Sight, now: &Sight) -> Result<Option<String>, xenapi::Error> {
        if now.uuid != then.uuid {
            return Ok(Some("another VM has taken its place".to_owned()));
        }
        let time = self.clock.now().await?;
        Ok(due(now, time, self.policy).err().map(|(_, why)| why))
    }

    /// Takes the own claim back. One that stays is found by the next run, and does not stop it.
    async fn give_up(&self, vm: &Ref<Vm>, claim: &Mark) {
        if let Err(error) = marks::take(self.client, vm, claim).await
            && !error.is_gone_object(vm)
        {
            tracing::warn!(pool = self.client.name(), %error, claim = %claim, "a claim is left");
        }
    }
}

impl AfterClaim<'_> {
    async fn look(&self) -> Result<(), Error> {
        let (client, vm) = (self.hands.client, &self.sight.vm);
        if self.hands.stop.is_cancelled() {
            return Err(Error::Cancelled { left: None });
        }
        let has_begun = self.has_begun.load(Ordering::Acquire);
        let name = || VmName::new(&self.sight.name, self.sight.uuid);
        let failed = |cause| Error::Call {
            doing: "looking at the VM again",
            vm: name(),
            cause,
        };
        let now = match client.vm().record(vm).await {
            Ok(record) => Sight::of(vm, &record),
            Err(cause) if cause.is_gone_object(vm) => return Ok(()),
            Err(cause) => return Err(failed(cause)),
        };
        let changed = self.hands.why_not(self.sight, &now).await.map_err(failed)?;
        if let Some(why) = changed.or_else(|| self.why_stop(&now, has_begun)) {
            return Err(Error::NoLongerDue {
                pool: client.name().to_owned(),
                vm: name(),
                why,
            });
        }
        self.has_begun.store(true, Ordering::Release);
        Ok(())
    }
}

impl AfterClaim<'_> {
    /// What beside the judgement of the VM stands in the way: its claim was taken away; and before the first destructive step,
    /// that somebody else is at work on it, or that a rail has come up.
    fn why_stop(&self, now: &Sight, has_begun: bool) -> Option<String> {
        if !now.marks.carries_claim(&self.claim) {
            return Some("its claim was taken away".to_owned());
        }
        if has_begun {
            return None;
        }
        if self.hands.is_held.load(Ordering::Acquire) {
            return Some("a rail has come up".to_owned());
        }
        let operation = now.operation.as_ref();
        operation.map(|operation| format!("{operation} is in progress on it"))
    }
}

impl Recheck for AfterClaim<'_> {
    fn recheck(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.look())
    }
}

fn failed(error: &impl std::fmt::Display) -> Deed {
    Deed::Failed { why: error.to_string() }
}
