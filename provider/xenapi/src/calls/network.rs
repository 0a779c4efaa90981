//! Calls on the network interfaces of VMs.

use std::time::Duration;

use super::Objects;
use crate::error::Error;
use crate::record::{Network, TextMap, Vif, Vm};
use crate::reference::Ref;
use crate::transport::Repeat;
use crate::wire::Value;

/// What a new network interface is to be.
#[derive(Clone, Debug)]
pub struct NewVif {
    /// The VM.
    pub vm: Ref<Vm>,
    /// The network.
    pub network: Ref<Network>,
    /// Device number as text.
    pub device: String,
    /// MAC address; empty lets the pool derive a stable one.
    pub mac: String,
    /// Largest packet in bytes.
    pub mtu: i64,
    /// Marks.
    pub other_config: TextMap,
}

impl Objects<'_, Vif> {
    /// Adds an interface to a VM's record.
    ///
    /// # Errors
    /// `is_invalid_value` if the device is taken or the MAC address malformed.
    pub async fn create(self, new: &NewVif) -> Result<Ref<Vif>, Error> {
        let method = "VIF.create";
        let members = [
            ("device", Value::text(&new.device)),
            ("network", Value::text(new.network.as_str())),
            ("VM", Value::text(new.vm.as_str())),
            ("MAC", Value::text(&new.mac)),
            ("MTU", Value::Int(new.mtu)),
            ("other_config", Value::map(&new.other_config)),
            ("qos_algorithm_type", Value::text("")),
            ("qos_algorithm_params", Value::Struct(Vec::new())),
        ];
        let record = Value::Struct(members.map(|(name, value)| (name.to_owned(), value)).to_vec());
        let value = self
            .pool
            .value(
                method,
                Some(new.vm.as_str()),
                vec![record],
                self.pool.quick(),
                Repeat::Once,
            )
            .await?;
        self.made(method, new.vm.as_str(), value)
    }

    /// Removes an interface from a VM's record.
    ///
    /// # Errors
    /// `is_gone_object` if it is gone already; not allowed while attached to a running VM.
    pub async fn destroy(self, vif: &Ref<Vif>) -> Result<(), Error> {
        self.set("VIF.destroy", vif, Vec::new()).await
    }

    /// Moves an interface to another network; the MAC address stays.
    ///
    /// # Errors
    /// The call failed.
    pub async fn move_to(self, vif: &Ref<Vif>, network: &Ref<Network>) -> Result<(), Error> {
        self.set("VIF.move", vif, vec![Value::text(network.as_str())]).await
    }

    /// Detaches an interface from a running VM.
    ///
    /// # Errors
    /// The call failed.
    pub async fn unplug(self, vif: &Ref<Vif>, limit: Duration) -> Result<(), Error> {
        self.act("VIF.unplug", vif, Vec::new(), limit, Repeat::Idempotent).await
    }
}
