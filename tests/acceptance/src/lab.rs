//! A simulator that runs beside the test, and a look at what is in its pools.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sim::{Control, Options, PoolAddress, RequestRecord, Simulator, World};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::module::{PoolBlock, ProviderBlock};
use crate::tool::Tool;
use crate::wiretap::Wiretap;
use crate::workspace::Workspace;

/// A create takes a quarter of a second, and the order of things is still that of a real pool.
const TIME_SCALE: f64 = 40.0;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a simulator may take to end.
const END: Duration = Duration::from_secs(5);

/// A running simulator.
#[derive(Debug)]
pub struct Lab {
    world: World,
    control: Control,
    forgotten: Cell<u64>,
    simulator: Option<Simulator>,
    runtime: Runtime,
}

/// A VM as its pool shows it.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The pool.
    pub pool: String,
    /// The opaque reference.
    pub reference: String,
    /// All fields.
    pub record: Json,
}

/// The built-in lab, at the speed of tests.
#[must_use]
pub fn standard_world() -> World {
    World {
        time_scale: TIME_SCALE,
        ..World::default_lab()
    }
}

/// The ticket that an entry of a pool's `other_config` shows to be released or over.
fn ended_ticket(key: &str, value: &Json) -> Option<String> {
    let released = key.strip_suffix(".released");
    let ticket = released.unwrap_or(key).strip_prefix("dynvm:ticket.")?;
    let ticket_of = || serde_json::from_str::<Json>(value.as_str()?).ok();
    let until = ticket_of().and_then(|ticket| ticket["until"].as_str()?.parse::<Timestamp>().ok());
    let is_over = released.is_some() || until.is_some_and(|until| until <= Timestamp::now());
    is_over.then(|| format!("dynvm:ticket.{ticket}"))
}

impl Lab {
    /// The built-in lab: two pools, five hosts, five operating systems, over plain HTTP.
    #[must_use]
    pub fn standard() -> Self {
        Self::of(standard_world())
    }

    /// The built-in lab after a change.
    #[must_use]
    pub fn changed(change: impl FnOnce(&mut World)) -> Self {
        let mut world = standard_world();
        change(&mut world);
        Self::of(world)
    }

    /// The built-in lab over TLS, each host with a certificate of its own.
    #[must_use]
    pub fn with_tls() -> Self {
        Self::changed(|world| world.pools.values_mut().for_each(|pool| pool.tls = true))
    }

    /// A lab from a world file's text.
    #[must_use]
    pub fn from_hcl(text: &str) -> Self {
        Self::of(World::from_hcl(text).expect("a world"))
    }

    /// Any world.
    #[must_use]
    pub fn of(world: World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let simulator = runtime
            .block_on(Simulator::start(world.clone(), Options::default()))
            .expect("a simulator");
        Self {
            world,
            control: simulator.control(),
            forgotten: Cell::new(0),
            simulator: Some(simulator),
            runtime,
        }
    }

    /// The simulator's own door.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Waits for a future of the control API.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// All objects of all pools, without tickets that are released or over: the highest stays, as the next one is counted from it, and
    /// others are cleared when somebody comes by.
    #[must_use]
    pub fn world(&self) -> Json {
        let mut world = self.control.world();
        let pools = world.as_object_mut().into_iter().flat_map(|pools| pools.values_mut());
        let records = pools.filter_map(|pool| pool.get_mut("pool")?.as_object_mut());
        for record in records.flat_map(|records| records.values_mut()) {
            if let Some(map) = record.get_mut("other_config").and_then(Json::as_object_mut) {
                let ended: BTreeSet<String> = map.iter().filter_map(|(key, value)| ended_ticket(key, value)).collect();
                map.retain(|key, _| !ended.contains(key.strip_suffix(".released").unwrap_or(key)));
            }
        }
        world
    }

    /// Where a pool is.
    #[must_use]
    pub fn pool(&self, name: &str) -> PoolAddress {
        let mut pools = self.control.pools().into_iter();
        pools
            .find(|pool| pool.name == name)
            .unwrap_or_else(|| panic!("the lab has no pool {name}"))
    }

    /// The provider's configuration for all pools, with an alias `x` for each template `tmpl-x`.
    #[must_use]
    pub fn provider(&self) -> ProviderBlock {
        let mut block = ProviderBlock::default();
        for address in self.control.pools() {
            let templates = self.world.pools.get(&address.name).map(|pool| &pool.templates);
            let aliases = templates
                .into_iter()
                .flatten()
                .filter_map(|(name, _)| name.strip_prefix("tmpl-"));
            let pool = PoolBlock::of(&address).with_aliases(aliases);
            block = block.with_pool(&address.name, pool);
        }
        block
    }

    /// Listens to all that is said to the coordinator of a pool without TLS.
    #[must_use]
    pub fn wiretap(&self, pool: &str) -> Wiretap {
        Wiretap::start(self.runtime.handle(), &self.pool(pool).url)
    }

