//! Finding and listing servers.

use std::time::Duration;

use futures::future::join_all;
use xenapi::{Filter, Ref, Uuid, Vm, VmRecord};

use crate::choices::Choices;
use crate::error::{Error, VmName, What};
use crate::inventory::{Freshness, Inventory};
use crate::lease::VmMarks;
use crate::pool::{Fabric, Loaded, Whole, related};
use crate::server::{Named, Server};
use crate::spec::{ListFilter, ServerQuery, Within};
use crate::view;

/// How long a listing of a whole pool may take.
const LISTING: Duration = Duration::from_secs(60);

/// The one server that a query means. By its UUID it is found wherever in the pool it is; by its name, where a list would show it.
pub(crate) async fn find(pools: &[Whole], query: &ServerQuery) -> Result<Server, Error> {
    let (wanted, asked, filter) = match query {
        ServerQuery::Id { id, pool } => (id.to_string(), pool, Some(Filter::uuid(*id))),
        // A name that the query language cannot quote is compared here.
        ServerQuery::Name { name, pool } => (name.clone(), pool, Filter::eq("name__label", name).ok()),
    };
    let is_meant = |vm: &VmRecord| match query {
        ServerQuery::Id { id, .. } => vm.uuid == *id,
        ServerQuery::Name { name, .. } => vm.name_label == *name,
    };
    let filter = filter.map_or_else(guests, |filter| filter.and(guests()));
    let reads = pools.iter().map(|pool| servers_where(pool, &filter, is_meant));
    let mut found = all_of(join_all(reads).await)?;
    if let Some(asked) = asked {
        match query {
            ServerQuery::Id { .. } => found.iter_mut().for_each(|server| server.pool.clone_from(asked)),
            ServerQuery::Name { .. } => found.retain(|server| server.pool == *asked),
        }
    }
    let named = || called(pools, asked.as_deref());
    match (found.len(), found.pop()) {
        (1, Some(only)) => Ok(only),
        (_, None) => Err(Error::Missing {
            what: What::Server,
            there: names(pools, &wanted).await,
            wanted,
            pool: named(),
        }),
        (_, Some(last)) => {
            found.push(last);
            let matches = found
                .iter()
                .map(|server| Named {
                    uuid: server.id,
                    name: server.name.clone(),
                })
                .collect();
            Err(Error::Ambiguous {
                what: What::Server,
                wanted,
                pool: named(),
                matches,
            })
        }
    }
}

/// A VM that can become a server. One pool has it at most: while it is not found, each that cannot be asked may be the one.
pub(crate) async fn adoptable(pools: &[Whole], within: Within<'_>, vm: Uuid) -> Result<Server, Error> {
    let (asked, only) = match within {
        Within::AnyPool => (None, None),
        Within::Entry(name) => (Some(name), None),
        Within::Pool(uuid) => (None, Some(uuid)),
    };
    let looks = pools.iter().map(|pool| async move {
        let (fabric, loaded) = tokio::try_join!(pool.member.fabric(), pool.member.load(vm))?;
        // A VM that was restored into another pool may have the same UUID there.
        let is_meant = only.is_none_or(|only| only == fabric.uuid);
        Ok(loaded.filter(|_| is_meant).map(|loaded| {
            let name = asked.unwrap_or_else(|| pool.name_of(&loaded));
            (fabric.named(name), loaded)
        }))
    });
    let mut unknown = None;
    for look in join_all(looks).await {
        match look {
            Ok(Some((fabric, loaded))) => return adopted(&fabric, &loaded),
            Ok(None) => {}
            Err(error) => unknown = Some(error),
        }
    }
    Err(unknown.unwrap_or(Error::Missing {
        what: What::Server,
        wanted: vm.to_string(),
        pool: only.map_or_else(|| called(pools, asked), |only| only.to_string()),
        there: names(pools, &vm.to_string()).await,
    }))
}

/// The pools that were looked in, for a message.
fn called(pools: &[Whole], asked: Option<&str>) -> String {
    let all = || pools.iter().map(|pool| pool.name()).collect::<Vec<_>>().join(", ");
    asked.map_or_else(all, str::to_owned)
}

fn adopted(fabric: &Fabric, loaded: &Loaded) -> Result<Server, Error> {
    let what = if loaded.vm.is_control_domain {
        "is a control domain"
    } else if loaded.vm.is_a_snapshot {
        "is a snapshot"
    } else if loaded.vm.is_a_template {
        "is a template"
    } else {
        return Ok(view::server(fabric, loaded));
    };
    Err(Error::NotOurs {
        pool: fabric.pool.clone(),
        vm: loaded.name(),
        why: what.to_owned(),
    })
}

