//! The domain: pools, capacity, placement, and the life of a server as steps that know their undo.
//!
//! [`Fleet`] is the way in. It knows XenAPI and nothing of Terraform; it reads no environment and prints nothing. Contacting
//! a pool is left to the first call that needs it.

mod address;
mod birth_name;
mod capacity;
mod choices;
mod cloud_init;
mod config;
pub mod draft;
pub mod duration;
mod error;
mod fleet;
mod flight;
pub mod ini;
mod inventory;
pub mod lease;
mod lifecycle;
mod list;
mod placement;
mod pool;
pub mod reservation;
mod server;
mod spec;
pub mod ticket;
mod view;

pub use address::{Missed, is_usable};
pub use birth_name::{BIRTH_PREFIX, BirthName};
pub use capacity::{
    Capacity, Ceiling, Fit, HostCapacity, HostRoom, Limit, Need, PoolCapacity, PoolRoom, StorageCapacity, StorageRoom,
};
pub use choices::Choices;
pub use cloud_init::CloudInit;
pub use config::{Duplicates, FleetConfig, NetworkChoice, PoolSettings};
pub use error::{ConnectionField, Error, Subject, VmName, What};
pub use fleet::Fleet;
pub use lifecycle::{
    CreateFailure, DeleteReport, ExtendError, Extended, Extension, Grounds, KeptDisk, Knock, Progress, Recheck,
    Removed, Renewed, Stage, Tcp, UpdateFailure, Updated, extend,
};
pub use placement::{Foresight, Imagined, Obstacle, Outlook, Why};
pub use reservation::{
    ChangeFailure, Reservation, ReservationChanges, ReservationKey, ReservationSpec, ReservationStatus,
};
pub use server::{AddressSource, Lease, Named, PowerState, Server, Timings};
pub use spec::{
    Birth, CapacityQuery, Changes, Family, Image, LabelChoice, ListFilter, Power, Reshape, ServerKey, ServerQuery,
    ServerSpec, WaitPolicy, Wish, Within,
};
pub use xenapi::Uuid;
