//! The seventh phase: a usable address, noticed by events, and ports that answer there.
//!
//! What the guest reports counts only since this start: a clone inherits the addresses of its template in a record that
//! `VM.start` deletes, and the pool makes a new, empty one as soon as the domain runs, sometimes twice.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xenapi::{
    Change, ChangeOp, EventClass, GuestMetrics, GuestMetricsRecord, Interest, Loss, Notice, PowerState, Ref,
    Subscription, Vm, VmRecord,
};

use super::knock::{Knock, Ports, Tcp};
use super::plan::Plan;
use super::{Made, Stage, call};
use crate::address::{self, Missed, Nic};
use crate::error::{Error, VmName};
use crate::pool::{Loaded, Member};
use crate::server::{AddressSource, Timings};
use crate::spec::WaitPolicy;
use crate::view;

/// How long events may take to show how the VM is; what they have not shown by then is read.
const SHOWN: Duration = Duration::from_millis(150);
/// How often all is read even so.
const SAFETY: Duration = Duration::from_secs(30);
/// How many reports of other VMs are kept until it is known which one is the own.
const REPORTS: usize = 256;

/// What is known of a guest whose address is awaited.
pub(super) struct Guest<'a> {
    member: &'a Arc<Member>,
    /// The pool's name, or that of a section of it.
    pool: &'a str,
    wait: &'a WaitPolicy,
    vm: Ref<Vm>,
    name: VmName,
    nics: Vec<Nic>,
    /// What it reported before this start.
    stale: Option<Ref<GuestMetrics>>,
    is_running: bool,
    current: Option<Ref<GuestMetrics>>,
    reports: HashMap<Ref<GuestMetrics>, GuestMetricsRecord>,
    has_reported: bool,
}

/// What a guest said before, and whether that still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It has been started anew: only what it reports since counts.
    Stale,
    /// It goes on where it was.
    Counts,
}

/// How a guest is followed: by events, and by reads where those show nothing.
struct Watch {
    events: Subscription,
    read_at: Instant,
    safety_at: Instant,
    is_lost: bool,
}

/// Waits until a new server's guest shows an address that counts, and all ports that were asked for answer there.
pub(super) async fn address(plan: &Plan, made: &mut Made) -> Result<(), Error> {
    let Some(loaded) = &made.loaded else {
        return Err(Error::Gone {
            pool: plan.pool().to_owned(),
            vm: VmName::unknown(),
        });
    };
    let name = loaded.name();
    let ports = Ports::new(&plan.spec.wait.ports);
    let mut guest = Guest::new(&plan.member, plan.pool(), &plan.spec.wait, loaded, Before::Stale);
    let ready = guest.ready(&ports, &*plan.knock, &mut made.timings);
    let late = || match ports.closed_at() {
        Some(at) => closed(plan.pool(), at, plan.bounds.limit),
        None => plan.late(Stage::Address, name),
    };
    let ready = plan.bounds.hold(ready, late).await;
    let report = guest.report().cloned();
    if let Some(loaded) = &mut made.loaded {
        loaded.guest = report;
    }
    made.address_source = Some(ready?);
    Ok(())
}

/// The error of a creation whose time is over while a port is tried.
fn closed(pool: &str, at: SocketAddr, limit: Duration) -> Error {
    Error::NoAddress {
        pool: pool.to_owned(),
        attempts: 1,
        limit,
        missed: Missed::PortClosed(at.port()),
        seen: format!("last seen: {}", at.ip()),
    }
}

impl<'a> Guest<'a> {
    pub(super) fn new(
        member: &'a Arc<Member>,
        pool: &'a str,
        wait: &'a WaitPolicy,
        loaded: &Loaded,
        before: Before,
    ) -> Self {
        Self {
            member,
            pool,
            wait,
            vm: loaded.reference.clone(),
            name: loaded.name(),
            nics: view::nics(loaded),
            stale: match before {
                Before::Stale => Some(loaded.vm.guest_metrics.clone()),
                Before::Counts => None,
            },
            is_running: false,
            current: None,
            reports: HashMap::new(),
            has_reported: false,
        }
    }

    /// Waits until it shows an address that counts, as long as the policy says.
    pub(super) async fn address(&mut self) -> Result<AddressSource, Error> {
        let timings = &mut Timings::default();
        self.ready(&Ports::new(&[]), &Tcp, timings).await
    }

