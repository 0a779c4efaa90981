//! The fault matrix: every request of every operation, times all that can befall it.
//!
//! The requests are those of a recorded run, so that no list of them grows old. Whatever befalls one of them, the operation ends; everything
//! in the pool is then in the state file or under a lease that ends; the next run makes the world what was asked for; and a destroy, with the
//! reaper where something was left to it, makes it what it was before.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![expect(clippy::print_stderr, reason = "what was run, and what was left out, is told")]

mod fault;
mod lab;
mod operation;
mod run;
mod trace;
mod walk;

use operation::Operation;

#[test]
fn create() {
    run::all(Operation::Create);
}

#[test]
fn create_with_a_copy() {
    run::all(Operation::Copy);
}

#[test]
fn read() {
    run::all(Operation::Read);
}

#[test]
fn resize() {
    run::all(Operation::Resize);
}

#[test]
fn suspend() {
    run::all(Operation::Suspend);
}

#[test]
fn migrate() {
    run::all(Operation::Move);
}

#[test]
fn renew() {
    run::all(Operation::Renew);
}

#[test]
fn delete() {
    run::all(Operation::Delete);
}

#[test]
fn reap() {
    run::all(Operation::Reap);
}

#[test]
fn reserve() {
    run::all(Operation::Reserve);
}
