//! Where everything is measured: one pool in which a thousand VMs of others run, and modules that ask it for servers.

use std::time::Duration;

use acceptance::{Lab, Tool, Workspace, standard_world};
use sim::World;
use sim::world::VmSpec;

/// VMs in the pool that belong to somebody else.
pub(crate) const FOREIGN: u32 = 1_000;
/// The pool of the built-in lab that is measured.
pub(crate) const POOL: &str = "lab1";
/// The template of all servers: its guest has an address as soon as its agent speaks.
const OS: &str = "debian12";
/// Longer than the longest command.
const LIMIT: Duration = Duration::from_secs(400);

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
        let mut world = World {
            time_scale,
            ..standard_world()
        };
        world.pools.retain(|name, _| name == POOL);
        for pool in world.pools.values_mut() {
            pool.tls = true;
            for host in pool.hosts.values_mut() {
                host.cpus = 2_048;
                host.memory_gib = 8_192;
            }
            for sr in pool.srs.values_mut() {
                sr.size_gib = 400_000;
            }
            let vms = vms.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone()));
            pool.vms.extend(vms);
        }
        Lab::of(world)
    }

    /// A module with so many servers in a lab.
    pub(crate) fn servers(&self, lab: &Lab, count: u32) -> Workspace {
        let servers = format!(
            "resource \"dynvm_server\" \"bench\" {{\n  count = {count}\n  name  = \"bench-${{count.index}}\"\n  os    = \"{OS}\"\n  ttl   = \"1h\"\n}}\n"
        );
        lab.workspace(&self.tool, &[&servers])
    }

    /// A module with nothing in it.
    pub(crate) fn nothing(&self) -> Workspace {
        let workspace = Workspace::new(&self.tool);
        workspace.write("main.tf", "");
        workspace
    }
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
