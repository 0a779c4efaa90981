//! The fourth phase: no template any more, its shape, its NIC; then its real name. Only what differs is written, all at once.

use std::collections::BTreeMap;

use xenapi::{Network, NewVif, Ref, Template, Vif, VifRecord};

use super::plan::Plan;
use super::protection::unprotect;
use super::size::{Resized, Size};
use super::{Made, Stage, call, refused};
use crate::error::{Error, Subject, VmName};
use crate::pool::Loaded;
use crate::view;

/// The MTU of a NIC that nothing else is known of.
const MTU: i64 = 1500;

/// A NIC that was moved, replaced or made.
pub(super) struct Nic {
    replaced: Option<Ref<Vif>>,
    vif: Ref<Vif>,
    record: VifRecord,
}

/// Makes the clone what was asked for; names the NIC, if that is another now.
pub(super) async fn configure(plan: &Plan, made: &Made) -> Result<Option<Nic>, Error> {
    let Some(loaded) = &made.loaded else {
        return Err(Error::Gone {
            pool: plan.pool().to_owned(),
            vm: VmName::unknown(),
        });
    };
    let name = loaded.name();
    let client = plan.member.client()?;
    let vm = &made.reference;
    let is = Size::of(&loaded.vm);
    let resized = Resized {
        client,
        pool: plan.pool(),
        vm,
        name: &name,
    };
    let steps = async {
        tokio::try_join!(
            async {
                client
                    .vm()
                    .set_is_a_template(vm, Template::No)
                    .await
                    .map_err(call("making the clone a VM", &name))
            },
            resized.resize(is, is.with(plan.spec.cpus, plan.spec.memory_mib)),
            nic(plan, made, loaded, &name),
            // A throw-away server that the pool starts again by itself could not be destroyed.
            unprotect(client, vm, &loaded.vm, &name),
        )
    };
    let ((), (), nic, ()) = plan
        .bounds
        .hold(steps, || plan.late(Stage::Configure, loaded.name()))
        .await?;
    Ok(nic)
}

/// Gives the server its real name: the last that still said that it is being born.
pub(super) async fn rename(plan: &Plan, made: &Made) -> Result<(), Error> {
    let name = made.name();
    let named = async {
        let named = plan
            .member
            .client()?
            .vm()
            .set_name_label(&made.reference, &plan.spec.name)
            .await;
        named.map_err(call("naming the server", &name))
    };
    plan.bounds
        .hold(named, || plan.late(Stage::Configure, name.clone()))
        .await
}

impl Nic {
    /// Puts it in its place among the records.
    pub(super) fn put(self, loaded: &mut Loaded) {
        loaded
            .vifs
            .retain(|(vif, _)| Some(vif) != self.replaced.as_ref() && *vif != self.vif);
        loaded.vifs.push((self.vif, self.record));
    }
}

/// Puts the primary NIC on the network, and gives it the MAC address.
async fn nic(plan: &Plan, made: &Made, loaded: &Loaded, name: &VmName) -> Result<Option<Nic>, Error> {
    let primary = view::primary_vif(loaded);
    let present = primary.and_then(|primary| loaded.vifs.iter().find(|(_, vif)| vif == primary));
    let own = present.map(|(_, vif)| vif.network.clone());
    let Some(network) = plan.network.clone().or(own) else {
        return Ok(None);
    };
    let Some((vif, record)) = present else {
        return new_nic(plan, made, network, name).await.map(Some);
    };
    match plan.spec.mac_address.as_deref() {
        Some(mac) if !record.mac.eq_ignore_ascii_case(mac) => {
            replaced_nic(plan, made, (vif, record), network, mac, name)
                .await
                .map(Some)
        }
        Some(_) | None if record.network == network => Ok(None),
        Some(_) | None => {
            let moved = plan.member.client()?.vif().move_to(vif, &network).await;
            moved.map_err(call("connecting the NIC", name))?;
            let record = VifRecord {
                network,
                ..record.clone()
            };
            Ok(Some(Nic {
                replaced: None,
                vif: vif.clone(),
                record,
            }))
        }
    }
}

/// A MAC address is fixed at a NIC's birth: another one takes another NIC.
async fn replaced_nic(
    plan: &Plan,
    made: &Made,
    (old, record): (&Ref<Vif>, &VifRecord),
    network: Ref<Network>,
    mac: &str,
    name: &VmName,
) -> Result<Nic, Error> {
    let client = plan.member.client()?;
    client
        .vif()
        .destroy(old)
        .await
        .map_err(call("replacing the NIC", name))?;
    let new = NewVif {
        vm: made.reference.clone(),
        network: network.clone(),
        device: record.device.clone(),
        mac: mac.to_owned(),
        mtu: record.mtu,
        other_config: record.other_config.clone(),
    };
    let what = format!("the MAC address {mac:?} cannot be used");
    let created = client.vif().create(&new).await;
    let vif = created.map_err(|cause| refused(plan.pool(), Subject::MacAddress, what, name, cause))?;
    let record = VifRecord {
        network,
        mac: mac.to_owned(),
        ..record.clone()
    };
    Ok(Nic {
        replaced: Some(old.clone()),
        vif,
        record,
    })
}

/// A template without a NIC makes servers with one.
async fn new_nic(plan: &Plan, made: &Made, network: Ref<Network>, name: &VmName) -> Result<Nic, Error> {
    let client = plan.member.client()?;
    let new = NewVif {
        vm: made.reference.clone(),
        network,
        device: "0".to_owned(),
        mac: plan.spec.mac_address.clone().unwrap_or_default(),
        mtu: MTU,
        other_config: BTreeMap::new(),
    };
    let created = client.vif().create(&new).await;
    let vif = created.map_err(|cause| {
        refused(
            plan.pool(),
            Subject::MacAddress,
            "a NIC cannot be made".to_owned(),
            name,
            cause,
        )
    })?;
    let record = client.vif().record(&vif).await.map_err(call("reading the NIC", name))?;
    Ok(Nic {
        replaced: None,
        vif,
        record,
    })
}
