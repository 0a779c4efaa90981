//! A faithful, stateful XenAPI simulator.
//!
//! [`Simulator::start`] turns a [`World`] into listening pools; [`Control`] looks at them, breaks them and moves their clock.
//!
//! ```text
//! server --request--> rpc --call--> class/* --rows--> db --generations--> class/event
//!                                      |
//!                    ops (who excludes whom), clock (how long), guest (what the VM inside does)
//! ```

mod class;
mod clock;
mod context;
pub mod control;
mod db;
mod failure;
mod guest;
mod operations;
mod ops;
mod pool;
mod random;
mod rbac;
mod rpc;
mod schema;
mod server;
mod session;
mod simulator;
mod tls;
mod toolstack;
mod value;
mod wire;
pub mod world;

pub use control::{
    Control, ControlError, EventCounters, FaultKind, FaultRule, HoldPoint, PoolAddress, RequestRecord, SrOperation,
    StringMap, VmInstants,
};
pub use simulator::{ClockMode, Options, Simulator, StartError};
pub use world::{World, WorldError};
