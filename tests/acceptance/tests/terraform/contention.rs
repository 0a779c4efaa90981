//! Twenty runs that know nothing of each other ask for the last five places: exactly five get one, whatever the limit is, and also when half
//! of them die on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use acceptance::{Lab, ProviderBlock, Reaper, Running, Tool, Workspace, assert_unchanged, under_each_tool};
use serde_json::Value as Json;
use sim::World;

const RUNS: usize = 20;
const LAST: u64 = 5;
const POOL: &str = "lab1";
const LIMIT: Duration = Duration::from_secs(240);
const APPLY: [&str; 4] = ["apply", "-auto-approve", "-input=false", "-no-color"];
/// How far the pool's clock is behind while some die: later than a creation lease, a ticket and the hour for which a birth leftover is spared.
const BEHIND: i64 = 150 * 60;

const SERVER: &str =
    "resource \"dynvm_server\" \"web\" {\n  name = \"web\"\n  os = \"debian12\"\n  wait_for_ip = false\n}\n";
const ROOM: &str = "data \"dynvm_capacity\" \"room\" {\n  os = \"debian12\"\n}\n\
                    output \"available\" {\n  value = data.dynvm_capacity.room.available\n}\n\
                    output \"limited_by\" {\n  value = data.dynvm_capacity.room.pools[0].limited_by\n}\n";

/// A lab of one host in which nothing but one limit matters, and the provider for it.
struct Scarce {
    lab: Lab,
    provider: ProviderBlock,
}

impl Scarce {
    fn of(limit: &str) -> Self {
        let lab = Lab::changed(|world: &mut World| {
            world.pools.retain(|name, _| name == POOL);
            let pool = &mut world.pools[POOL];
            pool.vms.clear();
            pool.hosts.truncate(1);
            for sr in pool.srs.values_mut() {
                sr.unplugged_on.clear();
            }
            let host = &mut pool.hosts[0];
            (host.cpus, host.memory_gib) = match limit {
                "cpu" => (16, 256),
                "memory" => (256, 20),
                _ => (256, 256),
            };
            if limit == "storage" {
                pool.srs["ssd"].size_gib = 260;
            }
        });
        let mut provider = lab.provider().only(POOL);
        if limit == "max_servers" {
            provider = provider.edit(POOL, |pool| pool.with("max_servers", "7"));
        }
        Self { lab, provider }
    }

    fn workspace(&self, tool: &Tool, part: &str) -> Workspace {
        let workspace = self.lab.workspace(tool, &[]);
        workspace.main(&[&self.provider.to_string(), part]);
        workspace
    }

    /// Fills the pool up to the last places; says what limits it.
    fn filled(&self, tool: &Tool) -> (Workspace, String) {
        let look = self.workspace(tool, ROOM);
        look.apply();
        let state = look.state();
        let available = state.output("available").as_u64().expect("a number");
        assert!((LAST + 1..30).contains(&available), "{available} places");
        let filler = SERVER.replace(
            "name = \"web\"",
            &format!("count = {}\n  name = \"filler\"", available - LAST),
        );
        let filler = self.workspace(tool, &filler);
        filler.apply();
        (
            filler,
            state.output("limited_by").as_str().unwrap_or_default().to_owned(),
        )
    }

    fn servers(&self) -> usize {
        self.lab
            .vms()
            .iter()
            .filter(|vm| vm.text("name_label") == "web")
            .count()
    }

    fn unfinished(&self) -> BTreeSet<String> {
        let names = self.lab.vms().into_iter().map(|vm| vm.text("name_label"));
        names.filter(|name| name.starts_with("dynvm-new-")).collect()
    }
}

fn exactly_five(limit: &str) {
    under_each_tool(|tool| {
        let scarce = Scarce::of(limit);
        let before = scarce.lab.world();
        let (filler, limited_by) = scarce.filled(tool);
        assert_eq!(limited_by, limit);
        let all: Vec<Workspace> = (0..RUNS).map(|_| scarce.workspace(tool, SERVER)).collect();
        let running: Vec<Running> = all.iter().map(|workspace| workspace.spawn(&APPLY)).collect();
        let ended: Vec<_> = running.into_iter().map(|running| running.wait(LIMIT)).collect();
        let made = ended.iter().filter(|outcome| outcome.code == Some(0)).count();
        assert_eq!(
            (made, scarce.servers()),
            (5, 5),
            "of {RUNS}, limited by {limit}: {}",
            reasons(&ended)
        );
        for outcome in ended.iter().filter(|outcome| outcome.code != Some(0)) {
            let text = outcome.text();
            assert!(
                text.contains("No room") && text.contains(&format!("limited by {limit}")),
                "{outcome}"
            );
        }
        assert_eq!(scarce.unfinished(), BTreeSet::new());
        for workspace in all.iter().chain([&filler]) {
            workspace.destroy();
        }
        assert_unchanged(&scarce.lab, &before);
    });
}

