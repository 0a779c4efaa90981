//! Two faults at once: one at a request, and one while the operation makes good for it. Which, the dice say.

use std::fmt;

use sim::{FaultRule, RequestRecord};

use crate::fault::Fault;
use crate::operation::Operation;
use crate::run::Traced;
use crate::trace::{self, Request};
use crate::trouble::{Case, Strike, Trouble};

/// How many requests are the next ones: by them it is looked what became of a call whose answer was lost.
const NEAR: usize = 4;

/// A second fault.
pub(crate) struct Second {
    pub(crate) strike: Strike,
    /// How many requests of its method are spared.
    skip: u64,
}

/// The splitmix64 generator: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(items.len()).unwrap().max(1);
        items.get(usize::try_from(self.next() % count).unwrap())
    }

    /// A fault that can befall a request.
    fn fault(&mut self, request: &Request) -> Fault {
        let mut faults = Fault::of(request);
        faults.retain(|fault| fault.left_out(request).is_none());
        *self.one_of(&faults).unwrap()
    }
}

/// First faults, as many as asked for: of all operations alike, and every fourth at a birth whose answer is lost. What is made then is known
/// by its name alone, and is the reaper's when it cannot be looked for.
pub(crate) fn draw(traces: &[Traced], seed: u64, count: usize) -> Vec<Case> {
    let mut dice = Dice(seed);
    let births = births(traces);
    let mut cases: Vec<Case> = (0..count)
        .map(|number| {
            let (operation, strike) = match number % 4 {
                0 => dice.one_of(&births).unwrap().clone(),
                _ => {
                    let (operation, requests) = dice.one_of(traces).unwrap();
                    let request = dice.one_of(requests).unwrap().clone();
                    let fault = dice.fault(&request);
                    (*operation, once(request, fault))
                }
            };
            Case {
                operation,
                trouble: Trouble::Twice(strike, dice.next()),
            }
        })
        .collect();
    cases.sort_by_key(|case| case.operation);
    cases
}

/// All ways to lose the answer to a clone.
fn births(traces: &[Traced]) -> Vec<(Operation, Strike)> {
    let all = traces.iter().flat_map(|(operation, requests)| {
        let births = requests
            .iter()
            .filter(|request| ["VM.clone", "VM.copy"].contains(&request.method.as_str()));
        births.map(|request| (*operation, request.clone()))
    });
    let lost = [Fault::CutAfter, Fault::RestartedAfter, Fault::NoAnswer];
    all.flat_map(|(operation, request)| {
        lost.map(|fault| {
            let request = request.clone();
            (operation, once(request, fault))
        })
    })
    .collect()
}

/// One of the requests that were made after the first fault, often one of the next; none, if it was the last.
pub(crate) fn second(records: &[RequestRecord], first: &Strike, number: u64) -> Option<Second> {
    let mut dice = Dice(number);
    let requests = trace::of(records);
    let is_first = |request: &Request| request.method == first.request.method && request.before == first.request.before;
    let at = requests.iter().position(is_first)?;
    let mut after = requests.get(at + 1..)?;
    if dice.next().is_multiple_of(2) {
        after = after.get(..NEAR).unwrap_or(after);
    }
    let request = dice.one_of(after)?.clone();
    // A request that the first rule takes is not counted by the second.
    let taken = u64::from(request.method == first.request.method);
    Some(Second {
        skip: request.before - taken,
        strike: Strike {
            lasts: dice.next().is_multiple_of(2),
            fault: dice.fault(&request),
            request,
        },
    })
}

fn once(request: Request, fault: Fault) -> Strike {
    Strike {
        request,
        fault,
        lasts: false,
    }
}

impl Second {
    pub(crate) fn rule(&self) -> FaultRule {
        FaultRule {
            skip: self.skip,
            ..self.strike.rule()
        }
    }

    /// How many tasks stay that nobody can name, after this fault. Whoever makes a task for a transfer, and hears neither of it nor what came of the look
    /// for it, can only leave it to the pool: xapi throws away a task that has been pending for a day.
    pub(crate) fn strays(&self, first: &Strike) -> usize {
        let is_made = first.fault == Fault::CutAfter && first.request.method == "task.create";
        usize::from(is_made && self.strike.request.method == "task.get_by_name_label")
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.strike.fmt(f)
    }
}
