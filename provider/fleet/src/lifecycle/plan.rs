//! The first phase: a pool, a host and a template for a server, every name resolved. Nothing exists yet, so nothing is to be undone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use ulid::Ulid;
use xenapi::{Network, Ref, Sr};

use super::{Bounds, CREATION_GRACE, Knock, Stage};
use crate::capacity::{Kind, template_name};
use crate::error::{Error, VmName};
use crate::placement::{self, Candidate, Chosen, Looks, Terms, none_fits, passed_over};
use crate::pool::{Fabric, Held, Member, Place, Section, Template};
use crate::spec::{Image, ServerSpec};

/// Who makes a server.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) owner: String,
    pub(crate) version: String,
}

impl Origin {
    /// How a lease names its writer.
    pub(crate) fn by(&self) -> String {
        format!("dynvm-provider/{} {}", self.version, self.owner)
    }
}

/// All that is settled before anything is made.
pub(crate) struct Plan {
    pub(super) member: Arc<Member>,
    pub(super) fabric: Arc<Fabric>,
    pub(super) template: Arc<Template>,
    pub(super) spec: Arc<ServerSpec>,
    pub(super) network: Option<Ref<Network>>,
    /// The SR to copy to, when it is another than the template's.
    pub(super) copy_to: Option<Ref<Sr>>,
    pub(super) kind: Kind,
    /// The section that it is placed by, where the pool has several.
    pub(super) section: Option<String>,
    pub(super) origin: Origin,
    pub(super) bounds: Bounds,
    /// How ports are tried.
    pub(super) knock: Arc<dyn Knock>,
    /// Counts until the pool itself shows what the server takes.
    pub(super) place: Place,
    /// The SRs at which its clone stands in line.
    pub(super) lines: BTreeSet<Ref<Sr>>,
    /// How long it took until its room was held.
    pub(super) waited: Duration,
    /// The ticket that it is made under.
    pub(super) ticket: Option<Ulid>,
    /// Holds its room against other processes, until it runs.
    held: Mutex<Option<Held>>,
}

impl Plan {
    /// Lets go of the ticket: the server runs and takes its room itself, or nothing is left of it. A creation that is cancelled does not wait
    /// for that.
    pub(super) async fn release(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            tokio::select! {
                () = held.release() => {}
                () = self.bounds.cancel.cancelled() => {}
            }
        }
    }

    /// Its turn to be cloned has come: nobody waits behind it any more.
    pub(super) fn leaves_the_line(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut() {
            held.leaves_the_line();
        }
    }

    /// The name of the pool, or of the section of one.
    pub(super) fn pool(&self) -> &str {
        &self.fabric.pool
    }

    /// The error of a phase that did not end in time.
    pub(super) fn late(&self, stage: Stage, vm: VmName) -> Error {
        Error::CreateTimeout {
            pool: self.pool().to_owned(),
            vm,
            limit: self.bounds.limit,
            stage,
        }
    }
}

/// Settles where a server is made.
pub(crate) async fn plan(
    members: &[Arc<Member>],
    spec: Arc<ServerSpec>,
    origin: Origin,
    knock: Arc<dyn Knock>,
    cancel: tokio_util::sync::CancellationToken,
) -> Result<Plan, Error> {
    let bounds = Bounds::new(spec.create_timeout, cancel);
    let late = || Error::CreateTimeout {
        pool: spec.pool.clone().unwrap_or_default(),
        vm: VmName::unknown(),
        limit: bounds.limit,
        stage: Stage::Planning,
    };
    let begun = Instant::now();
    let settled = async {
        let wish = spec.wish();
        let sections = placement::asked(members, &wish).await?;
        let Looks { found, reasons } = placement::candidates(&sections, &wish).await?;
        if found.is_empty() {
            return Err(none_fits(reasons));
        }
        passed_over(&reasons);
        let terms = Terms {
            draws_from: spec.reservation,
            lasts: bounds.remaining() + CREATION_GRACE,
            owner: origin.owner.clone(),
        };
        placement::choose(found, &terms).await
    };
    let Chosen { candidate, place, held } = bounds.hold(settled, late).await?;
    let lines = candidate.lines();
    let Candidate {
        member,
        fabric,
        template,
        disks: _,
        network,
        copy_to,
        kind,
        section,
        now: _,
    } = candidate;
    Ok(Plan {
        member,
        fabric,
        template,
        spec,
        network,
        copy_to,
        kind,
        section,
        origin,
        bounds,
        knock,
        place,
        lines,
        waited: begun.elapsed(),
        ticket: held.as_ref().map(Held::ticket),
        held: Mutex::new(held),
    })
}

/// Says where a server's disks would be copied from and to, if they would not stay where the template's are.
pub(crate) async fn full_copy(
    sections: &[Section],
    image: &Image,
    storage: Option<&str>,
) -> Result<Option<String>, Error> {
    for section in sections {
        let member = &section.member;
        if storage.is_none() && section.settings().storage.is_none() {
            continue;
        }
        let template = match template_name(section.settings(), image) {
            Ok(name) => section.template(name).await?,
            Err(_) => continue,
        };
        let fabric = section.fabric().await?;
        let Some(storage) = section.storage_for(&fabric, storage).await? else {
            continue;
        };
        let srs = member.disks(&template.reference).await?.srs();
        if let Some(other) = srs.iter().find(|sr| **sr != storage) {
            let name = |sr| fabric.sr_named(sr).map(|named| named.name).unwrap_or_default();
            return Ok(Some(format!(
                "in pool {:?} the template {:?} is on {:?}: a server on {:?} is a full copy, not a fast clone",
                section.name(),
                template.record.name_label,
                name(other),
                name(&storage),
            )));
        }
    }
    Ok(None)
}
