//! The functions of the provider. They compute, and ask no pool.

mod inventory;
mod parse_ttl;

use std::sync::Arc;

use plugin::provider::Function;

use self::inventory::Inventory;
use self::parse_ttl::ParseTtl;

/// All of them, by name.
pub(crate) fn all() -> Vec<Arc<dyn Function>> {
    vec![Arc::new(Inventory::new()), Arc::new(ParseTtl::new())]
}
