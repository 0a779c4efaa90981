//! Executes the steps of a lease's change against a pool.

use futures::future::{join, try_join, try_join_all};
use jiff::Timestamp;
use xenapi::{Failure, Outcome, Pool, Ref, Vm, VmRecord};

use crate::error::{Error, VmName};
use crate::lease::{
    Expires, LeaseRecord, Mark, Obsolete, Outcome as LeaseOutcome, Renewal, Shortening, Step, VM_KEY, VmMarks,
};
use crate::pool::marks_of;

use super::call;

/// How many steps a change may take: a tool that keeps writing the marks back must not keep it going for ever.
const STEPS: u32 = 30;
/// How often a key is added whose answer was lost.
const TRIES: u32 = 3;

/// A change of a lease.
pub(super) enum Change {
    /// Later, or for the first time.
    Renew(Renewal),
    /// Earlier.
    Shorten(Shortening),
}

/// The VM whose lease is changed.
pub(super) struct Subject<'a> {
    pub(super) client: &'a Pool,
    pub(super) pool: &'a str,
    pub(super) vm: &'a Ref<Vm>,
    pub(super) name: VmName,
    /// Stands beside the new mark.
    pub(super) record: LeaseRecord,
}

impl Change {
    fn next(&mut self, seen: &VmMarks) -> Step {
        match self {
            Change::Renew(renewal) => renewal.next(seen),
            Change::Shorten(shortening) => shortening.next(seen),
        }
    }

    /// The mark that it adds, and takes back when it fails.
    fn mark(&self) -> Expires {
        match self {
            Change::Renew(renewal) => renewal.mark(),
            Change::Shorten(shortening) => shortening.mark(),
        }
    }
}

