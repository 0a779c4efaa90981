//! The operations, each a small story: what is prepared, what is done, what a later run makes of it, and the end.
//!
//! A [`State`] is what a state file holds: it changes by what an operation answers, never by what is really in the pool.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleet::{
    Changes, CloudInit, CreateFailure, Error, Family, Image, Power, PowerState, ReservationKey, ReservationSpec,
    Reshape, Server, ServerSpec, WaitPolicy,
};
use reaper::once::Ending;
use serde_json::json;
use ulid::Ulid;

use crate::lab::{Clock, Lab};
use crate::obstacle::Obstacle;
use crate::process::Process;

/// How long an operation may take.
const PATIENCE: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

/// What is done while faults strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// A server with a config drive, ports that are waited for, and its disks where the template's are.
    Create,
    /// One whose disks are copied to another storage repository.
    Copy,
    Read,
    /// Other vCPUs and another memory of a server that runs.
    Resize,
    Suspend,
    /// To another host.
    Move,
    /// Another lease.
    Renew,
    Delete,
    /// By the reaper: a server whose lease is over, and a clone that never got one.
    Reap,
    Reserve,
    /// Of a reservation.
    Release,
}

/// What the state file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) server: Option<Held>,
    reservation: Option<ReservationKey>,
}

/// A server in the state file.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) server: Box<Server>,
    is_tainted: bool,
}

/// How an operation failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) text: String,
    /// It says that something may be there of which the state file knows nothing.
    pub(crate) tells_of_more: bool,
    /// The caller has given it up.
    pub(crate) is_given_up: bool,
}

impl Operation {
    pub(crate) const ALL: [Self; 11] = [
        Operation::Create,
        Operation::Copy,
        Operation::Read,
        Operation::Resize,
        Operation::Suspend,
        Operation::Move,
        Operation::Renew,
        Operation::Delete,
        Operation::Reap,
        Operation::Reserve,
        Operation::Release,
    ];

    /// When it begins.
    pub(crate) fn clock(self) -> Clock {
        match self {
            Operation::Reap => Clock::Later,
            Operation::Create
            | Operation::Copy
            | Operation::Read
            | Operation::Resize
            | Operation::Suspend
            | Operation::Move
            | Operation::Renew
            | Operation::Delete
            | Operation::Reserve
            | Operation::Release => Clock::Behind,
        }
    }

    /// Makes what it works on.
    pub(crate) async fn prepare(self, lab: &Lab) -> State {
        let by = &Process::new(lab);
        let mut state = State::default();
        match self {
            Operation::Create | Operation::Copy | Operation::Reserve => {}
            Operation::Read
            | Operation::Resize
            | Operation::Suspend
            | Operation::Move
            | Operation::Renew
            | Operation::Delete => self.create(by, &mut state).await.unwrap(),
            Operation::Release => reserve(by, &mut state).await.unwrap(),
            Operation::Reap => {
                self.create(by, &mut state).await.unwrap();
                // No state file is left.
                state = State::default();
                leave_behind(lab).await;
            }
        }
        state
    }

    /// Does it.
    pub(crate) async fn act(self, by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
        match self {
            Operation::Create | Operation::Copy => self.create(by, state).await,
            Operation::Read => self.read(by, state).await.map(|_| ()),
            Operation::Resize | Operation::Suspend | Operation::Move | Operation::Renew => {
                self.update(by, state, self.changes()).await
            }
            Operation::Delete => delete(by, state).await,
            Operation::Reap => reap(by).await,
            Operation::Reserve => reserve(by, state).await,
            Operation::Release => release(by, state).await,
        }
    }

    /// What a later run makes of what the state file holds: the world becomes what was asked for.
    pub(crate) async fn again(self, by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
        match self {
            Operation::Create
            | Operation::Copy
            | Operation::Read
            | Operation::Resize
            | Operation::Suspend
            | Operation::Move
            | Operation::Renew => self.apply(by, state).await,
            Operation::Delete => delete(by, state).await,
            Operation::Reap => reap(by).await,
            Operation::Reserve if state.reservation.is_none() => reserve(by, state).await,
            Operation::Reserve => Ok(()),
            Operation::Release => release(by, state).await,
        }
    }

