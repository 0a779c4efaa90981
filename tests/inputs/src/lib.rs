//! Everything that reads what others wrote, as functions that take any bytes: what a pool answers, what Terraform sends, what people write.
//!
//! ```text
//!   tests/fuzz     libFuzzer, for minutes and hours   ──┐
//!                                                       ├──> TARGETS: bytes in, nothing out
//!   tests/bounded  the corpora, and seeded mutations  ──┘
//!                  of them, with every `make test`
//! ```
//! A target asserts what holds for all bytes: it ends and does not panic, however wrong they are; what was accepted comes back the same when
//! it is written and read again; and where there are two ways to the same result, they agree.

mod configuration;
mod durations;
mod lines;
mod marks;
pub mod mutation;
mod values;
mod wire;

/// One reader and the bytes for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its corpus and of its fuzz target.
    pub name: &'static str,
    /// Reads the bytes.
    ///
    /// # Panics
    /// If what must hold for all bytes does not hold for these.
    pub read: fn(&[u8]),
}

/// All readers.
pub const TARGETS: &[Target] = &[
    target("durations", durations::read),
    target("events_json", wire::events_json),
    target("events_xml", wire::events_xml),
    target("hcl", configuration::hcl),
    target("ini", configuration::ini),
    target("listing_json", wire::listing_json),
    target("listing_xml", wire::listing_xml),
    target("marks", marks::read),
    target("msgpack", values::msgpack),
    target("provider", configuration::provider),
    target("state", values::json),
];

const fn target(name: &'static str, read: fn(&[u8])) -> Target {
    Target { name, read }
}

/// Reads the bytes with the target of that name.
///
/// # Panics
/// If there is none, or what must hold for all bytes does not hold for these.
pub fn read(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "no target {name}");
    target.into_iter().for_each(|target| (target.read)(bytes));
}
