//! The kill matrix: SIGKILL of the provider, and of terraform alone, at the requests of each operation.
//!
//! A request is held before it acts or once it has acted, and there the victim dies. The request itself goes on: a pool finishes what it
//! was asked for. A provider whose terraform was killed goes on too, until it finds itself alone.
//!
//! What only reads leaves the pool as it was, so that not every victim dies at each point of it. A thorough matrix takes all four deaths of
//! a request that writes, and one of each other, by turns; a quick one takes each victim once where something is written, the points by
//! turns, and one read in [`READS`]; a brief one takes one death where something is written. What a matrix has left out it tells.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::Running;
use sim::HoldPoint;
use tokio::time::timeout;

use super::operation::Operation;
use super::scene::{Ended, Scene};
use super::{LIMIT, only_reads, undisturbed, work_off};
use crate::trace::Request;

const PROVIDER: &str = "terraform-provider-dynvm";
const LOOK: Duration = Duration::from_millis(5);
/// Of how many reads a quick matrix takes one.
const READS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Provider,
    Terraform,
}

impl Victim {
    fn die(self, running: &Running) {
        match self {
            Victim::Provider => drop(running.kill_members(PROVIDER)),
            Victim::Terraform => running.kill_alone(),
        }
    }
}

/// How somebody dies at a request.
type Manner = (Victim, HoldPoint);

/// Each follows from the one before by another victim; two steps further the point is another too.
const MANNERS: [Manner; 4] = [
    (Victim::Provider, HoldPoint::Before),
    (Victim::Terraform, HoldPoint::After),
    (Victim::Provider, HoldPoint::After),
    (Victim::Terraform, HoldPoint::Before),
];

#[derive(Clone, Debug)]
struct Death {
    request: Request,
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matrix {
    Thorough,
    Quick,
    Brief,
}

impl Matrix {
    /// The manners of death at a request that has so many before it that write, or only read, as it does.
    fn manners(self, is_read: bool, before: usize) -> Vec<Manner> {
        let turn = |at: usize| MANNERS[at % MANNERS.len()];
        match (self, is_read) {
            (Matrix::Thorough, false) => MANNERS.to_vec(),
            (Matrix::Thorough, true) => vec![turn(before)],
            (Matrix::Quick, false) => vec![turn(before * 2), turn(before * 2 + 1)],
            (Matrix::Quick, true) if before.is_multiple_of(READS) => vec![turn(before / READS)],
            (Matrix::Brief, false) => vec![turn(before)],
            (Matrix::Quick | Matrix::Brief, true) => Vec::new(),
        }
    }

    fn deaths(self, requests: &[Request]) -> Vec<Death> {
        let mut counts = BTreeMap::<bool, usize>::new();
        let deaths = requests.iter().flat_map(|request| {
            let is_read = only_reads(&request.method);
            let before = counts.entry(is_read).or_default();
            *before += 1;
            let manners = self.manners(is_read, *before - 1).into_iter();
            manners.map(|manner| Death {
                request: request.clone(),
                manner,
            })
        });
        deaths.collect()
    }
}

/// How a case went that went well.
struct Went {
    /// It had not ended before.
    is_killed: bool,
    /// What was left when it had died, by UUID and with its name.
    left: BTreeMap<String, String>,
}

/// Waits until the request is held. A run may end without it: how many there are depends on who is first.
fn is_reached(scene: &Scene, running: &Running, request: u64) -> bool {
    let lab = &scene.lab;
    let mut is_held = false;
    let settled = lab.settles(LIMIT, || {
        is_held = lab.wait_for(async { timeout(LOOK, lab.control().held(request)).await.is_ok() });
        is_held || running.has_ended()
    });
    assert!(settled, "neither request {request} nor the end within {LIMIT:?}");
    is_held
}

/// Runs the operation up to the death.
fn die(scene: &Scene, death: &Death) -> Ended {
    let (victim, at) = death.manner;
    let control = scene.lab.control();
    let request = control.request_index() + death.request.index as u64;
    control.hold(request, at);
    let running = scene.begin();
    if is_reached(scene, &running, request) {
        victim.die(&running);
    }
    control.release(request);
    scene.await_end(running)
}

fn suffer(scene: &Scene, death: &Death) -> Went {
    scene.rewind();
    let ended = die(scene, death);
    let left = scene.left();
    scene.converge();
    scene.end();
    Went {
        is_killed: ended.outcome.code != Some(0),
        left,
    }
}

fn run(operation: Operation, matrix: Matrix) -> Vec<Went> {
    let requests = undisturbed(operation);
    let deaths = matrix.deaths(&requests);
    let went = work_off(operation, &deaths, suffer);
    let killed = went.iter().filter(|went| went.is_killed).count();
    let (all, reads) = (
        requests.len(),
        requests.iter().filter(|request| only_reads(&request.method)).count(),
    );
    eprintln!(
        "{operation:?}: {all} requests, of which {reads} only read; {} deaths, {killed} of them before the end; {} left out ({matrix:?}): \
         the pool is as after another one",
        deaths.len(),
        all * MANNERS.len() - deaths.len(),
    );
    assert!(
        killed * 10 >= deaths.len() * 8,
        "only {killed} of {} died",
        deaths.len()
    );
    went
}

/// Demands that the matrix has met a server in each stage of its birth.
fn check_stages(went: &[Went]) {
    let left: Vec<&String> = went.iter().flat_map(|went| went.left.values()).collect();
    for stage in ["dynvm-new-", "web"] {
        assert!(
            left.iter().any(|name| name.starts_with(stage)),
            "none {stage}: {left:?}"
        );
    }
}

#[test]
fn create() {
    check_stages(&run(Operation::Create, Matrix::Quick));
}

#[test]
fn create_from_a_template_that_was_a_server() {
    check_stages(&run(Operation::CreateFromMarked, Matrix::Brief));
}

#[test]
fn rename() {
    run(Operation::Rename, Matrix::Quick);
}

#[test]
fn resize() {
    run(Operation::Resize, Matrix::Thorough);
}

#[test]
fn renew() {
    run(Operation::Renew, Matrix::Quick);
}

#[test]
fn delete() {
    run(Operation::Delete, Matrix::Thorough);
}
