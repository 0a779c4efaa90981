//! Names of classes, and references to objects.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! classes {
    ($($variant:ident = $name:literal,)*) => {
        /// A class of the data model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Cls { $($variant,)* }

        impl Cls {
            /// Every class, in the order of the variants.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as it travels.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

classes! {
    Session = "session",
    Task = "task",
    Event = "event",
    Pool = "pool",
    Vm = "VM",
    VmMetrics = "VM_metrics",
    VmGuestMetrics = "VM_guest_metrics",
    VmAppliance = "VM_appliance",
    Host = "host",
    HostMetrics = "host_metrics",
    HostCpu = "host_cpu",
    Network = "network",
    Vif = "VIF",
    VifMetrics = "VIF_metrics",
    Pif = "PIF",
    PifMetrics = "PIF_metrics",
    Sm = "SM",
    Sr = "SR",
    Vdi = "VDI",
    Vbd = "VBD",
    VbdMetrics = "VBD_metrics",
    Pbd = "PBD",
    Console = "console",
    Blob = "blob",
    Message = "message",
}

/// A reference: `OpaqueRef:` and a UUID of its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ref(Arc<str>);

impl Ref {
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    pub(crate) fn from_arc(text: Arc<str>) -> Self {
        Self(text)
    }

    pub(crate) fn null() -> Self {
        Self::new("OpaqueRef:NULL")
    }

    /// Null in any of the spellings seen in the wild.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&*self.0, "OpaqueRef:NULL" | "" | "Ref:NULL" | "NULL")
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_arc(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl Borrow<str> for Ref {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
