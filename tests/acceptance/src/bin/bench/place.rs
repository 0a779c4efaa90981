//! Where everything is measured: one pool in which a thousand VMs of others run, or four pools with two SRs each; and modules that ask for
//! servers there.

use std::time::Duration;

use acceptance::{Lab, Tool, Workspace, standard_world};
use sim::world::{PoolSpec, SrSpec, TemplateSpec, VmSpec};

/// VMs in the pool that belong to somebody else.
pub(crate) const FOREIGN: u32 = 1_000;
/// The pool of the built-in lab that is measured.
pub(crate) const POOL: &str = "lab1";
/// The template of all servers: its guest has an address as soon as its agent speaks.
pub(crate) const OS: &str = "debian12";
/// Pools of the wide lab.
pub(crate) const POOLS: usize = 4;
/// In each pool of the wide lab: an SR, and the only `os` whose template lies on it.
pub(crate) const SRS: [(&str, &str); 2] = [("ssd", "debian12"), ("ssd-2", "debian12-b")];
/// Longer than the longest command.
const LIMIT: Duration = Duration::from_secs(400);
/// What modules for the provider that does nothing begin with.
const IDLE: &str = "terraform {\n  required_providers {\n    idle = { source = \"dynvm/idle\" }\n  }\n}\n";

/// The terraform under which everything is measured.
#[derive(Debug)]
pub(crate) struct Place {
    tool: Tool,
    lists: bool,
}

impl Place {
    /// The first terraform (or tofu) on the PATH.
    pub(crate) fn new(lists: bool) -> Self {
        let tool = Tool::first();
        Self { tool, lists }
    }

    /// Whether requests are to be listed.
    pub(crate) fn lists(&self) -> bool {
        self.lists
    }

    /// Its name.
    pub(crate) fn tool(&self) -> &'static str {
        self.tool.name
    }

    /// A pool over TLS with two hosts big enough for everything, one SR with the template, and the foreign VMs.
    pub(crate) fn lab(&self, time_scale: f64) -> Lab {
        self.lab_of(time_scale, [("somebody-elses", plain(FOREIGN))])
    }

    /// The same with other VMs in it.
    pub(crate) fn lab_of<const N: usize>(&self, time_scale: f64, vms: [(&str, VmSpec); N]) -> Lab {
        let mut world = standard_world();
        world.time_scale = time_scale;
        world.pools.retain(|name, _| name == POOL);
        for pool in world.pools.values_mut() {
            widen(pool);
            let vms = vms.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone()));
            pool.vms.extend(vms);
        }
        Lab::of(world)
    }

    /// Four such pools, of which each has a second SR with a template of its own; nobody else's VMs.
    pub(crate) fn wide_lab(&self, time_scale: f64) -> Lab {
        let mut world = standard_world();
        world.time_scale = time_scale;
        let mut pool = world.pools.get(POOL).cloned().unwrap_or_default();
        widen(&mut pool);
        pool.vms.clear();
        let [(first, os), (second, _)] = SRS;
        let sr = pool.srs.get(first).cloned().unwrap_or_default();
        pool.srs.insert(second.to_owned(), SrSpec { default: false, ..sr });
        let template = pool.templates.get(&format!("tmpl-{os}")).cloned().unwrap_or_default();
        let on = |sr: &str| TemplateSpec {
            sr: Some(sr.to_owned()),
            ..template.clone()
        };
        pool.templates = SRS.iter().map(|(sr, os)| (format!("tmpl-{os}"), on(sr))).collect();
        let numbered = |number| (format!("lab{number}"), pool.clone());
        world.pools = (1..=POOLS).map(numbered).collect();
        Lab::of(world)
    }

    /// A module with so many servers in a lab.
    pub(crate) fn servers(&self, lab: &Lab, count: u32) -> Workspace {
        let servers = resource("dynvm_server", count, &format!("{OS:?}"));
        lab.workspace(&self.tool, &[&servers])
    }

    /// A module with so many servers in a wide lab, every second one of each `os`. The provider is installed and the state on the network.
    pub(crate) fn servers_of_a_team(&self, lab: &Lab, count: u32) -> Workspace {
        let workspace = Workspace::installed(&self.tool).with_remote_state();
        let provider = lab.provider().to_string();
        workspace.main(&[&provider, &resource("dynvm_server", count, &alternating())]);
        workspace.init();
        workspace
    }

    /// A module with so many servers of the provider that does nothing.
    pub(crate) fn idle_servers(&self, count: u32) -> Workspace {
        let workspace = Workspace::idle(&self.tool);
        workspace.write(
            "main.tf",
            &format!("{IDLE}\n{}", resource("idle_server", count, &format!("{OS:?}"))),
        );
        workspace
    }

    /// The same, installed and with the state on the network.
    pub(crate) fn idle_servers_of_a_team(&self, count: u32) -> Workspace {
        let workspace = Workspace::idle_installed(&self.tool).with_remote_state();
        workspace.write(
            "main.tf",
            &format!("{IDLE}\n{}", resource("idle_server", count, &alternating())),
        );
        workspace.init();
        workspace
    }

    /// A module with nothing in it.
    pub(crate) fn nothing(&self) -> Workspace {
        let workspace = Workspace::new(&self.tool);
        workspace.write("main.tf", "");
        workspace
    }
}

/// Over TLS, with hosts and SRs that nothing fills.
fn widen(pool: &mut PoolSpec) {
    pool.tls = true;
    for host in pool.hosts.values_mut() {
        host.cpus = 2_048;
        host.memory_gib = 8_192;
    }
    for sr in pool.srs.values_mut() {
        sr.size_gib = 400_000;
    }
}

fn resource(kind: &str, count: u32, os: &str) -> String {
    format!(
        "resource \"{kind}\" \"bench\" {{\n  count = {count}\n  name  = \"bench-${{count.index}}\"\n  os    = {os}\n  ttl   = \"1h\"\n}}\n"
    )
}

/// An expression that is each `os` of the wide lab by turns.
fn alternating() -> String {
    let [(_, first), (_, second)] = SRS;
    format!("count.index % 2 == 0 ? {first:?} : {second:?}")
}

/// So many small running VMs, each with one disk.
pub(crate) fn plain(count: u32) -> VmSpec {
    VmSpec {
        count,
        template: format!("tmpl-{OS}"),
        cpus: Some(1),
        memory_mib: Some(512),
        ..VmSpec::default()
    }
}

/// Creates all servers of a module with so many at a time, and says how long terraform took.
pub(crate) fn create_all(workspace: &Workspace, at_a_time: u32) -> Duration {
    let parallelism = format!("-parallelism={at_a_time}");
    let arguments = ["apply", "-auto-approve", "-input=false", "-no-color", &parallelism];
    workspace.spawn(&arguments).wait(LIMIT).expect_success().took
}
