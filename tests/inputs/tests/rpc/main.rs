//! The plugin's whole surface under messages that are valid, half valid and not: each is answered, with words or a status, and nothing panics
//! or hangs. The provider is the real one: before it is configured, and on a simulated pool.
//!
//! `DYNVM_FUZZ_SEED` repeats a run or begins another one.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of a test fail by panicking, and the seed is printed"
)]

mod draw;
mod host;
mod surface;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cty::Value;
use host::Host;
use inputs::mutation::Mutator;
use sim::{ClockMode, Options, Simulator, World};
use tonic::Code;

use crate::draw::Draw;
use crate::surface::{CALLS, Call, Said, configure};

/// Messages of each call.
const MESSAGES: usize = 120;
/// Of those that may change a pool.
const CHANGES: usize = 80;
/// Longer than any answer takes on a busy machine.
const HANG: Duration = Duration::from_secs(60);
const SEED: u64 = 20_261_128;

/// How often anything in this process panicked: one in a task that nobody waits for is in no answer.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn seed() -> u64 {
    let seed = std::env::var("DYNVM_FUZZ_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    println!("seed {seed}");
    seed
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// An answer without errors.
    Answer,
    /// An answer that says what is wrong.
    Words,
    /// A status of the transport.
    Status,
}

/// Sends a message and judges what comes back.
async fn ask(host: &Host, call: &Call, message: Vec<u8>, what: &str) -> Came {
    // A value may be repeated in words, escaped.
    let most = 16 * (message.len() + 1024);
    let answer = tokio::time::timeout(HANG, host.call(call.name, message)).await;
    let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer"));
    let said = match answer {
        Ok(bytes) => (call.said)(&bytes).unwrap_or_else(|error| panic!("{what}: no answer of this call: {error}")),
        Err(status) => {
            // What is no message, what is not offered: nothing else is an error of the transport.
            let known = matches!(status.code(), Code::Internal | Code::Unimplemented);
            assert!(known && !status.message().contains("panic"), "{what}: {status}");
            return Came::Status;
        }
    };
    let Said::Errors(errors) = said else {
        return Came::Answer;
    };
    for error in &errors {
        assert!(!error.contains("crashed"), "{what}: {error}");
        assert!(error.len() < most, "{what}: {} bytes of words", error.len());
    }
    if errors.is_empty() { Came::Answer } else { Came::Words }
}

/// What came of how many messages of which call.
type Counts = BTreeMap<(&'static str, Came), usize>;

/// Sends messages of each of these calls, and counts what comes back.
async fn surface(host: &Host, seed: u64, calls: impl Iterator<Item = (&Call, usize)>) -> Counts {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        print(panic);
    }));
    let mut draw = Draw::new(Mutator::new(seed), host.schemas().await);
    let mut counts = BTreeMap::new();
    for (call, messages) in calls {
        for number in 0..messages {
            let message = draw.message(call);
            let what = format!("{} {number} of seed {seed}", call.name);
            let came = ask(host, call, message, &what).await;
            *counts.entry((call.name, came)).or_default() += 1;
        }
    }
    assert_eq!(
        PANICS.load(Ordering::Relaxed),
        0,
        "panics beside the calls, which are printed above"
    );
    let metadata = CALLS.iter().find(|call| call.name == "GetMetadata").unwrap();
    assert_eq!(ask(host, metadata, Vec::new(), "afterwards").await, Came::Answer);
    counts
}

/// Demands that these came of messages: a test that is refused at the door tests nothing behind it. Of other seeds it is not known what
/// they draw.
fn demand(seed: u64, counts: &Counts, wanted: &[(&'static str, Came)]) {
    let missing: Vec<_> = wanted.iter().filter(|wanted| !counts.contains_key(wanted)).collect();
    assert!(seed != SEED || missing.is_empty(), "{missing:?} of {counts:#?}");
}

#[tokio::test]
async fn every_call_is_answered_before_there_is_a_configuration() {
    let seed = seed();
    let host = Host::start();
    let calls = CALLS.iter().filter(|call| call.name != "ConfigureProvider");
    let counts = surface(&host, seed, calls.map(|call| (call, MESSAGES))).await;
    demand(
        seed,
        &counts,
        &[
            ("ValidateProviderConfig", Came::Answer),
            ("ValidateResourceConfig", Came::Words),
            ("UpgradeResourceState", Came::Answer),
            ("PlanResourceChange", Came::Answer),
            ("PlanResourceChange", Came::Words),
            ("CallFunction", Came::Answer),
            ("CallFunction", Came::Words),
            ("ReadResource", Came::Words),
            ("ApplyResourceChange", Came::Status),
            ("MoveResourceState", Came::Status),
        ],
    );
}

#[tokio::test]
async fn any_configuration_is_taken_or_refused_in_words() {
    let seed = seed();
    let host = Host::start();
    let calls = CALLS.iter().filter(|call| call.name == "ConfigureProvider");
    let counts = surface(&host, seed, calls.map(|call| (call, MESSAGES))).await;
    demand(
        seed,
        &counts,
        &[("ConfigureProvider", Came::Words), ("ConfigureProvider", Came::Status)],
    );
}

#[tokio::test]
async fn every_call_is_answered_with_a_pool_behind() {
    let seed = seed();
    let world = World::from_hcl(include_str!("small.hcl")).expect("a world");
    let options = Options {
        clock: ClockMode::Scaled(500.0),
        control: None,
    };
    let simulator = Simulator::start(world, options).await.expect("a simulator");
    let host = Host::start();
    let pools = simulator.pools().into_iter().map(|pool| {
        let entry = Value::object([
            ("url", Value::from(pool.url)),
            ("username", Value::from(pool.username)),
            ("password", Value::from(pool.password)),
            ("templates", Value::object([("debian12", Value::from("tmpl-debian12"))])),
        ]);
        (pool.name, entry)
    });
    let message = configure(&host.schemas().await, Value::object([("pools", Value::object(pools))]));
    let call = CALLS.iter().find(|call| call.name == "ConfigureProvider").unwrap();
    assert_eq!(ask(&host, call, message, "the configuration").await, Came::Answer);

    let calls = CALLS.iter().filter(|call| call.asks_pools);
    let counts = surface(&host, seed, calls.map(|call| (call, CHANGES))).await;
    demand(
        seed,
        &counts,
        &[
            ("PlanResourceChange", Came::Answer),
            ("ReadDataSource", Came::Answer),
            ("ReadDataSource", Came::Words),
            ("ImportResourceState", Came::Words),
        ],
    );
}