fn reasons(ended: &[acceptance::Outcome]) -> String {
    let failed = ended
        .iter()
        .filter(|outcome| outcome.code != Some(0))
        .map(acceptance::Outcome::text);
    failed
        .map(|text| text.chars().take(600).collect::<String>())
        .collect::<Vec<_>>()
        .join("\n---\n")
}

#[test]
fn the_last_five_by_memory() {
    exactly_five("memory");
}

#[test]
fn the_last_five_by_cpu() {
    exactly_five("cpu");
}

#[test]
fn the_last_five_by_storage() {
    exactly_five("storage");
}

#[test]
fn the_last_five_by_a_ceiling() {
    exactly_five("max_servers");
}

#[test]
fn the_last_five_when_half_of_those_who_ask_die() {
    under_each_tool(|tool| {
        let scarce = Scarce::of("memory");
        let before = scarce.lab.world();
        scarce
            .lab
            .control()
            .set_clock_offset(POOL, -BEHIND)
            .expect("another clock");
        let (filler, _) = scarce.filled(tool);
        // Of those that die right after their server is complete, its lease is over as well by then.
        let server = SERVER.replace("os = ", "ttl = \"1h\"\n  os = ");
        let all: Vec<Workspace> = (0..RUNS).map(|_| scarce.workspace(tool, &server)).collect();
        let mut running: Vec<Running> = all.iter().map(|workspace| workspace.spawn(&APPLY)).collect();
        scarce.lab.until("some servers are on their way", || {
            scarce.servers() + scarce.unfinished().len() > 1
        });
        let doomed: Vec<Running> = running.drain(..RUNS / 2).collect();
        doomed.iter().for_each(Running::kill);
        let died: Vec<_> = doomed.into_iter().map(|run| run.wait(LIMIT)).collect();
        assert!(
            died.iter().any(|outcome| outcome.code.is_none()),
            "somebody was killed on the way"
        );
        let ended: Vec<_> = running.into_iter().map(|run| run.wait(LIMIT)).collect();
        let made = ended.iter().filter(|outcome| outcome.code == Some(0)).count();
        let before_their_death = died.iter().filter(|outcome| outcome.code == Some(0)).count();
        assert!(made + before_their_death <= 5, "{made} and {before_their_death}");
        assert!(
            scarce.servers() + scarce.unfinished().len() <= 5,
            "never more than there is room for"
        );
        for outcome in ended.iter().filter(|outcome| outcome.code != Some(0)) {
            assert!(outcome.text().contains("No room"), "{outcome}");
        }
        for workspace in all.iter().skip(RUNS / 2).chain([&filler]) {
            workspace.destroy();
        }
        // What the dead have left ends by its time.
        scarce.lab.control().set_clock_offset(POOL, 0).expect("the time of day");
        Reaper::new(&scarce.lab).run_once().expect_success();
        assert_eq!((scarce.servers(), scarce.unfinished()), (0, BTreeSet::new()));
        let look = scarce.workspace(tool, ROOM);
        look.apply();
        assert!(
            look.state().output("available").as_u64() > Some(LAST),
            "their tickets are over as well"
        );
        let vms = |world: &Json| world[POOL]["VM"].as_object().map(serde_json::Map::len);
        assert_eq!(vms(&scarce.lab.world()), vms(&before));
    });
}

#[test]
fn of_twenty_reservations_five_hold() {
    under_each_tool(|tool| {
        let scarce = Scarce::of("memory");
        let before = scarce.lab.world();
        let (filler, _) = scarce.filled(tool);
        let one = "resource \"dynvm_capacity\" \"one\" {\n  servers = 1\n  os = \"debian12\"\n}\n";
        let all: Vec<Workspace> = (0..RUNS).map(|_| scarce.workspace(tool, one)).collect();
        let running: Vec<Running> = all.iter().map(|workspace| workspace.spawn(&APPLY)).collect();
        let ended: Vec<_> = running.into_iter().map(|running| running.wait(LIMIT)).collect();
        let made = ended.iter().filter(|outcome| outcome.code == Some(0)).count();
        assert_eq!(made, 5, "{}", reasons(&ended));
        for outcome in ended.iter().filter(|outcome| outcome.code != Some(0)) {
            assert!(outcome.text().contains("No room"), "{outcome}");
        }
        for workspace in all.iter().chain([&filler]) {
            workspace.destroy();
        }
        assert_unchanged(&scarce.lab, &before);
    });
}
