//! The first phase: a pool and a template for a server, every name resolved. Nothing exists yet, so nothing is to be undone.

use std::sync::{Arc, Mutex, PoisonError};

use xenapi::{Network, Ref, Sr};

use super::{Bounds, Stage};
use crate::capacity::{self, Kind, Sample, template_name};
use crate::config::NetworkChoice;
use crate::error::{Error, VmName};
use crate::placement;
use crate::pool::{Entry, Inventory, Member, Place, Template, serving};
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
    pub(super) inventory: Arc<Inventory>,
    pub(super) template: Arc<Template>,
    pub(super) spec: Arc<ServerSpec>,
    pub(super) network: Option<Ref<Network>>,
    /// The SR to copy to, when it is another than the template's.
    pub(super) copy_to: Option<Ref<Sr>>,
    pub(super) origin: Origin,
    pub(super) bounds: Bounds,
    /// Counts until the pool itself shows what the server takes.
    pub(super) place: Place,
}

/// A pool that can take the server.
struct Candidate {
    member: Arc<Member>,
    inventory: Arc<Inventory>,
    template: Arc<Template>,
    network: Option<Ref<Network>>,
    storage: Option<Ref<Sr>>,
}

impl Plan {
    /// The error of a phase that did not end in time.
    pub(super) fn late(&self, stage: Stage, vm: VmName) -> Error {
        Error::CreateTimeout {
            pool: self.member.name().to_owned(),
            vm,
            limit: self.bounds.limit,
            stage,
        }
    }
}

/// Settles where a server is made.
pub(crate) async fn plan(
    members: &[Arc<Member>],
    choosing: &Mutex<()>,
    spec: Arc<ServerSpec>,
    origin: Origin,
    cancel: tokio_util::sync::CancellationToken,
) -> Result<Plan, Error> {
    let bounds = Bounds::new(spec.create_timeout, cancel);
    let late = || Error::CreateTimeout {
        pool: spec.pool.clone().unwrap_or_default(),
        vm: VmName::unknown(),
        limit: bounds.limit,
        stage: Stage::Planning,
    };
    let settled = async {
        let members = serving(asked(members, &spec)?).await;
        let candidates = candidates(&members, &spec).await?;
        let (candidate, place) = choose(candidates, &spec, choosing).await?;
        let copy_to = copy_to(&candidate).await?;
        Ok((candidate, place, copy_to))
    };
    let (candidate, place, copy_to) = bounds.hold(settled, late).await?;
    let Candidate {
        member,
        inventory,
        template,
        network,
        storage: _,
    } = candidate;
    Ok(Plan {
        member,
        inventory,
        template,
        spec,
        network,
        copy_to,
        origin,
        bounds,
        place,
    })
}

/// The SR to copy to. Where the template's disks are is looked up only if another one is asked for; the clock, which the
/// clone's name needs, is read meanwhile.
async fn copy_to(candidate: &Candidate) -> Result<Option<Ref<Sr>>, Error> {
    let Some(storage) = &candidate.storage else {
        candidate.member.now().await?;
        return Ok(None);
    };
    let (disks, _) = tokio::try_join!(
        candidate.member.disks(&candidate.template.reference),
        candidate.member.now()
    )?;
    let is_elsewhere = disks.srs().iter().any(|sr| sr != storage);
    Ok(is_elsewhere.then(|| storage.clone()))
}

/// The pools that may be looked at: the one asked for, or all that know the image.
fn asked(members: &[Arc<Member>], spec: &ServerSpec) -> Result<Vec<Arc<Member>>, Error> {
    let named = crate::fleet::members_named(members, spec.pool.as_deref())?;
    let Image::Os(os) = &spec.image else {
        return Ok(named);
    };
    let known = |member: &&Arc<Member>| member.settings.templates.contains_key(os);
    let knowing: Vec<Arc<Member>> = named.iter().filter(known).cloned().collect();
    if knowing.is_empty() {
        let aliases = named
            .iter()
            .flat_map(|member| member.settings.templates.keys().cloned());
        return Err(Error::UnknownOs {
            os: os.clone(),
            there: crate::choices::Choices::new(os, aliases),
        });
    }
    Ok(knowing)
}

async fn candidates(members: &[Arc<Member>], spec: &ServerSpec) -> Result<Vec<Candidate>, Error> {
    let looks = members
        .iter()
        .map(|member| async move { (member.name().to_owned(), candidate(member, spec).await) });
    let mut found = Vec::new();
    let mut reasons = Vec::new();
    for (pool, look) in futures::future::join_all(looks).await {
        match look {
            Ok(candidate) => found.push(candidate),
            // No other pool makes this one right.
            Err(error @ Error::SamePool { .. }) => return Err(error),
            Err(error) => reasons.push((pool, Box::new(error))),
        }
    }
    if found.is_empty() {
        return Err(none_fits(reasons));
    }
    passed_over(&reasons);
    Ok(found)
}

fn none_fits(mut reasons: Vec<(String, Box<Error>)>) -> Error {
    match (reasons.len(), reasons.pop()) {
        (1, Some((_, only))) => *only,
        (_, last) => {
            reasons.extend(last);
            Error::NoPoolFits { reasons }
        }
    }
}

/// A pool that cannot take the server is no failure while another can; somebody may want to know all the same.
fn passed_over(reasons: &[(String, Box<Error>)]) {
    for (pool, reason) in reasons {
        tracing::warn!(pool, %reason, "pool passed over");
    }
}

