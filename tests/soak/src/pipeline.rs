//! A pipeline: what it knows of its servers, as Terraform would, and the runs in which it makes, changes and removes them.
//!
//! Each run is a process of its own. What a call has returned is in the state at once; what a killed run had not returned is lost to
//! it, and is the reaper's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use fleet::{
    Changes, CloudInit, Error, Family, Image, ReservationSpec, Reshape, Server, ServerKey, ServerSpec, UpdateFailure,
    WaitPolicy,
};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::dice::Dice;
use crate::people;
use crate::process::Process;
use crate::turn::{Change, Order, Step, Turn};
use crate::world::Lab;

/// How long a create may take, before the ten minutes in which its clone is left alone.
const CREATE: Duration = Duration::from_secs(300);
/// How long a change or a removal may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A pipeline.
pub(crate) struct Pipeline {
    number: u64,
    name: String,
    dice: Dice,
    lab: Arc<Lab>,
    runs: u64,
    state: Vec<Owned>,
}

/// A server in the state.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) key: ServerKey,
    tags: BTreeSet<String>,
    lease_started_at: Option<Timestamp>,
    is_tainted: bool,
}

impl Owned {
    fn new(server: &Server) -> Self {
        Self {
            key: server.key(),
            tags: server.tags.clone(),
            lease_started_at: server.lease.started_at,
            is_tainted: false,
        }
    }
}

impl Pipeline {
    pub(crate) fn new(number: u64, seed: u64, lab: Arc<Lab>) -> Self {
        Self {
            number,
            name: format!("p{number:02}"),
            dice: Dice::new(seed, number),
            lab,
            runs: 0,
            state: Vec::new(),
        }
    }

    /// Takes all turns that are due before a time.
    ///
    /// # Errors
    /// Something was seen that must not be.
    pub(crate) async fn work(&mut self, until: Duration) -> Result<()> {
        let mut due = Duration::ZERO;
        loop {
            let turn = Turn::throw(&mut self.dice);
            self.lab.diary.planned(self.number, &format!("{turn:?}"));
            due += turn.pause;
            if due >= until {
                return Ok(());
            }
            self.lab.until(due).await;
            self.take(turn).await?;
        }
    }

