//! A pool that could take a server: every name resolved, and what can be wrong with the wish told before anything is made.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use xenapi::{Host, Network, Ref, Sr};

use super::possible::{allows, in_section};
use crate::capacity::{Kind, template_name};
use crate::choices::Choices;
use crate::error::{Error, Subject};
use crate::inventory::Freshness;
use crate::pool::{Disks, Fabric, Member, Section, Template, sections};
use crate::spec::{Image, LabelChoice, Wish};

/// A pool that could take a server, or a section of one, if it has room.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) member: Arc<Member>,
    /// Called by the name of the section.
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) template: Arc<Template>,
    pub(crate) disks: Arc<Disks>,
    pub(crate) network: Option<Ref<Network>>,
    /// The SR to copy to, when it is another than the template's.
    pub(crate) copy_to: Option<Ref<Sr>>,
    pub(crate) kind: Kind,
    /// The section, where the pool has several.
    pub(crate) section: Option<String>,
    /// The time by the pool's clock.
    pub(crate) now: Timestamp,
}

/// The sections that may be looked at: by name, by labels, and by what they know of the image.
pub(crate) async fn asked(members: &[Arc<Member>], wish: &Wish) -> Result<Vec<Section>, Error> {
    Ok(sections(members, &entries(members, wish)?).await)
}

fn entries(members: &[Arc<Member>], wish: &Wish) -> Result<Vec<Arc<Member>>, Error> {
    let named = crate::fleet::members_named(members, wish.pool.as_deref())?;
    let labels = LabelChoice::AsServer(wish.pool_labels.clone());
    let labelled: Vec<_> = named
        .iter()
        .filter(|member| labels.allows(&member.settings.labels))
        .cloned()
        .collect();
    if labelled.is_empty() {
        let there: BTreeSet<_> = named
            .iter()
            .flat_map(|member| member.settings.labels.iter().cloned())
            .collect();
        return Err(Error::Labels {
            asked: wish.pool_labels.clone(),
            pool: wish.pool.clone(),
            there: Choices::new("", there),
        });
    }
    let Image::Os(os) = &wish.image else {
        return Ok(labelled);
    };
    let known = |member: &&Arc<Member>| member.settings.templates.contains_key(os);
    let knowing: Vec<Arc<Member>> = labelled.iter().filter(known).cloned().collect();
    if knowing.is_empty() {
        let aliases = labelled
            .iter()
            .flat_map(|member| member.settings.templates.keys().cloned());
        return Err(Error::UnknownOs {
            os: os.clone(),
            there: Choices::new(os, aliases),
        });
    }
    Ok(knowing)
}

/// What came of the look at some pools.
pub(crate) struct Looks {
    pub(crate) found: Vec<Candidate>,
    /// Pool and reason.
    pub(crate) reasons: Vec<(String, Box<Error>)>,
}

/// Looks at all of them at once.
pub(crate) async fn candidates(sections: &[Section], wish: &Wish) -> Result<Looks, Error> {
    let looks = sections
        .iter()
        .map(|section| async move { (section.name().to_owned(), Candidate::find(section, wish).await) });
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
    Ok(Looks { found, reasons })
}

/// The error of a server that none of the pools can take.
pub(crate) fn none_fits(mut reasons: Vec<(String, Box<Error>)>) -> Error {
    match (reasons.len(), reasons.pop()) {
        (1, Some((_, only))) => *only,
        (_, last) => {
            reasons.extend(last);
            Error::NoPoolFits { reasons }
        }
    }
}

/// A pool that cannot take the server is no failure while another can; somebody may want to know all the same.
pub(crate) fn passed_over(reasons: &[(String, Box<Error>)]) {
    for (pool, reason) in reasons {
        tracing::warn!(pool, %reason, "pool passed over");
    }
}

impl Candidate {
    /// The name of the pool, or of the section of one.
    pub(crate) fn pool(&self) -> &str {
        &self.fabric.pool
    }

    /// The SRs at which clones stand in line: a copy holds the lock of one only for a moment.
    pub(crate) fn lines(&self) -> BTreeSet<Ref<Sr>> {
        if self.copy_to.is_some() {
            return BTreeSet::new();
        }
        self.disks.srs()
    }