    async fn apply(self, by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
        if state.server.as_ref().is_some_and(|held| held.is_tainted) {
            delete(by, state).await?;
        }
        let present = match state.server {
            Some(_) => self.read(by, state).await?,
            None => None,
        };
        match present {
            None => self.create(by, state).await?,
            Some(server) if self.is_met(&server) => return Ok(()),
            Some(_) => {}
        }
        if self.read(by, state).await?.is_none_or(|server| !self.is_met(&server)) {
            self.update(by, state, self.changes()).await?;
        }
        match self.read(by, state).await? {
            Some(server) if self.is_met(&server) => Ok(()),
            other => Err(failure(format!("not what was asked for: {other:#?}"))),
        }
    }

    /// Says whether a server is what was asked for.
    fn is_met(self, server: &Server) -> bool {
        let Reshape {
            cpus,
            memory_mib,
            power,
            host,
            ..
        } = self.reshape();
        let runs = match power {
            Some(Power::Suspended) => server.power_state == PowerState::Suspended,
            Some(Power::Halted) => server.power_state == PowerState::Halted,
            Some(Power::Running) | None => server.power_state == PowerState::Running && server.ip_address.is_some(),
        };
        runs && cpus.is_none_or(|cpus| server.cpus == cpus)
            && memory_mib.is_none_or(|memory| server.memory_mib == memory)
            && host.is_none_or(|host| server.resident_host.as_ref() == Some(&host))
            && server.lease.expires_at.is_some()
            && server.lease.ttl == Some(self.ttl())
    }

    fn ttl(self) -> Duration {
        if self == Operation::Renew { HOUR * 3 } else { HOUR }
    }

    fn changes(self) -> Changes {
        let is_renewal = self == Operation::Renew;
        Changes {
            ttl: is_renewal.then_some(self.ttl()),
            renew: is_renewal,
            reshape: (!is_renewal).then(|| self.reshape()),
            ..Changes::default()
        }
    }

    fn reshape(self) -> Reshape {
        let mut wanted = Reshape {
            cpus: None,
            memory_mib: None,
            power: Some(Power::Running),
            host: None,
            is_moved: false,
            wait: wait(),
        };
        match self {
            Operation::Resize => (wanted.cpus, wanted.memory_mib) = (Some(4), Some(4096)),
            Operation::Suspend => wanted.power = Some(Power::Suspended),
            Operation::Move => (wanted.host, wanted.is_moved) = (Some("xen12".to_owned()), true),
            Operation::Create
            | Operation::Copy
            | Operation::Read
            | Operation::Renew
            | Operation::Delete
            | Operation::Reap
            | Operation::Reserve
            | Operation::Release => {}
        }
        wanted
    }

