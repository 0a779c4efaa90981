//! The fault matrix: every request of every operation, times all that can befall it.
//!
//! The requests are those of a recorded run, so that no list of them grows old. Whatever befalls one of them, the operation ends; everything
//! in the pool is then in the state file or under a lease that ends; the next run makes the world what was asked for; and a destroy, with the
//! reaper where something was left to it, makes it what it was before.
//!
//! The same holds where two faults come together, and where the caller gives up: then the operation answers within a second as well. All of
//! it runs in virtual time, so that a second is one on any machine.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![expect(clippy::print_stderr, reason = "what was run, and what was left out, is told")]

mod fault;
mod lab;
mod obstacle;
mod operation;
mod pair;
mod process;
mod run;
mod scene;
mod table;
mod trace;
mod trouble;
mod walk;

use fault::Fault;
use obstacle::Obstacle;
use operation::Operation;
use table::{LeftOut, Table};
use trace::Request;
use trouble::{Case, Silence, Strike, Trouble};

/// Where the dice begin, and how many pairs they draw.
const SEED: u64 = 20_261_128;
const PAIRS: usize = 400;

/// All that befalls a request once; and that neither it nor any that follows of its method arrives.
fn befalls(request: &Request) -> Vec<(Fault, bool)> {
    let once = Fault::of(request).into_iter().map(|fault| (fault, false));
    once.chain([(Fault::CutBefore, true)]).collect()
}

#[test]
fn every_request_meets_all_that_can_befall_it() {
    let traces = run::traces();
    let mut cases = Vec::new();
    let mut left_out = LeftOut::new();
    for (operation, requests) in &traces {
        for request in requests {
            for (fault, lasts) in befalls(request) {
                let strike = Strike {
                    request: request.clone(),
                    fault,
                    lasts,
                };
                match fault.left_out(request) {
                    None => cases.push(Case {
                        operation: *operation,
                        trouble: Trouble::Once(strike),
                    }),
                    Some(reason) => drop(
                        left_out
                            .entry(reason)
                            .or_default()
                            .insert((*operation, strike.to_string())),
                    ),
                }
            }
        }
    }
    let results = run::all(&cases);
    let table = Table {
        name: "one fault at each request, once or from then on",
        traces: &traces,
        cases: &cases,
        results: &results,
        left_out,
    };
    table.conclude();
}

#[test]
fn whoever_gives_up_is_answered_within_a_second() {
    let traces = run::traces();
    let mut cases = Vec::new();
    for (operation, requests) in &traces {
        let at_requests = requests
            .iter()
            .flat_map(|request| Silence::ALL.map(|silence| Trouble::GivenUp(request.clone(), silence)));
        let waiting = Obstacle::of(*operation).into_iter().map(Trouble::Waiting);
        cases.extend(at_requests.chain(waiting).map(|trouble| Case {
            operation: *operation,
            trouble,
        }));
    }
    let results = run::all(&cases);
    let table = Table {
        name: "given up at each request, and at waits for what does not come",
        traces: &traces,
        cases: &cases,
        results: &results,
        left_out: LeftOut::new(),
    };
    table.conclude();
}

#[test]
fn two_faults_at_once() {
    let mut traces = run::traces();
    // It is over so soon that a second fault seldom finds it.
    traces.retain(|(operation, _)| *operation != Operation::Release);
    let cases = pair::draw(&traces, SEED, PAIRS);
    let results = run::all(&cases);
    let table = Table {
        name: "two faults, drawn",
        traces: &traces,
        cases: &cases,
        results: &results,
        left_out: LeftOut::new(),
    };
    eprintln!("seed {SEED}");
    table.conclude();
    let is_reaped = results.iter().flatten().any(|went| went.is_reaped);
    assert!(
        is_reaped,
        "nothing was left to the reaper: what it does then was not tried"
    );
}
