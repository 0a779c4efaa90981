//! Changing a server in place: first its lease, name and tags, which do not touch the guest; then what it is and does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{try_join, try_join_all};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use xenapi::{Host, Ref, Vdi, VmRecord};

use super::birth::disk_marks;
use super::marks::{Change, Subject, added};
use super::plan::Origin;
use super::reshape::reshape;
use super::{Bounds, call, load};
use crate::error::{Error, VmName};
use crate::lease::{
    Expires, Expiry, LeaseRecord, Mark, Ownership, Renewal, SPEC_KEY, Shortening, SpecRecord, VM_KEY, VmMarks,
    is_reserved,
};
use crate::pool::{Loaded, Member, later, whole_seconds};
use crate::server::Server;
use crate::spec::{Birth, Changes, ServerKey};
use crate::view;

/// How long the look at a server takes whose change failed.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A change that is asked for, and by whom.
pub(crate) struct Asked {
    pub(crate) changes: Changes,
    pub(crate) origin: Origin,
    pub(crate) default_ttl: Duration,
    /// The only host that the server may be put on when none is asked for.
    pub(crate) home: Option<Ref<Host>>,
}

/// A lease that was changed, as its new mark and the record beside it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// When the mark was made, by the coordinator's clock.
    pub at: Timestamp,
    /// When the lease ends now; earlier than before if it was shortened.
    pub expires_at: Timestamp,
    /// Who wrote the mark.
    pub by: String,
}

/// A change that was made.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The server as it is now.
    pub server: Server,
    /// What became of its lease, if that was changed.
    pub renewed: Option<Renewed>,
}

/// A change that failed.
#[derive(Debug, Clone)]
pub struct UpdateFailure {
    /// Why.
    pub error: Error,
    /// The server as it is now, if that could be read.
    pub server: Option<Server>,
    /// Says whether what was asked of the lease is acknowledged all the same: it is changed first.
    pub is_lease_changed: bool,
    /// What became of the lease then, if a change of it was asked for.
    pub renewed: Option<Renewed>,
}

/// The lease that a change asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    start: Timestamp,
    ttl: Duration,
    ends: Timestamp,
}

/// Changes a server.
pub(crate) async fn update(
    member: &Arc<Member>,
    key: &ServerKey,
    asked: &Asked,
    limit: Duration,
    cancel: CancellationToken,
) -> Result<Updated, UpdateFailure> {
    let bounds = Bounds::new(limit, cancel);
    let late = || Error::Timeout {
        doing: "changing",
        pool: key.pool.clone(),
        vm: VmName::uuid(key.vm),
        limit,
        status: "its changes are not all made",
    };
    member.wrote();
    // The lease first: it is what may be refused.
    let begun = bounds.hold(begin(member, key, asked), late).await;
    let is_lease_changed = begun.is_ok();
    let (changed, renewed) = match begun {
        Ok((loaded, renewed)) => {
            let rest = finish(member, key, &loaded, asked, &bounds);
            (bounds.hold(rest, late).await, renewed)
        }
        Err(error) => (Err(error), None),
    };
    member.wrote();
    match changed {
        Ok(server) => Ok(Updated { server, renewed }),
        Err(error) => {
            let look = tokio::time::timeout(LAST_LOOK, now(member, key)).await;
            Err(UpdateFailure {
                error,
                server: look.ok().and_then(Result::ok).flatten(),
                is_lease_changed,
                renewed,
            })
        }
    }
}

/// Reads the server and changes its lease.
async fn begin(member: &Arc<Member>, key: &ServerKey, asked: &Asked) -> Result<(Arc<Loaded>, Option<Renewed>), Error> {
    let (_, loaded) = load(member, key).await?;
    let loaded = loaded.ok_or_else(|| gone(key))?;
    if loaded.vm.is_a_template || loaded.vm.is_a_snapshot || loaded.vm.is_control_domain {
        let why = "is a template, a snapshot or a control domain".to_owned();
        return Err(Error::NotOurs {
            pool: key.pool.clone(),
            vm: loaded.name(),
            why,
        });
    }
    let renewed = if asked.changes.ttl.is_some() || asked.changes.renew {
        Some(change_lease(member, key, &loaded, asked).await?)
    } else {
        None
    };
    Ok((loaded, renewed))
}