    async fn create(self, by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
        let fleet = by.fleet();
        if by.faces(Obstacle::Line) {
            let (fleet, spec, cancel) = (Arc::clone(&fleet), self.spec(), by.cancel.clone());
            tokio::spawn(async move { fleet.create(spec, cancel, &|_| {}).await.is_ok() });
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let made = fleet.create(self.spec(), by.cancel.clone(), &|_| {}).await;
        by.leaves(&fleet).await;
        let (server, failure) = match made {
            Ok(server) => (Some((server, false)), None),
            Err(CreateFailure { error, left }) => (left.map(|server| (server, true)), Some(error)),
        };
        state.server = server.map(|(server, is_tainted)| Held {
            server: Box::new(server),
            is_tainted,
        });
        failure.map_or(Ok(()), |error| Err(told(&error)))
    }

    fn spec(self) -> ServerSpec {
        let is_copy = self == Operation::Copy;
        let is_small = !matches!(self, Operation::Create | Operation::Copy);
        ServerSpec {
            name: "web".to_owned(),
            image: Image::Os("debian12".to_owned()),
            cpus: None,
            memory_mib: None,
            ttl: HOUR,
            pool: None,
            pool_labels: BTreeSet::new(),
            host: is_small.then(|| "xen11".to_owned()),
            reservation: None,
            storage: is_copy.then(|| "hdd".to_owned()),
            network: None,
            mac_address: None,
            cloud_init: CloudInit::new(Some("#cloud-config\n"), None),
            tags: BTreeSet::from(["web".to_owned()]),
            wait: wait(),
            ip_attempts: 1,
            is_started: true,
            keep_on_failure: false,
            create_timeout: PATIENCE,
            request_id: Ulid::new(),
        }
    }

    /// Reads the server in the state file; one that is gone leaves it.
    async fn read(self, by: &Process<'_>, state: &mut State) -> Result<Option<Server>, Failure> {
        let Some(held) = &state.server else {
            return Ok(None);
        };
        let fleet = by.fleet();
        let key = held.server.key();
        let read = tokio::select! {
            // As whoever calls for Terraform gives it up.
            () = by.cancel.cancelled() => Err(Error::Cancelled { left: None }),
            read = fleet.read(&key) => read,
        };
        by.leaves(&fleet).await;
        let read = read.map_err(|error| told(&error))?;
        if read.is_none() {
            state.server = None;
        }
        Ok(read)
    }

    async fn update(self, by: &Process<'_>, state: &State, changes: Changes) -> Result<(), Failure> {
        let held = state.server.as_ref().unwrap();
        let fleet = by.fleet();
        let key = held.server.key();
        let updated = fleet.update(&key, changes, PATIENCE, by.cancel.clone()).await;
        by.leaves(&fleet).await;
        match updated {
            Ok(updated) if self.is_met(&updated.server) => Ok(()),
            Ok(updated) => Err(failure(format!("answered with something else: {:#?}", updated.server))),
            Err(failure) => Err(told(&failure.error)),
        }
    }
}

impl State {
    /// Ends everything that it holds.
    pub(crate) async fn destroy(&mut self, by: &Process<'_>) -> Result<(), Failure> {
        delete(by, self).await?;
        release(by, self).await
    }
}

fn failure(text: String) -> Failure {
    Failure {
        text,
        tells_of_more: false,
        is_given_up: false,
    }
}

fn told(error: &Error) -> Failure {
    Failure {
        text: error.to_string(),
        tells_of_more: matches!(error, Error::CloneUnknown { .. } | Error::NotUndone { .. }),
        is_given_up: error.is_cancelled(),
    }
}

fn wait() -> WaitPolicy {
    WaitPolicy {
        for_ip: true,
        family: Family::Ipv4,
        cidrs: Vec::new(),
        ports: vec![22],
        timeout: Duration::from_secs(20),
    }
}

async fn delete(by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
    let Some(held) = &state.server else {
        return Ok(());
    };
    let fleet = by.fleet();
    let key = held.server.key();
    let deleted = fleet.delete(&key, PATIENCE, by.cancel.clone()).await;
    by.leaves(&fleet).await;
    let report = deleted.map_err(|error| told(&error))?;
    state.server = None;
    if report.kept_disks.is_empty() {
        Ok(())
    } else {
        Err(failure(format!("disks were kept: {:#?}", report.kept_disks)))
    }
}

async fn reserve(by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
    let (servers, queue) = if by.faces(Obstacle::FullPool) {
        (1000, PATIENCE)
    } else {
        (3, Duration::ZERO)
    };
    let spec = ReservationSpec {
        each: Operation::Reserve.spec().wish(),
        servers,
        ttl: HOUR,
        queue,
    };
    let fleet = by.fleet();
    let reserved = fleet.reserve(spec, by.cancel.clone()).await;
    by.leaves(&fleet).await;
    state.reservation = Some(reserved.map_err(|error| told(&error))?.key);
    Ok(())
}

async fn release(by: &Process<'_>, state: &mut State) -> Result<(), Failure> {
    let Some(key) = &state.reservation else {
        return Ok(());
    };
    let fleet = by.fleet();
    let released = tokio::select! {
        // As whoever calls for Terraform gives it up.
        () = by.cancel.cancelled() => Err(Error::Cancelled { left: None }),
        released = fleet.release(key) => released,
    };
    by.leaves(&fleet).await;
    released.map_err(|error| told(&error))?;
    state.reservation = None;
    Ok(())
}

/// One run of a reaper that remembers nothing.
pub(crate) async fn reap(by: &Process<'_>) -> Result<(), Failure> {
    let memory = tempfile::tempdir().unwrap();
    let reaper = by.reaper(&memory);
    let done = reaper.run(&()).await;
    by.reaper_leaves(&reaper).await;
    match Ending::of(&done) {
        Ending::Done => Ok(()),
        ending @ (Ending::Partly | Ending::HeldBack | Ending::Unreachable) => {
            let what = done.iter().map(|done| match &done.outcome {
                Ok((plan, deeds)) => format!("{:?} {deeds:?}", plan.rails),
                Err(error) => error.to_string(),
            });
            Err(failure(format!("{ending:?}: {}", what.collect::<String>())))
        }
    }
}

/// A clone whose creator died before it could mark it.
async fn leave_behind(lab: &Lab) {
    let templates = lab.call("VM.get_by_name_label", json!(["tmpl-debian12"])).await;
    let deadline = lab.now().as_second() + 600;
    let name = format!("dynvm-new-{}-{deadline}", Ulid::new());
    lab.call("VM.clone", json!([templates[0], name])).await;
}
