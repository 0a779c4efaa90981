//! A faithful, stateful XenAPI simulator.
//!
//! [`Simulator::start`] turns a [`World`] into listening pools; [`Control`] looks at them, breaks them and moves their clock.

pub mod control;
mod rbac;
mod simulator;
pub mod world;

pub use control::{
    Control, ControlError, EventCounters, FaultKind, FaultRule, HoldPoint, PoolAddress,
    RequestRecord, SrOperation, StringMap, VmInstants,
};
pub use simulator::{ClockMode, Options, Simulator, StartError};
pub use world::{World, WorldError};