    /// Resolves what a wish names in one pool, by the settings of a section of it.
    async fn find(section: &Section, wish: &Wish) -> Result<Self, Error> {
        let (member, settings) = (&section.member, section.settings());
        let wanted = template_name(settings, &wish.image)?;
        let (fabric, template) = tokio::try_join!(section.fabric(), section.template(wanted))?;
        let refusal = Refusal {
            pool: section.name(),
            fabric: &fabric,
        };
        let storage = section.storage_for(&fabric, wish.storage.as_deref()).await?;
        let asked = member.host_for(&fabric, wish.host.as_deref()).await?;
        let own = section.host()?;
        in_section(section.name(), &fabric, own, asked.as_ref())?;
        let host = asked.as_ref().or(own);
        let network = section
            .network_for(&fabric, wish.network.as_deref(), wish.image.os())
            .await?;
        // The picture and the clock are needed next; reading them beside the disks costs no time of its own.
        let filled = member.live.look(member, Freshness::Seen, |_| ());
        let (disks, now, ()) = tokio::try_join!(member.disks(&template.reference), member.now(), filled)?;
        member.live.keep(&disks.records);
        allows(section.name(), "template", &template.record, wish.cpus, wish.memory_mib)?;
        refusal.of_disks(&template, &disks)?;
        refusal.of_network(network.as_ref(), host)?;
        let kind = Kind::new(&template.record, wish.cpus, wish.memory_mib, wish.image.os())
            .with_disks(&disks, storage.as_ref())
            .with_network(network.as_ref())
            .under(settings, own)
            .on_host(host);
        refusal.of_storage(&kind, host)?;
        let is_elsewhere = |sr: &Ref<Sr>| disks.srs().iter().any(|of_disk| of_disk != sr);
        Ok(Self {
            copy_to: storage.filter(is_elsewhere),
            member: Arc::clone(member),
            fabric,
            template,
            disks,
            network,
            kind,
            section: own.map(|_| section.name().to_owned()),
            now,
        })
    }
}

/// What can be wrong with a wish in a pool, whatever room there is.
struct Refusal<'a> {
    pool: &'a str,
    fabric: &'a Fabric,
}

impl Refusal<'_> {
    fn refuse(&self, subject: Subject, reason: String) -> Result<(), Error> {
        Err(Error::Refused {
            subject,
            pool: self.pool.to_owned(),
            reason,
        })
    }

    /// Templates of which no server can be cloned.
    fn of_disks(&self, template: &Template, disks: &Disks) -> Result<(), Error> {
        let name = &template.record.name_label;
        if disks.records.is_empty() && template.record.other_config.contains_key("disks") {
            let reason = format!(
                "the template {name:?} has no disk: it installs an operating system, and a clone of it would have nothing to start from"
            );
            return self.refuse(Subject::Template, reason);
        }
        let missing = disks.srs().into_iter().find(|sr| self.fabric.sr(sr).is_none());
        if missing.is_some() {
            let reason = format!("a disk of the template {name:?} is on a storage repository that is gone");
            return self.refuse(Subject::Template, reason);
        }
        Ok(())
    }

    /// Networks that no host can put the server on, or not the one asked for.
    fn of_network(&self, network: Option<&Ref<Network>>, host: Option<&Ref<Host>>) -> Result<(), Error> {
        let Some(network) = network else { return Ok(()) };
        let name = self
            .fabric
            .network_named(network)
            .map(|named| named.name)
            .unwrap_or_default();
        let mut hosts = self.fabric.hosts().map(|view| view.host);
        if !hosts.any(|host| self.fabric.has_network(host, network)) {
            return self.refuse(Subject::Network, format!("no host has the network {name:?}"));
        }
        match host.filter(|host| !self.fabric.has_network(host, network)) {
            Some(host) => {
                let host = self.fabric.host_name(host).unwrap_or_default();
                self.refuse(
                    Subject::Host,
                    format!("the host {host:?} does not have the network {name:?}"),
                )
            }
            None => Ok(()),
        }
    }

    /// SRs that no host sees together, or not the one asked for.
    fn of_storage(&self, kind: &Kind, host: Option<&Ref<Host>>) -> Result<(), Error> {
        let names: Vec<String> = kind
            .storage
            .keys()
            .filter_map(|sr| self.fabric.sr_named(sr).map(|named| named.name))
            .collect();
        let sees_all = |host: &Ref<Host>| kind.storage.keys().all(|sr| self.fabric.sees(host, sr));
        if !self.fabric.hosts().any(|view| sees_all(view.host)) {
            let reason = format!("no host sees the storage of such a server ({})", names.join(", "));
            return self.refuse(Subject::Storage, reason);
        }
        match host.filter(|host| !sees_all(host)) {
            Some(host) => {
                let host = self.fabric.host_name(host).unwrap_or_default();
                let reason = format!(
                    "the host {host:?} does not see the storage of such a server ({})",
                    names.join(", ")
                );
                self.refuse(Subject::Host, reason)
            }
            None => Ok(()),
        }
    }
}
