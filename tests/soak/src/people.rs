//! What people do beside dynvm, with their own tools.

use std::time::Duration;

use anyhow::{Context as _, Result};
use fleet::Extension;
use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use crate::pipeline::Owned;
use crate::process::connection;
use crate::turn::Act;
use crate::world::{Lab, PERSONAL};

/// How long a lease must last still for a person to put something on its server: a promise to one that is being reaped is none.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// By how much a person extends a lease.
const MORE: Duration = Duration::from_secs(15 * 60);

/// A person does something. What cannot be done is no harm.
pub(crate) async fn act(lab: &Lab, beside: &str, server: Option<&Owned>, act: Act) {
    let done = match (act, server) {
        (Act::MakeOwn, _) => make_own(lab).await,
        (_, Some(server)) => with_server(lab, server, act).await,
        (_, None) => return,
    };
    let who = format!("a person beside {beside}");
    match done {
        Ok(()) => {
            lab.diary.count("acts of people");
            lab.note(&who, &format!("{act:?} {:?}", server.map(|server| server.key.vm)));
        }
        Err(error) => lab.note(&who, &format!("{act:?}: {error:#}")),
    }
}

async fn make_own(lab: &Lab) -> Result<()> {
    let pool = "lab2";
    let templates = lab.call(pool, "VM.get_by_name_label", json!(["tmpl-debian12"])).await?;
    let template = templates.get(0).context("the template")?;
    let name = format!("{PERSONAL} own");
    let vm = lab.call(pool, "VM.clone", json!([template, name])).await?;
    lab.call(pool, "VM.set_is_a_template", json!([vm, false])).await?;
    let uuid = lab.call(pool, "VM.get_uuid", json!([vm])).await?;
    lab.adopt(uuid.as_str().context("a UUID")?);
    Ok(())
}

async fn with_server(lab: &Lab, server: &Owned, act: Act) -> Result<()> {
    let (pool, vm) = (server.key.pool.as_str(), server.key.vm);
    let uuid = vm.to_string();
    let reference = lab.vm(pool, vm).await?;
    let is_promised = lab.promises.until(vm).is_some_and(|until| until > lab.now() + MARGIN);
    match act {
        Act::Destroy => lab.destroy_by_hand(vm)?,
        Act::AttachDisk => {
            let disk = lab.control.attach_disk(&uuid, &format!("{PERSONAL} data"), 1).await?;
            lab.adopt_disk(&disk, vm);
        }
        Act::Keep if is_promised => {
            lab.call(pool, "VM.add_tags", json!([reference, "dynvm:keep"])).await?;
            lab.promises.keep(vm);
        }
        Act::Unkeep => {
            lab.promises.unkeep(vm);
            lab.call(pool, "VM.remove_tags", json!([reference, "dynvm:keep"]))
                .await?;
        }
        Act::Extend => extend(lab, server, &reference).await?,
        Act::Snapshot => {
            let snapshot = lab.control.snapshot_vm(&uuid, "before the upgrade").await?;
            lab.note(&uuid, &format!("has the snapshot {snapshot}"));
        }
        Act::CopyHalted => {
            let copy = lab.control.clone_vm(&uuid, &format!("{PERSONAL} copy")).await?;
            lab.adopt(&copy);
        }
        Act::Move(host) => {
            let hosts = lab.call(pool, "host.get_by_name_label", json!([host])).await?;
            let host = hosts.get(0).context("no such host here")?;
            let options = json!({ "live": "true" });
            lab.call(pool, "VM.pool_migrate", json!([reference, host, options]))
                .await?;
        }
        Act::SwitchOff => lab.control.set_power_state(&uuid, "Halted")?,
        Act::Keep | Act::MakeOwn => {}
    }
    Ok(())
}

/// Extends a lease as `dynvm-reaper extend` does, through the weather.
async fn extend(lab: &Lab, server: &Owned, reference: &Json) -> Result<()> {
    let pool = lab.addresses.iter().find(|pool| pool.name == server.key.pool);
    let client = xenapi::Pool::new(connection(pool.context("its pool")?, "dynvm-reaper/extend")?)?;
    let reference = xenapi::Ref::new(reference.as_str().context("a reference")?);
    let by = Extension::By(MORE);
    let extended = fleet::extend(&client, &reference, by, lab.now(), "a person".to_owned()).await;
    client.logout(Duration::from_millis(1500)).await;
    lab.promises.acknowledge(server.key.vm, extended?.until);
    Ok(())
}