impl Subject<'_> {
    /// Changes the lease; gives the VM as the last read showed it, with what has been removed since taken out.
    ///
    /// The key of a creation lease that is `superseded` in any case is removed beside the first read, which saves a round
    /// trip; else it goes when the lease is acknowledged.
    pub(super) async fn change(
        &self,
        mut change: Change,
        read: VmRecord,
        mut superseded: Option<Timestamp>,
    ) -> Result<VmRecord, Error> {
        let mut latest = read;
        let mut not_taken_back = None;
        for _ in 0..STEPS {
            match change.next(&marks_of(&latest)) {
                Step::Add(mark) => self.add(Mark::Expires(mark), &latest).await?,
                Step::Read => latest = self.read_beside(superseded.take()).await?,
                Step::Remove(old) => match (self.remove(&old, &mut latest).await, &change) {
                    (Ok(()), _) => {}
                    (Err(error), change) if old.expires.contains(&change.mark()) => not_taken_back = Some(error),
                    // It stands already, and earlier marks do not count beside it.
                    (Err(error), Change::Renew(_)) => {
                        tracing::warn!(pool = self.pool, %error, "superseded marks are left");
                    }
                    (Err(error), Change::Shorten(_)) => return Err(error),
                },
                Step::Done(outcome) => return self.ended(outcome, latest, change.mark(), not_taken_back),
            }
        }
        Err(Error::MarksContested {
            pool: self.pool.to_owned(),
            vm: self.name.clone(),
        })
    }

    /// What the caller hears. Of a mark that was to be taken back and may stand still it hears as well: it counts.
    fn ended(
        &self,
        outcome: LeaseOutcome,
        latest: VmRecord,
        own: Expires,
        not_taken_back: Option<Error>,
    ) -> Result<VmRecord, Error> {
        let (pool, vm) = (self.pool.to_owned(), self.name.clone());
        let error = match outcome {
            LeaseOutcome::Acknowledged => return Ok(latest),
            LeaseOutcome::BeingReaped => Error::BeingReaped { pool, vm },
            LeaseOutcome::ExtendedElsewhere => Error::ExtendedElsewhere { pool, vm },
        };
        Err(match not_taken_back {
            None => error,
            Some(cause) => Error::NotTakenBack {
                error: Box::new(error),
                mark: Mark::Expires(own).to_string(),
                cause: Box::new(cause),
            },
        })
    }

    async fn read_beside(&self, superseded: Option<Timestamp>) -> Result<VmRecord, Error> {
        let Some(creating) = superseded else {
            return self.read().await;
        };
        let key = Mark::Creating(creating).to_string();
        let removal = self.client.vm().remove_from_other_config(self.vm, &key);
        let (read, removed) = join(self.read(), removal).await;
        let mut record = read?;
        match removed {
            Ok(()) => {
                record.other_config.remove(&key);
            }
            // It is removed once the lease is acknowledged.
            Err(error) => tracing::debug!(pool = self.pool, %error, "the creation lease is left for now"),
        }
        Ok(record)
    }

    async fn read(&self) -> Result<VmRecord, Error> {
        match self.client.vm().record(self.vm).await {
            Ok(record) => Ok(record),
            Err(cause) if cause.is_gone_object(self.vm) => Err(Error::Gone {
                pool: self.pool.to_owned(),
                vm: self.name.clone(),
            }),
            Err(cause) => Err(call("reading the lease", &self.name)(cause)),
        }
    }

    /// Adds a mark on both sides, and the VM's own name where a side has lost it: marks of a side without it do not count.
    async fn add(&self, mark: Mark, latest: &VmRecord) -> Result<(), Error> {
        let own = Mark::Vm(latest.uuid).to_string();
        let mut tags = vec![mark.to_string()];
        let mut keys = vec![(mark.to_string(), self.record.to_json())];
        if !latest.tags.contains(&own) {
            tags.push(own.clone());
        }
        if !latest.other_config.contains_key(&own) && !latest.other_config.contains_key(VM_KEY) {
            keys.push((own, String::new()));
        }
        let tagged = try_join_all(tags.iter().map(|tag| async move {
            self.client
                .vm()
                .add_tags(self.vm, tag)
                .await
                .map_err(call("writing the lease", &self.name))
        }));
        let keyed = try_join_all(keys.iter().map(|(key, value)| self.put(key, value)));
        try_join(tagged, keyed).await?;
        Ok(())
    }

    pub(super) async fn put(&self, key: &str, value: &str) -> Result<(), Error> {
        let put = added(|| self.client.vm().add_to_other_config(self.vm, key, value)).await;
        put.map_err(call("writing the lease", &self.name))
    }

    /// Removes marks from the sides where the last read showed them.
    async fn remove(&self, old: &Obsolete, latest: &mut VmRecord) -> Result<(), Error> {
        let expires = old.expires.iter().map(|mark| Mark::Expires(*mark));
        let creating = old.creating.iter().map(|until| Mark::Creating(*until));
        let marks: Vec<String> = expires.chain(creating).map(|mark| mark.to_string()).collect();
        let tags = marks.iter().filter(|mark| latest.tags.contains(*mark));
        let untagged = try_join_all(tags.map(|tag| async move {
            self.client
                .vm()
                .remove_tags(self.vm, tag)
                .await
                .map_err(call("clearing the old lease", &self.name))
        }));
        let keys = marks.iter().filter(|mark| latest.other_config.contains_key(*mark));
        let unkeyed = try_join_all(keys.map(|key| async move {
            self.client
                .vm()
                .remove_from_other_config(self.vm, key)
                .await
                .map_err(call("clearing the old lease", &self.name))
        }));
        try_join(untagged, unkeyed).await?;
        latest.tags.retain(|tag| !marks.contains(tag));
        latest.other_config.retain(|key, _| !marks.contains(key));
        Ok(())
    }
}

/// Adds a key to a map. A lost answer is asked for again; a key that is there already was then written by the call before.
pub(super) async fn added<F>(mut addition: impl FnMut() -> F) -> Result<(), xenapi::Error>
where
    F: Future<Output = Result<(), xenapi::Error>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match addition().await {
            Ok(()) => return Ok(()),
            Err(cause) if cause.is_failure(Failure::is_duplicate_key) => return Ok(()),
            Err(cause) if cause.outcome() == Outcome::Rejected || tries == TRIES => return Err(cause),
            Err(_) => {}
        }
    }
}