/// Changes all else and reads the server again.
async fn finish(
    member: &Arc<Member>,
    key: &ServerKey,
    loaded: &Loaded,
    asked: &Asked,
    bounds: &Bounds,
) -> Result<Server, Error> {
    let changes = &asked.changes;
    try_join(rename(member, loaded, changes), retag(member, loaded, changes)).await?;
    if let Some(wanted) = &changes.reshape {
        reshape(member, key, loaded, wanted, asked.home.as_ref(), bounds).await?;
    }
    member.wrote();
    now(member, key).await?.ok_or_else(|| gone(key))
}

fn gone(key: &ServerKey) -> Error {
    Error::Gone {
        pool: key.pool.clone(),
        vm: VmName::uuid(key.vm),
    }
}

async fn now(member: &Arc<Member>, key: &ServerKey) -> Result<Option<Server>, Error> {
    let (fabric, loaded) = load(member, key).await?;
    Ok(loaded.map(|loaded| view::server(&fabric, &loaded)))
}

async fn rename(member: &Arc<Member>, loaded: &Loaded, changes: &Changes) -> Result<(), Error> {
    match &changes.name {
        Some(name) if *name != loaded.vm.name_label => {
            let named = member.client()?.vm().set_name_label(&loaded.reference, name).await;
            named.map_err(call("renaming the server", &loaded.name()))
        }
        Some(_) | None => Ok(()),
    }
}

/// Tags are added and removed one by one: those of others stay.
async fn retag(member: &Arc<Member>, loaded: &Loaded, changes: &Changes) -> Result<(), Error> {
    let Some((old, new)) = &changes.tags else {
        return Ok(());
    };
    let client = member.client()?;
    let name = loaded.name();
    let (removed, added) = tag_steps(&loaded.vm.tags, old, new);
    let vm = &loaded.reference;
    let remove = try_join_all(removed.into_iter().map(|tag| {
        let name = &name;
        async move {
            client
                .vm()
                .remove_tags(vm, tag)
                .await
                .map_err(call("removing a tag", name))
        }
    }));
    let add = try_join_all(added.into_iter().map(|tag| {
        let name = &name;
        async move { client.vm().add_tags(vm, tag).await.map_err(call("adding a tag", name)) }
    }));
    try_join(remove, add).await?;
    Ok(())
}

fn tag_steps<'a>(
    present: &BTreeSet<String>,
    old: &'a BTreeSet<String>,
    new: &'a BTreeSet<String>,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let removed = old
        .difference(new)
        .filter(|tag| present.contains(*tag) && !is_reserved(tag));
    let added = new.iter().filter(|tag| !present.contains(*tag) && !is_reserved(tag));
    (
        removed.map(String::as_str).collect(),
        added.map(String::as_str).collect(),
    )
}

async fn change_lease(member: &Arc<Member>, key: &ServerKey, loaded: &Loaded, asked: &Asked) -> Result<Renewed, Error> {
    let marks = loaded.marks();
    if let Ownership::Foreign { of } = marks.ownership() {
        let why = format!("carries the mark of another VM ({of}) and not its own");
        return Err(Error::NotOurs {
            pool: key.pool.clone(),
            vm: loaded.name(),
            why,
        });
    }
    let now = whole_seconds(member.now().await?);
    let wanted = wanted(&marks, &asked.changes, asked.default_ttl, now);
    if wanted.ends <= now {
        return Err(Error::TtlPast {
            vm: loaded.name(),
            at: wanted.ends,
        });
    }
    let subject = subject(member, key, loaded, asked, &wanted)?;
    let read = if marks.is_managed() {
        loaded.vm.clone()
    } else {
        adopt(&subject, key, loaded, asked, now).await?
    };
    let own = Expires::minted(wanted.ends, now);
    let change = match marks.expiry() {
        Expiry::Lease(latest) if latest.at > own.at => Change::Shorten(Shortening::new(own, &marks)),
        Expiry::Lease(_) | Expiry::Creating(_) | Expiry::Never => Change::Renew(Renewal::new(own, &marks)),
    };
    subject.change(change, read, None).await?;
    Ok(Renewed {
        at: own.made_at(),
        expires_at: own.at,
        by: subject.record.by,
    })
}

