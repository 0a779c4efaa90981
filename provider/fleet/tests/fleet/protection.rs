//! High availability: what the pool would start again, and the role that may forbid it.

use std::sync::Arc;

use fleet::{Fleet, Server};
use serde_json::json;
use sim::World;
use sim::world::UserSpec;

use crate::lab::{Lab, spec};

const SETTER: &str = "VM.set_ha_restart_priority";

/// A lab with a template that the pool is to protect.
async fn lab() -> Lab {
    let lab = Lab::small_with(|world: &mut World| {
        world.pools["lab1"].users.push(UserSpec {
            name: "ci".into(),
            password: "ci-secret".into(),
            role: "vm-admin".into(),
        });
    })
    .await;
    let templates = lab.call("VM.get_by_name_label", json!(["tmpl-debian12"])).await;
    lab.call(SETTER, json!([templates[0], "restart"])).await;
    lab
}

async fn enable(lab: &Lab) {
    lab.call("pool.enable_ha", json!([[], {}])).await;
}

/// A process whose user has the least role that suffices.
fn vm_admin(lab: &Lab) -> Arc<Fleet> {
    lab.with_settings(|pools| {
        pools[0].connection.username = "ci".into();
        pools[0].connection.password = "ci-secret".into();
    })
}

async fn create(fleet: &Arc<Fleet>) -> Server {
    let created = fleet.create(spec("web"), Default::default(), &|_| {}).await;
    created.unwrap_or_else(|failure| panic!("{}", failure.error))
}

async fn delete(fleet: &Arc<Fleet>, server: &Server) {
    let limit = std::time::Duration::from_secs(60);
    fleet.delete(&server.key(), limit, Default::default()).await.unwrap();
}

/// Protects a server, as a person would.
async fn protect(lab: &Lab, server: &Server) {
    let vm = lab.vm(server).await;
    lab.call(SETTER, json!([vm, "restart"])).await;
}

fn outcomes(lab: &Lab) -> Vec<String> {
    let set = lab.requests().into_iter().filter(|request| request.method == SETTER);
    set.map(|request| request.outcome).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_start_again_what_is_destroyed() {
    let lab = lab().await;
    enable(&lab).await;
    let before = lab.world();
    let server = lab.create(spec("web")).await.unwrap();
    assert_eq!(lab.vm_record(&server).await["ha_restart_priority"], json!(""));
    protect(&lab, &server).await;
    lab.control.reset_requests();
    lab.delete(&server).await.unwrap();
    let methods: Vec<String> = lab.requests().into_iter().map(|request| request.method).collect();
    let at = |method: &str| methods.iter().position(|is| is == method).unwrap();
    assert!(at(SETTER) < at("VM.hard_shutdown"));
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_it_asks_for_no_other_role() {
    let lab = lab().await;
    let before = lab.world();
    let fleet = vm_admin(&lab);
    let server = create(&fleet).await;
    protect(&lab, &server).await;
    delete(&fleet, &server).await;
    assert!(outcomes(&lab).is_empty(), "a priority is nothing there");
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_change_it_goes_on() {
    let lab = lab().await;
    enable(&lab).await;
    let before = lab.world();
    let fleet = vm_admin(&lab);
    let server = create(&fleet).await;
    delete(&fleet, &server).await;
    assert_eq!(outcomes(&lab), ["RBAC_PERMISSION_DENIED"; 2]);
    assert_eq!(lab.world(), before);
}