    /// The same, and then until the ports answer there.
    async fn ready(&mut self, ports: &Ports, knock: &dyn Knock, timings: &mut Timings) -> Result<AddressSource, Error> {
        let (begun, limit) = (Instant::now(), self.wait.timeout);
        let steps = async {
            let mut watch = self.watch()?;
            let source = self.usable_address(&mut watch).await?;
            let found = Instant::now();
            timings.address = (found - begun).as_secs_f64();
            if !ports.is_empty() {
                self.answers(&mut watch, ports, knock).await?;
                timings.ports = found.elapsed().as_secs_f64();
            }
            Ok(source)
        };
        match tokio::time::timeout(limit, steps).await {
            Ok(ready) => ready,
            Err(_) => Err(self.not_ready(begun, ports)),
        }
    }

    fn watch(&self) -> Result<Watch, Error> {
        let interest = Interest::object(&self.vm).and_class(EventClass::VmGuestMetrics);
        let now = Instant::now();
        Ok(Watch {
            events: self.member.client()?.watcher().subscribe(interest),
            read_at: now + SHOWN,
            safety_at: now + SAFETY,
            is_lost: false,
        })
    }

    async fn usable_address(&mut self, watch: &mut Watch) -> Result<AddressSource, Error> {
        loop {
            self.follow(watch).await?;
            if let Some(source) = self.usable() {
                return Ok(source);
            }
        }
    }

    /// Waits until the ports answer. The guest is followed meanwhile: another address is tried from the beginning, and a guest that stops
    /// is waited for no more.
    async fn answers(&mut self, watch: &mut Watch, ports: &Ports, knock: &dyn Knock) -> Result<(), Error> {
        loop {
            let Some(address) = self.best() else {
                self.follow(watch).await?;
                continue;
            };
            let open = ports.open(knock, address);
            tokio::pin!(open);
            while self.best() == Some(address) {
                tokio::select! {
                    biased;
                    () = &mut open => return Ok(()),
                    followed = self.follow(watch) => followed?,
                }
            }
        }
    }

    /// Takes in what is heard or read of it next.
    async fn follow(&mut self, watch: &mut Watch) -> Result<(), Error> {
        tokio::select! {
            biased;
            notice = watch.events.next() => match notice {
                Notice::Change(change) => self.changed(&change)?,
                Notice::Reached(_) => {}
                Notice::Lost(Loss::Closed) => return Err(Error::Cancelled { left: None }),
                Notice::Lost(_) => {
                    watch.is_lost = true;
                    watch.read_at = watch.read_at.min(Instant::now() + SHOWN);
                }
            },
            () = tokio::time::sleep_until(watch.read_at) => {
                if watch.is_lost || !self.is_shown() || watch.read_at >= watch.safety_at {
                    self.read().await?;
                    watch.is_lost = false;
                }
                watch.safety_at = Instant::now() + SAFETY;
                watch.read_at = watch.safety_at;
            }
        }
        if self.current.is_some() && self.report().is_none() {
            watch.read_at = watch.read_at.min(Instant::now() + SHOWN);
        }
        Ok(())
    }

    /// Says whether events have shown how the VM is and what it reports.
    fn is_shown(&self) -> bool {
        self.is_running && self.report().is_some()
    }

    fn changed(&mut self, change: &Change) -> Result<(), Error> {
        if let Some((vm, record)) = change.of::<Vm>()
            && vm == self.vm
        {
            return match (change.op, record) {
                (ChangeOp::Del, _) => Err(self.gone()),
                (ChangeOp::Add | ChangeOp::Mod, Some(record)) => self.is_now(record),
                (ChangeOp::Add | ChangeOp::Mod, None) => Ok(()),
            };
        }
        if let Some((report, record)) = change.of::<GuestMetrics>() {
            match record {
                Some(record) => self.reported(report, record.clone()),
                None => {
                    self.reports.remove(&report);
                }
            }
        }
        Ok(())
    }

