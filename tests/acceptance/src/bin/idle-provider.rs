//! A provider that does nothing: what a run of terraform takes with it is what terraform itself takes.
//!
//! Its one resource, `idle_server`, has about as many attributes as `dynvm_server`, of the same kinds, so that plans and states are as
//! large as with the real one. All of its answers come at once, and say what a server would have said.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use cty::{Number, Type, Value};
use engine::diagnostics::Diagnostics;
use engine::schema::{Attribute, Schema};
use plugin::provider::{
    Applied, Context, CreateRequest, DeleteRequest, Provider, ReadAnswer, ReadRequest, Resource, UpdateRequest,
};
use plugin::{Mode, ServeOptions};

/// What only the configuration says.
const GIVEN: [&str; 2] = ["os", "template"];
/// What the configuration may say, and what a server shows of it otherwise.
const SHAPED: [(&str, &str); 5] = [
    ("pool", "lab1"),
    ("storage", "ssd"),
    ("network", "lab-net"),
    ("mac_address", "52:54:00:12:34:56"),
    ("ttl", "1h"),
];
/// What only a server shows.
const OBSERVED: [(&str, &str); 8] = [
    ("id", "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10"),
    ("created_at", "2026-01-01T00:00:00Z"),
    ("lease_started_at", "2026-01-01T00:00:10Z"),
    ("expires_at", "2026-01-01T01:00:10Z"),
    ("ip_address", "10.1.2.3"),
    ("os_version", "Debian GNU/Linux 12 (bookworm)"),
    ("template_uuid", "7d1f9f37-1c46-44a2-8b24-b2a8ff0e5c11"),
    ("resident_host", "xen11"),
];
/// The members of `timings`.
const STEPS: [&str; 5] = ["queue", "clone", "configure", "start", "address"];
/// The members of `timeouts`.
const LIMITS: [&str; 5] = ["create", "ip", "read", "update", "delete"];

fn main() -> ExitCode {
    let make = || Arc::new(Idle::new()) as Arc<dyn Provider>;
    plugin::run(
        make,
        ServeOptions {
            address: "registry.terraform.io/dynvm/idle",
            mode: Mode::Plugin,
        },
    )
}

struct Idle {
    schema: Schema,
    resources: [Arc<dyn Resource>; 1],
}

impl Idle {
    fn new() -> Self {
        Self {
            schema: Schema::new(Vec::new()),
            resources: [Arc::new(IdleServer { schema: table() })],
        }
    }
}

#[async_trait]
impl Provider for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn resources(&self) -> &[Arc<dyn Resource>] {
        &self.resources
    }

    async fn configure(&self, _: &Value, _: &Context) -> Diagnostics {
        Diagnostics::new()
    }
}

struct IdleServer {
    schema: Schema,
}

fn table() -> Schema {
    let texts = |names: &[&'static str]| names.iter().copied().map(Attribute::string).collect::<Vec<_>>();
    let shaped = SHAPED.map(|(name, _)| Attribute::string(name).optional_computed().keep());
    let observed = OBSERVED.map(|(name, _)| Attribute::string(name).computed().keep());
    let seconds = STEPS.map(|step| Attribute::number(step).computed().keep());
    let limits = texts(&LIMITS).into_iter().map(Attribute::optional);
    let mut attributes = vec![
        Attribute::string("name").required(),
        Attribute::set("tags", Type::String).optional(),
        Attribute::map("renew_triggers", Type::String).optional(),
        Attribute::list("ip_cidrs", Type::String).optional(),
        Attribute::integer("cpus").optional_computed().keep(),
        Attribute::integer("memory_mib").optional_computed().keep(),
        Attribute::boolean("wait_for_ip").optional_computed().default(true),
        Attribute::string("ip_family").optional_computed().default("ipv4"),
        Attribute::integer("ip_attempts").optional_computed().default(2),
        Attribute::boolean("keep_on_failure").optional_computed().default(false),
        Attribute::list("ip_addresses", Type::String).computed().keep(),
        Attribute::integer("disk_bytes").computed().keep(),
        Attribute::object("timings", seconds.into()).computed().keep(),
        Attribute::object("timeouts", limits.collect()).optional(),
    ];
    attributes.extend(texts(&GIVEN).into_iter().map(Attribute::optional));
    attributes.extend(shaped);
    attributes.extend(observed);
    Schema::new(attributes)
}

/// Fills in what is not known before a server exists.
fn made(planned: Value) -> Value {
    let seconds = Number::from_f64(1.823_457).map_or(Value::Null, Value::from);
    let timings = STEPS.map(|step| (step, seconds.clone()));
    let others = [
        ("cpus", Value::from(2)),
        ("memory_mib", Value::from(2048)),
        ("ip_addresses", Value::list(["10.1.2.3"])),
        ("disk_bytes", Value::from(21_474_836_480_i64)),
        ("timings", Value::object(timings)),
    ];
    let texts = SHAPED.into_iter().chain(OBSERVED);
    let all = texts.map(|(name, text)| (name, Value::from(text))).chain(others);
    all.fold(planned, |made, (name, value)| {
        if made.get(name).is_unknown() {
            made.with(name, value)
        } else {
            made
        }
    })
}

#[async_trait]
impl Resource for IdleServer {
    fn type_name(&self) -> &'static str {
        "idle_server"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn create(&self, request: CreateRequest, _: &Context) -> Applied {
        Applied::done(made(request.planned), request.private)
    }

    async fn update(&self, request: UpdateRequest, _: &Context) -> Applied {
        Applied::done(made(request.planned), request.private)
    }

    async fn delete(&self, _: DeleteRequest, _: &Context) -> Applied {
        Applied::deleted()
    }

    async fn read(&self, request: ReadRequest, _: &Context) -> ReadAnswer {
        ReadAnswer {
            state: Some(request.state),
            private: request.private,
            diagnostics: Diagnostics::new(),
        }
    }
}