/// All servers that pass a filter, sorted by pool, name and UUID.
pub(crate) async fn list(pools: &[Whole], filter: &ListFilter) -> Result<Vec<Server>, Error> {
    let reads = pools.iter().map(|pool| listed(pool, filter));
    let mut found = all_of(join_all(reads).await)?;
    found.retain(|server| filter.pool.as_ref().is_none_or(|asked| server.pool == *asked));
    Ok(found)
}

/// The servers of all pools, sorted.
fn all_of(reads: Vec<Result<Vec<Server>, Error>>) -> Result<Vec<Server>, Error> {
    let found = reads.into_iter().collect::<Result<Vec<_>, Error>>()?;
    let mut found: Vec<Server> = found.into_iter().flatten().collect();
    found.sort_by(|a, b| (&a.pool, &a.name, a.id).cmp(&(&b.pool, &b.name, b.id)));
    Ok(found)
}

/// The servers of one pool that pass a filter: dynvm's own as the inventory has them, others as the pool lists them.
async fn listed(pool: &Whole, filter: &ListFilter) -> Result<Vec<Server>, Error> {
    if filter.managed == Some(true) {
        let see = |inventory: &Inventory| {
            let found = inventory.servers().matching(|vm| passes(filter, vm))?;
            let fabric = inventory.fabric();
            Some(found.iter().map(|loaded| server(pool, fabric, loaded)).collect())
        };
        let member = &pool.member;
        if let Some(servers) = member.live.look(member, Freshness::OwnWrites, see).await? {
            return Ok(servers);
        }
        // Something of a server has not been seen: the pool is asked.
    }
    servers_where(pool, &guests(), |vm| passes(filter, vm)).await
}

/// A server under the name of the section that it is in.
fn server(pool: &Whole, fabric: &Fabric, loaded: &Loaded) -> Server {
    Server {
        pool: pool.name_of(loaded).to_owned(),
        ..view::server(fabric, loaded)
    }
}

/// What is neither template, snapshot nor control domain.
fn guests() -> Filter {
    Filter::is_false("is_a_template")
        .and(Filter::is_false("is_a_snapshot"))
        .and(Filter::is_false("is_control_domain"))
}

fn passes(filter: &ListFilter, vm: &VmRecord) -> bool {
    let by_name = filter
        .name_regex
        .as_ref()
        .is_none_or(|regex| regex.is_match(&vm.name_label));
    let by_state = filter
        .power_state
        .is_none_or(|state| state == view::power_state(&vm.power_state));
    by_name && by_state && filter.tags.is_subset(&vm.tags) && passes_by_marks(filter, vm)
}

fn passes_by_marks(filter: &ListFilter, vm: &VmRecord) -> bool {
    if filter.managed.is_none() && filter.os.is_none() {
        return true;
    }
    let keys = vm
        .other_config
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let marks = VmMarks::read(&vm.uuid, vm.tags.iter().map(String::as_str), keys);
    let managed = marks.is_managed();
    let os = marks.spec().filter(|_| managed).and_then(|spec| spec.os.as_ref());
    filter.managed.is_none_or(|wanted| wanted == managed) && filter.os.as_ref().is_none_or(|wanted| Some(wanted) == os)
}

async fn servers_where(
    pool: &Whole,
    filter: &Filter,
    is_meant: impl Fn(&VmRecord) -> bool + Send + Sync,
) -> Result<Vec<Server>, Error> {
    let fabric = pool.member.fabric().await?;
    let client = pool.member.client()?;
    let mut vms = Vec::new();
    let keep = |vm: Ref<Vm>, record: VmRecord| {
        if is_meant(&record) {
            vms.push((vm, record));
        }
    };
    let listed = client.vm().each_where(filter, LISTING, keep).await;
    listed.map_err(|cause| Error::call("listing VMs", VmName::unknown(), cause))?;
    let loaded = related(client, vms).await?;
    Ok(loaded.iter().map(|loaded| server(pool, &fabric, loaded)).collect())
}

/// The names that there are, for a message; where they cannot be read it goes without.
async fn names(pools: &[Whole], wanted: &str) -> Choices {
    let all = guests();
    let mut names = Vec::new();
    for pool in pools {
        if let Ok(client) = pool.member.client() {
            let keep = |_: Ref<Vm>, record: VmRecord| names.push(record.name_label);
            // Without it the message is shorter, and still true.
            let _ = client.vm().each_where(&all, LISTING, keep).await;
        }
    }
    Choices::new(wanted, names)
}
