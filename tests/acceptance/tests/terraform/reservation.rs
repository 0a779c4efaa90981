//! Reservations: room that is held, drawn from, changed, released, and over in the end.

use acceptance::{Lab, assert_unchanged, under_each_tool};

/// Room for some servers, and some servers in it.
fn module(servers: u32, drawn: u32) -> String {
    format!(
        "resource \"dynvm_capacity\" \"room\" {{\n  servers = {servers}\n  os = \"debian12\"\n  pool = \"lab1\"\n}}\n\
         resource \"dynvm_server\" \"web\" {{\n  count = {drawn}\n  name = \"web-${{count.index}}\"\n  os = \"debian12\"\n  pool = \"lab1\"\n  \
         wait_for_ip = false\n  capacity_id = dynvm_capacity.room.id\n}}\n"
    )
}

/// A lab with little room, and its provider.
fn scarce() -> Lab {
    Lab::changed(|world| {
        let pool = &mut world.pools["lab1"];
        pool.vms.clear();
        for host in pool.hosts.values_mut() {
            host.cpus = 8;
        }
    })
}

#[test]
fn room_is_held_drawn_from_changed_and_released() {
    under_each_tool(|tool| {
        let lab = scarce();
        let before = lab.world();
        let provider = lab.provider().to_string();
        let workspace = lab.workspace(tool, &[]);
        // Two hosts with eight vCPUs: eight servers with two each.
        workspace.main(&[&provider, &module(5, 2)]);
        workspace.apply();
        let state = workspace.state();
        assert_eq!(
            state.values("dynvm_capacity.room")["placements"],
            serde_json::json!({ "lab1": 5 })
        );
        assert_eq!(state.text("dynvm_capacity.room", "status"), "held");
        workspace.refresh();
        assert_eq!(workspace.state().values("dynvm_capacity.room")["used"], 2);
        workspace.expect_empty_plan();

        // Three are free still, and three are held: whoever holds nothing gets three.
        let stranger = lab.workspace(tool, &[]);
        let four = "resource \"dynvm_server\" \"other\" {\n  count = 4\n  name = \"other\"\n  os = \"debian12\"\n  pool = \"lab1\"\n  wait_for_ip = false\n}\n";
        stranger.main(&[&provider, four]);
        stranger.try_apply().expect_code(1).expect_text("No room");
        assert_eq!(stranger.state().addresses().len(), 3);

        // The rest can be drawn, and then no more.
        workspace.main(&[&provider, &module(5, 5)]);
        workspace.apply();
        workspace.refresh();
        assert_eq!(workspace.state().text("dynvm_capacity.room", "status"), "used_up");
        workspace.main(&[&provider, &module(5, 6)]);
        workspace.try_apply().expect_code(1).expect_text("used up");

        // Growing needs room; there is none.
        workspace.main(&[&provider, &module(6, 5)]);
        workspace.try_apply().expect_code(1).expect_text("No room");
        assert_eq!(workspace.state().values("dynvm_capacity.room")["servers"], 5);
        stranger.destroy();
        workspace.apply();
        assert_eq!(workspace.state().values("dynvm_capacity.room")["servers"], 6);
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn one_that_is_over_stays_without_a_difference() {
    under_each_tool(|tool| {
        let lab = scarce();
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&lab.provider().to_string(), &module(2, 0)]);
        workspace.apply();
        lab.control().set_clock_offset("lab1", 2 * 3600).expect("another clock");
        workspace.refresh();
        assert_eq!(workspace.state().text("dynvm_capacity.room", "status"), "expired");
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn one_that_somebody_released_is_made_anew() {
    under_each_tool(|tool| {
        let lab = scarce();
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&lab.provider().to_string(), &module(2, 0)]);
        workspace.apply();
        lab.control()
            .set_pool_other_config("lab1", Default::default())
            .expect("an empty map");
        assert_eq!(workspace.plan().actions("dynvm_capacity.room"), ["create"]);
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn without_the_role_it_says_which() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            let user = sim::world::UserSpec {
                name: "clerk".to_owned(),
                password: "secret".to_owned(),
                role: "vm-power-admin".to_owned(),
            };
            world.pools["lab1"].users.push(user);
        });
        let provider = lab.provider().only("lab1").edit("lab1", |pool| {
            pool.with("username", "\"clerk\"").with("password", "\"secret\"")
        });
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), &module(2, 0)]);
        workspace.try_apply().expect_code(1).expect_text("pool-operator");
        let server =
            "resource \"dynvm_server\" \"web\" {\n  name = \"web\"\n  os = \"debian12\"\n  wait_for_ip = false\n}\n";
        workspace.main(&[&provider.to_string(), server]);
        workspace.apply();
        workspace.destroy();
    });
}

#[test]
fn only_servers_of_its_kind_draw_from_it() {
    under_each_tool(|tool| {
        let lab = scarce();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[]);
        let larger = module(2, 1).replace("  wait_for_ip", "  cpus = 4\n  wait_for_ip");
        workspace.main(&[&lab.provider().to_string(), &larger]);
        workspace.try_apply().expect_code(1).expect_text("another kind");
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
