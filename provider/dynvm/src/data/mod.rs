//! The data sources: one server, a list of servers, and what still fits.

mod capacity;
mod columns;
mod server;
mod servers;

use cty::Value;
use engine::diagnostics::Diagnostics;
use plugin::provider::{Context, DataAnswer};

use crate::diagnose;

pub(crate) use capacity::CapacityData;
pub(crate) use server::ServerData;
pub(crate) use servers::ServersData;

/// The answer of a data source, or at once that it was interrupted.
async fn answer(read: impl Future<Output = Result<Value, Diagnostics>>, cx: &Context) -> DataAnswer {
    tokio::select! {
        () = cx.cancel.cancelled() => DataAnswer::failed(diagnose::interrupted("reading a data source")),
        read = read => match read {
            Ok(state) => DataAnswer::found(state),
            Err(diagnostics) => DataAnswer::failed(diagnostics),
        },
    }
}