fn subject<'a>(
    member: &'a Arc<Member>,
    key: &'a ServerKey,
    loaded: &'a Loaded,
    asked: &Asked,
    wanted: &Wanted,
) -> Result<Subject<'a>, Error> {
    Ok(Subject {
        client: member.client()?,
        pool: &key.pool,
        vm: &loaded.reference,
        name: loaded.name(),
        record: LeaseRecord {
            start: wanted.start,
            ttl_seconds: wanted.ttl.as_secs(),
            by: asked.origin.by(),
        },
    })
}

/// The lease that is asked for: from its start, or anew.
fn wanted(marks: &VmMarks, changes: &Changes, default_ttl: Duration, now: Timestamp) -> Wanted {
    let record = marks.lease_record().filter(|_| marks.is_managed());
    let ttl = changes
        .ttl
        .or_else(|| record.map(LeaseRecord::ttl))
        .unwrap_or(default_ttl);
    let start = match record {
        Some(record) if !changes.renew => record.start,
        Some(_) | None => now,
    };
    Wanted {
        start,
        ttl,
        ends: whole_seconds(later(start, ttl)),
    }
}

/// Writes the marks of a server that has lost them, or of a VM that is taken on. Its lease is written by the caller.
async fn adopt(
    subject: &Subject<'_>,
    key: &ServerKey,
    loaded: &Loaded,
    asked: &Asked,
    now: Timestamp,
) -> Result<VmRecord, Error> {
    let uuid = loaded.vm.uuid;
    let marks = loaded.marks();
    let has_spec = loaded.vm.other_config.contains_key(SPEC_KEY);
    if let Ownership::Uncertain { why } = marks.ownership()
        && (has_spec && marks.spec().is_none() || !only_names(&loaded.vm, &uuid.to_string()))
    {
        return Err(Error::NotOurs {
            pool: subject.pool.to_owned(),
            vm: loaded.name(),
            why: format!("is not surely a server: {why}"),
        });
    }
    subject.put(&Mark::Vm(uuid).to_string(), "").await?;
    subject.put(VM_KEY, &uuid.to_string()).await?;
    if marks.owner().is_none() {
        subject
            .put(&Mark::Owner(asked.origin.owner.clone()).to_string(), "")
            .await?;
    }
    if !has_spec {
        let spec = new_spec(key, asked, now);
        subject.put(SPEC_KEY, &spec.to_json()).await?;
    }
    if key.request_id.is_none() && !has_spec {
        // A VM of a person; a server's own disks never lost their marks.
        take_disks(subject, loaded).await?;
    }
    let mut record = loaded.vm.clone();
    record.other_config.insert(VM_KEY.to_owned(), uuid.to_string());
    Ok(record)
}

fn new_spec(key: &ServerKey, asked: &Asked, now: Timestamp) -> SpecRecord {
    let birth = asked.changes.birth.clone().unwrap_or(Birth {
        created_at: now,
        template_uuid: None,
        template_name: String::new(),
        os: None,
    });
    SpecRecord {
        request_id: key.request_id.unwrap_or_default(),
        template_uuid: birth.template_uuid,
        template_name: birth.template_name,
        os: birth.os,
        section: asked.home.as_ref().map(|_| key.pool.clone()),
        provider: asked.origin.version.clone(),
        created_at: birth.created_at,
        user_data: None,
        ticket: None,
        reservation: None,
    }
}