async fn candidate(member: &Arc<Member>, spec: &ServerSpec) -> Result<Candidate, Error> {
    let wanted = template_name(member, &spec.image)?;
    let (inventory, template) = tokio::try_join!(member.inventory(), member.template(wanted))?;
    let settings = &member.settings;
    let storage = match spec.storage.as_ref().or(settings.storage.as_ref()) {
        Some(wanted) => Some(
            member
                .resolve(&inventory, |inventory| inventory.find_sr(wanted))
                .await?,
        ),
        None => None,
    };
    let by_os = spec.image.os().and_then(|os| settings.networks.get(os));
    let asked = spec.network.clone().map(NetworkChoice::Named);
    let network = match asked.as_ref().or(by_os).or(settings.network.as_ref()) {
        Some(choice) => Some(
            member
                .resolve(&inventory, |inventory| inventory.choose_network(choice))
                .await?,
        ),
        None => inventory.default_network(),
    };
    Ok(Candidate {
        member: Arc::clone(member),
        inventory,
        template,
        network,
        storage,
    })
}

/// A candidate with what is known of its room.
struct Measured {
    candidate: Candidate,
    kind: Kind,
    sample: Option<Arc<Sample>>,
}

/// Chooses the pool with most room. A pool without competition and without a ceiling is not measured: its own answer to
/// the start is as good, and costs nothing.
async fn choose(
    candidates: Vec<Candidate>,
    spec: &ServerSpec,
    choosing: &Mutex<()>,
) -> Result<(Candidate, Place), Error> {
    let has_ceiling = |candidate: &Candidate| {
        let settings = &candidate.member.settings;
        let by_os = spec.image.os().and_then(|os| settings.max_servers_by_os.get(os));
        settings.max_servers.is_some() || by_os.is_some()
    };
    let mut measured = Vec::new();
    if candidates.len() > 1 || candidates.iter().any(has_ceiling) {
        let mut reasons = Vec::new();
        let measures = candidates.into_iter().map(|candidate| measure(candidate, spec));
        for measure in futures::future::join_all(measures).await {
            match measure {
                Ok(candidate) => measured.push(candidate),
                Err((pool, error)) => reasons.push((pool, Box::new(error))),
            }
        }
        if measured.is_empty() {
            return Err(none_fits(reasons));
        }
        passed_over(&reasons);
    } else {
        measured.extend(candidates.into_iter().map(|candidate| Measured {
            kind: Kind::new(&candidate.template.record, spec.cpus, spec.memory_mib, spec.image.os()),
            candidate,
            sample: None,
        }));
    }
    enter(measured, choosing)
}

async fn measure(candidate: Candidate, spec: &ServerSpec) -> Result<Measured, (String, Error)> {
    let member = &candidate.member;
    let reads = tokio::try_join!(member.disks(&candidate.template.reference), capacity::sample(member));
    let (disks, sample) = reads.map_err(|error| (member.name().to_owned(), error))?;
    let kind = Kind::new(&candidate.template.record, spec.cpus, spec.memory_mib, spec.image.os());
    Ok(Measured {
        kind: kind.with_disks(&disks.records, candidate.storage.as_ref()),
        sample: Some(sample),
        candidate,
    })
}

/// Takes the pool with most room and enters the server in its ledger; between the two nobody else may choose.
fn enter(mut measured: Vec<Measured>, choosing: &Mutex<()>) -> Result<(Candidate, Place), Error> {
    let _choosing = choosing.lock().unwrap_or_else(PoisonError::into_inner);
    let room = |measured: &Measured| {
        let sample = measured.sample.as_ref()?;
        Some(sample.capacity(&measured.candidate.member, &measured.kind))
    };
    let rooms: Vec<_> = measured.iter().filter_map(room).collect();
    let chosen = if rooms.is_empty() {
        0
    } else {
        placement::most_room(&rooms).ok_or(Error::Full {
            pools: rooms,
            cause: None,
        })?
    };
    if chosen >= measured.len() {
        return Err(Error::NoPools);
    }
    let Measured { candidate, kind, .. } = measured.swap_remove(chosen);
    let entry = Entry {
        need: kind.need,
        os: kind.os,
        storage: kind.storage.into_iter().collect(),
        vm: None,
        shown_since: None,
    };
    let place = candidate.member.ledger.enter(entry);
    Ok((candidate, place))
}

/// Says where a server's disks would be copied from and to, if they would not stay where the template's are.
pub(crate) async fn full_copy(
    members: &[Arc<Member>],
    image: &Image,
    storage: Option<&str>,
) -> Result<Option<String>, Error> {
    for member in members {
        let Some(wanted) = storage.or(member.settings.storage.as_deref()) else {
            continue;
        };
        let template = match template_name(member, image) {
            Ok(name) => member.template(name).await?,
            Err(_) => continue,
        };
        let inventory = member.inventory().await?;
        let storage = member
            .resolve(&inventory, |inventory| inventory.find_sr(wanted))
            .await?;
        let srs = member.disks(&template.reference).await?.srs();
        if let Some(other) = srs.iter().find(|sr| **sr != storage) {
            let name = |sr| inventory.sr_named(sr).map(|named| named.name).unwrap_or_default();
            return Ok(Some(format!(
                "in pool {:?} the template {:?} is on {:?}: a server on {:?} is a full copy, not a fast clone",
                member.name(),
                template.record.name_label,
                name(other),
                name(&storage),
            )));
        }
    }
    Ok(None)
}