    /// The last run, in calm weather: all that is known is removed, and that works, or a half of all forget what they know.
    ///
    /// # Errors
    /// Something could not be removed.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        if self.dice.percent(50) {
            self.note("forgets its state for good");
            return Ok(());
        }
        let process = self.process()?;
        self.destroy(&process).await?;
        process.end().await;
        if let Some(left) = self.state.first() {
            bail!("{} could not remove {} in calm weather", self.name, left.key.vm);
        }
        Ok(())
    }

    async fn take(&mut self, turn: Turn) -> Result<()> {
        if let Step::Person { which, act } = turn.step {
            let server = at(&self.state, which).cloned();
            people::act(&self.lab, &self.name, server.as_ref(), act).await;
        } else {
            self.note(&format!("{:?}", turn.step));
            self.run(turn).await?;
        }
        if turn.is_abandoned {
            self.note("loses its state");
            self.lab.diary.count("states lost");
            self.state.clear();
        }
        Ok(())
    }

    fn process(&mut self) -> Result<Process> {
        self.runs += 1;
        Process::start(&self.lab, format!("dynvm-provider/{}-{}", self.name, self.runs))
    }

    async fn run(&mut self, turn: Turn) -> Result<()> {
        let (process, since) = (self.process()?, self.lab.now());
        let Some(after) = turn.killed_after else {
            self.carry_out(&process, turn.step).await?;
            process.end().await;
            return Ok(());
        };
        tokio::select! {
            biased;
            done = self.carry_out(&process, turn.step) => {
                process.end().await;
                return done;
            }
            () = tokio::time::sleep(after) => {}
        }
        self.note("is killed");
        self.lab.diary.count("runs killed");
        process.kill(&self.lab);
        self.lab.killed(since);
        Ok(())
    }

    async fn carry_out(&mut self, process: &Process, step: Step) -> Result<()> {
        match step {
            Step::Apply(order) => self.apply(process, order).await,
            Step::Reserve(order) => self.reserve(process, order).await,
            Step::Change { which, change } => self.change(process, which, change).await,
            Step::Refresh => self.refresh(process).await,
            Step::Destroy => self.destroy(process).await,
            Step::Person { .. } => Ok(()),
        }
    }

    async fn apply(&mut self, process: &Process, order: Order) -> Result<()> {
        self.refresh(process).await?;
        let tainted: Vec<Owned> = self.state.iter().filter(|owned| owned.is_tainted).cloned().collect();
        self.remove(process, tainted).await?;
        let missing = order.servers.saturating_sub(self.state.len());
        self.create(process, order, missing, None).await;
        Ok(())
    }

    async fn create(&mut self, process: &Process, order: Order, servers: usize, reservation: Option<Ulid>) {
        let mut creates: FuturesUnordered<_> = (0..servers)
            .map(|n| {
                let spec = spec(&format!("{}-{}-{n}", self.name, self.runs), order, reservation);
                process.fleet.create(spec, CancellationToken::new(), &|_| {})
            })
            .collect();
        while let Some(created) = creates.next().await {
            match created {
                Ok(server) => {
                    self.lab.diary.count("servers made");
                    self.acknowledged(&server);
                    self.state.push(Owned::new(&server));
                }
                Err(failure) => {
                    self.failed("create", &failure.error);
                    if let Some(left) = failure.left {
                        let is_tainted = true;
                        self.state.push(Owned {
                            is_tainted,
                            ..Owned::new(&left)
                        });
                    }
                }
            }
        }
    }

    async fn reserve(&mut self, process: &Process, order: Order) -> Result<()> {
        let wanted = ReservationSpec {
            each: spec("any", order, None).wish(),
            servers: u32::try_from(order.servers)?,
            ttl: order.ttl / 2,
            queue: Duration::from_secs(20),
        };
        match process.fleet.reserve(wanted, CancellationToken::new()).await {
            Ok(held) => {
                self.lab.diary.count("reservations held");
                self.create(process, order, order.servers, Some(held.key.id)).await;
                if let Err(error) = process.fleet.release(&held.key).await {
                    self.failed("release", &error);
                }
            }
            Err(error) => self.failed("reserve", &error),
        }
        Ok(())
    }

    async fn refresh(&mut self, process: &Process) -> Result<()> {
        for owned in self.state.clone() {
            match process.fleet.read(&owned.key).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.check_gone(&owned).await?;
                    self.forget(&owned);
                }
                Err(error) => self.failed("read", &error),
            }
        }
        Ok(())
    }

    /// What is said to be gone is gone.
    async fn check_gone(&self, owned: &Owned) -> Result<()> {
        self.note(&format!("sees that {} is gone", owned.key.vm));
        if self.lab.vm(&owned.key.pool, owned.key.vm).await.is_ok() {
            bail!("{} was told that {} is gone, and it is there", self.name, owned.key.vm);
        }
        Ok(())
    }

    async fn destroy(&mut self, process: &Process) -> Result<()> {
        self.remove(process, self.state.clone()).await
    }

    async fn remove(&mut self, process: &Process, servers: Vec<Owned>) -> Result<()> {
        let mut removals: FuturesUnordered<_> = servers
            .into_iter()
            .map(|owned| {
                self.lab.promises.give_up(owned.key.vm);
                let fleet = Arc::clone(&process.fleet);
                async move { (fleet.delete(&owned.key, LIMIT, CancellationToken::new()).await, owned) }
            })
            .collect();
        while let Some((removed, owned)) = removals.next().await {
            match removed {
                Ok(_) => {
                    self.lab.diary.count("servers removed");
                    self.check_gone(&owned).await?;
                    self.lab.promises.unkeep(owned.key.vm);
                    self.forget(&owned);
                }
                Err(error) => self.failed("delete", &error),
            }
        }
        Ok(())
    }

    async fn change(&mut self, process: &Process, which: u64, change: Change) -> Result<()> {
        let Some(owned) = at(&self.state, which).cloned() else {
            return Ok(());
        };
        let vm = owned.key.vm;
        if let (Change::Ttl(ttl), Some(started)) = (change, owned.lease_started_at) {
            self.lab.promises.at_most(vm, later(started, ttl));
        }
        let changes = changes(&owned, change);
        let updated = process
            .fleet
            .update(&owned.key, changes, LIMIT, CancellationToken::new());
        match updated.await {
            Ok(updated) => {
                self.lab.diary.count("servers changed");
                self.acknowledged(&updated.server);
                if let Some(known) = self.state.iter_mut().find(|known| known.key.vm == vm) {
                    *known = Owned::new(&updated.server);
                }
            }
            Err(UpdateFailure {
                error,
                renewed,
                is_lease_changed,
                ..
            }) => {
                if let (true, Some(renewed)) = (is_lease_changed, renewed) {
                    self.lab.promises.acknowledge(vm, renewed.expires_at);
                }
                self.failed("update", &error);
            }
        }
        Ok(())
    }

    /// Whoever is told an expiry relies on it.
    fn acknowledged(&self, server: &Server) {
        if let Some(until) = server.lease.expires_at {
            self.note(&format!("has {} until {until}", server.id));
            self.lab.promises.acknowledge(server.id, until);
        }
    }

    fn forget(&mut self, gone: &Owned) {
        self.state.retain(|owned| owned.key.vm != gone.key.vm);
    }

    fn failed(&self, what: &'static str, error: &Error) {
        self.lab.diary.count(match what {
            "create" => "creates failed",
            "delete" => "deletions failed",
            "update" => "changes failed",
            _ => "other calls failed",
        });
        self.note(&format!("{what}: {error}"));
    }

    fn note(&self, what: &str) {
        self.lab.note(&self.name, what);
    }
}

