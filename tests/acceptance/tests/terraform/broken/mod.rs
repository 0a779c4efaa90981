//! Runs that are broken off half-way, by a death or by a fault, at any request: what they leave, and what becomes of it.
//!
//! A [`scene::Scene`] is a pool that is prepared for one operation; it can be begun again and again. Whatever befalls a run, all that is
//! there afterwards says until when it may be; another apply makes the world what was asked for, and finds nothing more to do; a destroy,
//! with the reaper when the time has come, makes it what it was before.
#![expect(clippy::print_stderr, reason = "what was run, and what was left out, is told")]

mod faults;
mod killed;
mod left;
mod operation;
mod scene;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use acceptance::Tool;

use operation::Operation;
use scene::Scene;

use crate::trace::{self, Request};

const POOL: &str = "lab1";
/// Labs side by side.
const WORKERS: usize = 3;
/// Generous: a loaded machine is no reason to fail.
const LIMIT: Duration = Duration::from_secs(120);

/// Says whether a method changes nothing that lasts.
fn only_reads(method: &str) -> bool {
    method.contains(".get_") || method.starts_with("session.") || method.starts_with("event.")
}

/// Works all cases off, a few side by side, each worker in a scene of its own; says what came of each.
fn work_off<C: Sync + std::fmt::Debug, W: Send>(
    operation: Operation,
    cases: &[C],
    suffer: impl Fn(&Scene, &C) -> W + Sync,
) -> Vec<W> {
    let tool = Tool::first();
    let next = AtomicUsize::new(0);
    let work = || {
        let scene = Scene::new(&tool, operation);
        let mut went = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let teller = Teller(case);
            went.push(suffer(&scene, case));
            drop(teller);
        }
        went
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS.min(cases.len())).map(|_| scope.spawn(work)).collect();
        let ends = workers
            .into_iter()
            .map(|worker| worker.join().expect("each case went well"));
        ends.flatten().collect()
    })
}

/// The requests of a run that nobody disturbs.
fn undisturbed(operation: Operation) -> Vec<Request> {
    let requests = work_off(operation, &[()], |scene, ()| {
        scene.rewind();
        let ended = scene.await_end(scene.begin());
        ended.outcome.expect_success();
        trace::of(&ended.requests)
    });
    requests.into_iter().flatten().collect()
}

/// Says which case it was that failed.
struct Teller<'a, C: std::fmt::Debug>(&'a C);

impl<C: std::fmt::Debug> Drop for Teller<'_, C> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed: {:?}", self.0);
        }
    }
}