    fn is_now(&mut self, record: &VmRecord) -> Result<(), Error> {
        let is_running = record.power_state == PowerState::Running;
        // Events may begin before the start; only a guest that ran and does not any more has stopped.
        if self.is_running && record.power_state == PowerState::Halted {
            return Err(Error::Stopped {
                pool: self.pool.to_owned(),
                vm: self.name.clone(),
                state: view::power_state(&record.power_state).to_string(),
            });
        }
        self.is_running = self.is_running || is_running;
        let report = record
            .guest_metrics
            .non_null()
            .filter(|report| is_running && Some(*report) != self.stale.as_ref());
        self.current = report.cloned();
        Ok(())
    }

    fn reported(&mut self, report: Ref<GuestMetrics>, record: GuestMetricsRecord) {
        let is_own = self.current.as_ref() == Some(&report);
        if is_own || self.reports.len() < REPORTS {
            self.reports.insert(report, record);
        }
    }

    /// Reads how the VM is and what it reports.
    async fn read(&mut self) -> Result<(), Error> {
        let client = self.member.client()?;
        let record = match client.vm().record(&self.vm).await {
            Ok(record) => record,
            Err(cause) if cause.is_gone_object(&self.vm) => return Err(self.gone()),
            // The next event or read will tell; the wait has its own end.
            Err(cause) if cause.is_retryable() || cause.is_unreachable() => return Ok(()),
            Err(cause) => return Err(Error::call("reading the server", self.name.clone(), cause)),
        };
        self.is_now(&record)?;
        if let Some(report) = self.current.clone() {
            match client.guest_metrics().record(&report).await {
                Ok(record) => {
                    self.reports.clear();
                    self.reported(report, record);
                }
                // It is replaced while the guest starts, and an event names the next one.
                Err(cause) if cause.is_gone_object(&report) || cause.is_retryable() || cause.is_unreachable() => {}
                Err(cause) => return Err(call("reading what the guest reports", &self.name)(cause)),
            }
        }
        Ok(())
    }

    fn report(&self) -> Option<&GuestMetricsRecord> {
        self.current.as_ref().and_then(|current| self.reports.get(current))
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.report()
            .map(|report| address::of_primary(&report.networks, &self.nics))
            .unwrap_or_default()
    }

    /// The address that the server will be known by.
    fn best(&self) -> Option<IpAddr> {
        let mut usable = self.addresses();
        usable.retain(|address| address::is_usable(*address));
        address::choose(&usable, self.wait.family, &self.wait.cidrs, None)
    }

    fn usable(&mut self) -> Option<AddressSource> {
        let wait = self.wait;
        let report = self.report()?;
        let has_agent = report.pv_drivers_detected || !report.networks.is_empty();
        let is_missed = address::missed(has_agent, &self.addresses(), wait.family, &wait.cidrs).is_some();
        let source = if self.has_reported {
            AddressSource::LaterReport
        } else {
            AddressSource::FirstReport
        };
        self.has_reported = self.has_reported || has_agent;
        (!is_missed).then_some(source)
    }

    fn gone(&self) -> Error {
        Error::Gone {
            pool: self.pool.to_owned(),
            vm: self.name.clone(),
        }
    }

    fn not_ready(&self, begun: Instant, ports: &Ports) -> Error {
        let addresses = self.addresses();
        let wait = self.wait;
        let has_agent = self
            .report()
            .is_some_and(|report| report.pv_drivers_detected || !report.networks.is_empty());
        let missed = address::missed(has_agent, &addresses, wait.family, &wait.cidrs);
        let missed = match (missed, ports.closed_at()) {
            (Some(missed), _) if self.is_running => missed,
            (None, Some(at)) if self.is_running => Missed::PortClosed(at.port()),
            (Some(_) | None, _) => Missed::NotStarted,
        };
        let seen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Error::NoAddress {
            pool: self.pool.to_owned(),
            attempts: 1,
            limit: begun.elapsed(),
            missed,
            seen: if seen.is_empty() {
                "no address was seen".to_owned()
            } else {
                format!("last seen: {}", seen.join(", "))
            },
        }
    }
}

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Missed::NotStarted => "not started",
            Missed::NoAgent => "no guest agent",
            Missed::NoAddress => "agent without address",
            Missed::OnlyLinkLocal => "only link-local addresses",
            Missed::WrongFamily => "no address of the family asked for",
            Missed::OutsideCidrs => "outside ip_cidrs",
            Missed::PortClosed(port) => return write!(f, "port {port} closed"),
        })
    }
}