fn at(state: &[Owned], which: u64) -> Option<&Owned> {
    let place = usize::try_from(which).unwrap_or_default().checked_rem(state.len())?;
    state.get(place)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn wait() -> WaitPolicy {
    WaitPolicy {
        for_ip: true,
        family: Family::Ipv4,
        cidrs: Vec::new(),
        ports: Vec::new(),
        timeout: Duration::from_secs(90),
    }
}

fn spec(name: &str, order: Order, reservation: Option<Ulid>) -> ServerSpec {
    let user_data = order.has_user_data.then_some("#cloud-config\n");
    ServerSpec {
        name: name.to_owned(),
        image: Image::Os(order.os.to_owned()),
        cpus: None,
        memory_mib: None,
        ttl: order.ttl,
        pool: None,
        pool_labels: BTreeSet::new(),
        host: None,
        reservation,
        storage: None,
        network: None,
        mac_address: None,
        cloud_init: CloudInit::new(user_data, None),
        tags: BTreeSet::from(["soak".to_owned()]),
        is_started: true,
        wait: wait(),
        ip_attempts: 2,
        keep_on_failure: false,
        create_timeout: CREATE,
        request_id: Ulid::new(),
    }
}

fn changes(owned: &Owned, change: Change) -> Changes {
    let as_it_is = Reshape {
        cpus: None,
        memory_mib: None,
        power: None,
        host: None,
        is_moved: false,
        wait: wait(),
    };
    let reshaped = |reshape| Changes {
        reshape: Some(reshape),
        ..Changes::default()
    };
    match change {
        Change::NameAndTags(number) => Changes {
            name: Some(format!("renamed-{number}")),
            tags: Some((owned.tags.clone(), BTreeSet::from([format!("tag-{number}")]))),
            ..Changes::default()
        },
        Change::Ttl(ttl) => Changes {
            ttl: Some(ttl),
            ..Changes::default()
        },
        Change::Renew => Changes {
            renew: true,
            ..Changes::default()
        },
        Change::Cpus(cpus) => reshaped(Reshape {
            cpus: Some(cpus),
            ..as_it_is
        }),
        Change::Power(power) => reshaped(Reshape {
            power: Some(power),
            ..as_it_is
        }),
        Change::Host(host) => reshaped(Reshape {
            host: Some(host.to_owned()),
            is_moved: true,
            ..as_it_is
        }),
    }
}
