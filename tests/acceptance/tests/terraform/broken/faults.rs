//! A sample of the fault matrix under the real terraform. The whole of it runs in process, in `provider/reaper/tests/matrix`, and tells what
//! can befall which request.
//!
//! Each operation meets some faults, spread over its requests, every second one over those that write; the kinds of fault take turns over all
//! operations, and the codes of refusals from one to the next.

use std::collections::BTreeSet;

use super::operation::Operation;
use super::scene::Scene;
use super::{only_reads, undisturbed, work_off};
use crate::fault::Fault;
use crate::trace::{self, Request};

/// Of the operations, in the order in which kinds of fault take turns.
const OPERATIONS: [Operation; 7] = [
    Operation::Create,
    Operation::Read,
    Operation::Rename,
    Operation::Resize,
    Operation::Renew,
    Operation::Delete,
    Operation::Reserve,
];
/// Cases per operation.
const EACH: usize = 7;
/// Refusals, and what is none.
const KINDS: usize = 10;

#[derive(Clone, Debug)]
struct Case {
    request: Request,
    fault: Fault,
}

/// How a case went that went well.
struct Went {
    is_met: bool,
    has_failed: bool,
}

/// The fault whose turn it is, if it can befall this request.
fn turn(number: usize, request: &Request) -> Option<Fault> {
    let (round, kind) = (number / KINDS, number % KINDS);
    let is_refusal = |fault: &Fault| matches!(fault, Fault::Refused(..));
    let (mut refusals, others): (Vec<Fault>, Vec<Fault>) = Fault::of(request).into_iter().partition(is_refusal);
    refusals.retain(|fault| fault.left_out(request).is_none());
    let fault = others.get(kind).or_else(|| refusals.get(round % refusals.len()))?;
    fault.left_out(request).is_none().then_some(*fault)
}

/// The cases of an operation.
fn sample(operation: Operation, requests: &[Request]) -> Vec<Case> {
    let before = OPERATIONS
        .iter()
        .position(|other| *other == operation)
        .expect("one of them")
        * EACH;
    let writes: Vec<Request> = requests
        .iter()
        .filter(|request| !only_reads(&request.method))
        .cloned()
        .collect();
    let cases = (0..EACH).filter_map(|at| {
        let is_of_writes = at % 2 == 1 && !writes.is_empty();
        let among = if is_of_writes { &writes } else { requests };
        let (earlier, later) = among.split_at(at * among.len() / EACH);
        let mut near = later.iter().chain(earlier);
        near.find_map(|request| {
            let fault = turn(before + at, request)?;
            let request = request.clone();
            Some(Case { request, fault })
        })
    });
    cases.collect()
}

fn suffer(scene: &Scene, case: &Case) -> Went {
    scene.rewind();
    scene.lab.control().fault(case.fault.rule(&case.request));
    let ended = scene.await_end(scene.begin());
    let went = Went {
        is_met: trace::has_come(&ended.requests, &case.request),
        has_failed: ended.outcome.code != Some(0),
    };
    let strays = scene.pending_tasks();
    assert_eq!(strays, 0, "tasks are left\n{}", ended.outcome);
    let left = scene.left();
    match (scene.operation, went.has_failed) {
        (Operation::Delete, false) => assert!(left.is_empty(), "{left:?}\n{}", ended.outcome),
        (_, false) => scene.check(),
        (_, true) => scene.converge(),
    }
    scene.end();
    went
}

/// Runs the sample of an operation.
fn some(operation: Operation) {
    let requests = undisturbed(operation);
    let all: usize = requests.iter().map(|request| Fault::of(request).len()).sum();
    let cases = sample(operation, &requests);
    assert_eq!(cases.len(), EACH);
    let went = work_off(operation, &cases, suffer);
    let count = |is: fn(&Went) -> bool| went.iter().filter(|went| is(went)).count();
    eprintln!(
        "{operation:?}: {} requests, {} of {all} cases, the others run in process: {} failed and were mended by the next run, {} came to \
         no such request",
        requests.len(),
        went.len(),
        count(|went| went.has_failed),
        count(|went| !went.is_met),
    );
    cases
        .iter()
        .for_each(|case| eprintln!("  {} x {}", case.request, case.fault));
    assert!(count(|went| went.is_met) >= EACH - 1, "most come to nothing");
}

#[test]
fn create() {
    some(Operation::Create);
}

#[test]
fn read() {
    some(Operation::Read);
}

#[test]
fn rename() {
    some(Operation::Rename);
}

#[test]
fn resize() {
    some(Operation::Resize);
}

#[test]
fn renew() {
    some(Operation::Renew);
}

#[test]
fn delete() {
    some(Operation::Delete);
}

#[test]
fn reserve() {
    some(Operation::Reserve);
}

#[test]
fn each_kind_of_fault_has_its_turn() {
    let request = Request {
        index: 1,
        method: "VM.start".to_owned(),
        before: 0,
    };
    let turns = (0..OPERATIONS.len() * EACH).filter_map(|number| turn(number, &request));
    let kinds: BTreeSet<String> = turns.map(|fault| fault.to_string()).collect();
    let all = Fault::of(&request)
        .into_iter()
        .filter(|fault| !matches!(fault, Fault::Refused(..)));
    assert!(
        all.map(|fault| fault.to_string()).all(|kind| kinds.contains(&kind)),
        "{kinds:?}"
    );
    assert!(kinds.len() > KINDS, "and several refusals: {kinds:?}");
}
