//! Deleting a server: what it is is checked first, and nothing is touched that is not it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use xenapi::Pool;

use super::own::{Whose, born_with};
use super::remove::Removal;
use super::site::{KeptDisk, Site};
use super::{Bounds, load};
use crate::birth_name::BirthName;
use crate::error::{Error, VmName};
use crate::lease::{Expiry, Ownership, VmMarks};
use crate::pool::{Loaded, Member};
use crate::server::Server;
use crate::spec::ServerKey;
use crate::view;

/// What a deletion did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeleteReport {
    /// Disks that were attached to it or to its snapshots and are not surely its own: detached and kept.
    pub kept_disks: Vec<KeptDisk>,
    /// The server as it was before; `None` if it was gone already.
    pub server: Option<Server>,
}

/// Removes a server.
pub(crate) async fn delete(
    member: &Arc<Member>,
    key: &ServerKey,
    timeout: Duration,
    cancel: CancellationToken,
) -> Result<DeleteReport, Error> {
    let bounds = Bounds::new(timeout, cancel);
    let late = || Error::Timeout {
        doing: "deleting",
        pool: key.pool.clone(),
        vm: VmName::uuid(key.vm),
        limit: timeout,
        status: "how it is cannot be read",
    };
    // What is decided here is decided on a read of now, not on a listing.
    member.wrote();
    let (fabric, loaded) = bounds.hold(load(member, key), late).await?;
    let Some(loaded) = loaded else {
        return Ok(DeleteReport::default());
    };
    check(key, &loaded)?;
    let client = member.client()?;
    let removal = Removal {
        site: Site {
            client,
            pool: &key.pool,
            bounds: &bounds,
            recheck: None,
        },
        storage: fabric.srs(),
        whose: bounds.hold(whose(client, &loaded), late).await?,
        loaded: &loaded,
    };
    member.wrote();
    let kept_disks = removal.remove().await?;
    member.ledger.is_off(&loaded.reference);
    member.wrote();
    Ok(DeleteReport {
        kept_disks,
        server: Some(view::server(&fabric, &loaded)),
    })
}

/// What kind of VM it is.
struct Kind<'a> {
    name: &'a str,
    is_control_domain: bool,
    is_a_snapshot: bool,
    is_a_template: bool,
}

impl<'a> Kind<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let vm = &loaded.vm;
        Self {
            name: &vm.name_label,
            is_control_domain: vm.is_control_domain,
            is_a_snapshot: vm.is_a_snapshot,
            is_a_template: vm.is_a_template,
        }
    }
}

/// Checks that a VM is the server.
fn check(key: &ServerKey, loaded: &Loaded) -> Result<(), Error> {
    match why_not(&Kind::of(loaded), &loaded.marks(), key) {
        Some(why) => Err(Error::NotOurs {
            pool: key.pool.clone(),
            vm: loaded.name(),
            why,
        }),
        None => Ok(()),
    }
}

/// Says which disks are a VM's own: a clone that never got its marks has all that it was born with.
pub(super) async fn whose(client: &Pool, loaded: &Loaded) -> Result<Whose, Error> {
    if is_half_born(&Kind::of(loaded), &loaded.marks()) {
        born_with(client, loaded).await.map(Whose::Fresh)
    } else {
        Ok(Whose::Marked)
    }
}

/// Says why a VM must not be deleted as this server.
fn why_not(vm: &Kind<'_>, marks: &VmMarks, key: &ServerKey) -> Option<String> {
    if vm.is_control_domain {
        return Some("is a control domain".to_owned());
    }
    if vm.is_a_snapshot {
        return Some("is a snapshot".to_owned());
    }
    if is_half_born(vm, marks) {
        return None;
    }
    if vm.is_a_template {
        return Some("was turned into a template".to_owned());
    }
    if let Ownership::Foreign { of } = marks.ownership() {
        return Some(format!("carries the mark of another VM ({of}) and not its own"));
    }
    if key.request_id.is_none() && marks.ownership() == Ownership::Unmarked {
        return Some("was imported and never given a lease: it is nobody's but its maker's".to_owned());
    }
    let spec = marks.spec()?;
    let of_another = key.request_id.filter(|request| *request != spec.request_id)?;
    Some(format!(
        "was made by the request {}, not by {of_another}",
        spec.request_id
    ))
}

/// A clone is a template until it is configured: one that never got further is no template of a person. Before it has its
/// own name among its marks, all of them are inherited.
fn is_half_born(vm: &Kind<'_>, marks: &VmMarks) -> bool {
    let has_lease = matches!(marks.expiry(), Expiry::Lease(_));
    BirthName::parse(vm.name).is_some() && (!marks.names_itself() || !has_lease)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ulid::Ulid;

    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const OTHER: &str = "11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const SPEC: &str =
        r#"{"request_id":"00000000000000000000000007","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#;

    fn check(vm: &Kind<'_>, keys: &[(&str, &str)], expect: Option<&str>) {
        check_of(Some(Ulid(7)), vm, keys, expect);
    }

    fn check_of(request_id: Option<Ulid>, vm: &Kind<'_>, keys: &[(&str, &str)], expect: Option<&str>) {
        let keys: BTreeMap<&str, &str> = keys.iter().copied().collect();
        let marks = VmMarks::read(&VM.parse().unwrap(), [], keys);
        let key = ServerKey {
            pool: "lab1".into(),
            pool_uuid: OTHER.parse().unwrap(),
            vm: VM.parse().unwrap(),
            request_id,
        };
        let why = why_not(vm, &marks, &key);
        match (&why, expect) {
            (Some(why), Some(expect)) => assert!(why.contains(expect), "{why}"),
            (why, expect) => assert_eq!(why.as_deref(), expect),
        }
    }

    #[test]
    fn only_the_server_itself_is_deleted() {
        let vm = Kind {
            name: "web",
            is_control_domain: false,
            is_a_snapshot: false,
            is_a_template: false,
        };
        let own: &[(&str, &str)] = &[("dynvm:vm", VM), ("dynvm:spec", SPEC)];
        check(&vm, own, None);
        check(&vm, &[], None);
        check(&vm, &[("dynvm:spec", SPEC)], None);
        check_of(None, &vm, own, None);
        check_of(None, &vm, &[], Some("imported and never given a lease"));
        check(
            &vm,
            &[("dynvm:vm", OTHER), ("dynvm:spec", SPEC)],
            Some("mark of another VM"),
        );
        let spec = SPEC.replace("07\"", "08\"");
        check(
            &vm,
            &[("dynvm:vm", VM), ("dynvm:spec", &spec)],
            Some("was made by the request"),
        );
        check(
            &Kind {
                is_a_template: true,
                ..vm
            },
            own,
            Some("turned into a template"),
        );
        check(
            &Kind {
                is_a_snapshot: true,
                ..vm
            },
            own,
            Some("snapshot"),
        );
        check(
            &Kind {
                is_control_domain: true,
                ..vm
            },
            own,
            Some("control domain"),
        );
        let name = "dynvm-new-01JD4Q8QCGTF0000000000000A-1800000000";
        let half_born = Kind {
            is_a_template: true,
            name,
            ..vm
        };
        check(&half_born, own, None);
        let expires = "dynvm:expires=2026-11-21T10:00:00Z/01JD4Q8QCGTF0000000000000A";
        let inherited = [("dynvm:vm", OTHER), ("dynvm:spec", spec.as_str()), (expires, "{}")];
        check(&half_born, &inherited, None);
        check(
            &half_born,
            &[own, &[(expires, "{}")]].concat(),
            Some("turned into a template"),
        );
    }
}