    /// A module with this provider and these parts.
    #[must_use]
    pub fn workspace(&self, tool: &Tool, parts: &[&str]) -> Workspace {
        let workspace = Workspace::new(tool);
        let provider = self.provider().to_string();
        let all: Vec<&str> = std::iter::once(provider.as_str())
            .chain(parts.iter().copied())
            .collect();
        workspace.main(&all);
        workspace
    }

    /// Calls a method as the superuser.
    #[track_caller]
    pub fn call(&self, pool: &str, method: &str, params: Json) -> Json {
        let list = params.as_array().cloned().unwrap_or_default();
        self.runtime
            .block_on(self.control.call(pool, method, list))
            .unwrap_or_else(|failure| panic!("{method}{params} in {pool}: {failure:?}"))
    }

    /// All objects of a class in a pool, by reference.
    #[track_caller]
    #[must_use]
    pub fn records(&self, pool: &str, class: &str) -> BTreeMap<String, Json> {
        let all = self.call(pool, &format!("{class}.get_all_records"), json!([]));
        all.as_object()
            .into_iter()
            .flatten()
            .map(|(reference, record)| (reference.clone(), record.clone()))
            .collect()
    }

    /// The only object of a class with this name.
    #[track_caller]
    #[must_use]
    pub fn named(&self, pool: &str, class: &str, name: &str) -> (String, Json) {
        let mut found = self.records(pool, class).into_iter();
        found
            .find(|(_, record)| record["name_label"] == name)
            .unwrap_or_else(|| panic!("no {class} {name} in {pool}"))
    }

    /// All VMs of all pools, foreign ones too; templates, snapshots and control domains left out.
    #[track_caller]
    #[must_use]
    pub fn vms(&self) -> Vec<Vm> {
        self.all_vms()
            .into_iter()
            .filter(|vm| {
                ["is_a_template", "is_a_snapshot", "is_control_domain"]
                    .iter()
                    .all(|field| vm.record[field] == false)
            })
            .collect()
    }

    /// All rows of the class VM in all pools: templates, snapshots and control domains too, and clones that are being born.
    #[track_caller]
    #[must_use]
    pub fn all_vms(&self) -> Vec<Vm> {
        let pools: Vec<String> = self.control.pools().into_iter().map(|pool| pool.name).collect();
        pools
            .iter()
            .flat_map(|pool| {
                self.records(pool, "VM").into_iter().map(|(reference, record)| Vm {
                    pool: pool.clone(),
                    reference,
                    record,
                })
            })
            .collect()
    }

    /// The VM with this UUID, whatever it is.
    #[track_caller]
    #[must_use]
    pub fn vm(&self, uuid: &str) -> Vm {
        let mut all = self.all_vms().into_iter();
        all.find(|vm| vm.record["uuid"] == uuid)
            .unwrap_or_else(|| panic!("no VM {uuid}"))
    }

    /// Whether there is a VM with this UUID.
    #[track_caller]
    #[must_use]
    pub fn has_vm(&self, uuid: &str) -> bool {
        self.all_vms().iter().any(|vm| vm.record["uuid"] == uuid)
    }

    /// Counts requests from here on. A long-poll that its caller has left may still be under way and is not counted.
    pub fn forget_requests(&self) {
        self.control.reset_requests();
        self.forgotten.set(self.control.request_index());
    }

    /// The requests since [`Lab::forget_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        let forgotten = self.forgotten.get();
        let mut requests = self.control.requests();
        requests.retain(|request| request.index > forgotten);
        requests
    }

    /// The methods that were called since [`Lab::forget_requests`], each as often as it was.
    #[must_use]
    pub fn methods(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in self.requests() {
            *counts.entry(request.method).or_insert(0) += 1;
        }
        counts
    }

    /// Whether a condition comes true within this time.
    pub fn settles(&self, limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
        let _inside = self.runtime.enter();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let started = std::time::Instant::now();
        loop {
            if is_so() {
                return true;
            }
            if started.elapsed() > limit {
                return false;
            }
            self.runtime.block_on(looks.tick());
        }
    }

    /// Waits for a condition of the pools, and fails when it does not come true.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        let limit = Duration::from_secs(30);
        assert!(self.settles(limit, is_so), "not within {limit:?}: {what}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(simulator) = self.simulator.take() {
            // A simulator that does not end in time goes with its runtime.
            let _ended = self
                .runtime
                .block_on(async { timeout(END, simulator.shutdown()).await });
        }
    }
}

impl Vm {
    /// The UUID.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.text("uuid")
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, field: &str) -> String {
        self.record[field].as_str().unwrap_or_default().to_owned()
    }

    /// The tags.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<String> {
        let tags = self.record["tags"].as_array().into_iter().flatten();
        tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    }

    /// The `other_config`.
    #[must_use]
    pub fn other_config(&self) -> BTreeMap<String, String> {
        let pairs = self.record["other_config"].as_object().into_iter().flatten();
        pairs
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// The references in a field.
    #[must_use]
    pub fn references(&self, field: &str) -> Vec<String> {
        let items = self.record[field].as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }
}