/// Marks the disks that go with a VM by the pool's own rule: those whose drive says so, and that hang on nothing else.
async fn take_disks(subject: &Subject<'_>, loaded: &Loaded) -> Result<(), Error> {
    let goes_with = |vdi: &Ref<Vdi>| {
        loaded
            .vbds
            .iter()
            .any(|(_, vbd)| vbd.vdi == *vdi && vbd.other_config.contains_key("owner"))
    };
    let own = loaded
        .disks()
        .filter(|(vdi, disk)| goes_with(vdi) && disk.vbds.len() == 1 && !disk.other_config.contains_key(VM_KEY));
    let name = loaded.name();
    let keys = own.flat_map(|(vdi, disk)| disk_marks(loaded.vm.uuid, disk.uuid).map(|mark| (vdi, mark)));
    try_join_all(keys.map(|(vdi, (key, value))| {
        let name = &name;
        async move {
            let put = added(|| subject.client.vdi().add_to_other_config(vdi, &key, &value)).await;
            put.map_err(call("marking a disk", name))
        }
    }))
    .await?;
    Ok(())
}

fn only_names(vm: &VmRecord, uuid: &str) -> bool {
    let by_key = vm.other_config.get(VM_KEY).is_none_or(|value| value == uuid);
    by_key
        && vm
            .other_config
            .keys()
            .filter(|key| key.starts_with("dynvm:vm="))
            .all(|key| key.ends_with(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const SPEC: &str =
        r#"{"request_id":"00000000000000000000000007","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#;

    fn set(tags: &[&str]) -> BTreeSet<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn tags_of_others_and_marks_stay() {
        let present = set(&["web", "backup", "dynvm:keep"]);
        let (old, new) = (set(&["web", "gone", "dynvm:keep"]), set(&["backup", "db", "dynvm:x"]));
        let (removed, added) = tag_steps(&present, &old, &new);
        assert_eq!(removed, ["web"]);
        assert_eq!(added, ["db"]);
    }

    #[test]
    fn a_changed_ttl_counts_from_the_start_and_a_renewal_from_now() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let expires = "dynvm:expires=2026-11-20T22:00:00Z/01JD4Q8QCGTF0000000000000A";
        let record = r#"{"start":"2026-11-20T10:00:00Z","ttl":43200,"by":"x"}"#;
        let keys = [("dynvm:vm", VM), ("dynvm:spec", SPEC), (expires, record)];
        let marks = VmMarks::read(&VM.parse().unwrap(), [], keys);
        let lost = VmMarks::read(&VM.parse().unwrap(), [], []);
        let now = at("2026-11-20T12:00:00Z");
        let hour = Duration::from_secs(3600);
        let check = |marks: &VmMarks, ttl: Option<Duration>, renew, start: &str, ends: &str| {
            let wanted = wanted(
                marks,
                &Changes {
                    ttl,
                    renew,
                    ..Changes::default()
                },
                6 * hour,
                now,
            );
            assert_eq!((wanted.start, wanted.ends), (at(start), at(ends)));
        };
        check(
            &marks,
            Some(4 * hour),
            false,
            "2026-11-20T10:00:00Z",
            "2026-11-20T14:00:00Z",
        );
        check(
            &marks,
            Some(hour),
            false,
            "2026-11-20T10:00:00Z",
            "2026-11-20T11:00:00Z",
        );
        check(&marks, None, true, "2026-11-20T12:00:00Z", "2026-11-21T00:00:00Z");
        check(&marks, Some(hour), true, "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z");
        check(&lost, Some(hour), false, "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z");
        check(&lost, None, true, "2026-11-20T12:00:00Z", "2026-11-20T18:00:00Z");
    }
}
