//! What befalls a run, and one cell of a matrix.

use std::fmt;
use std::time::Duration;

use sim::{FaultKind, FaultRule, RequestRecord};

use crate::fault::Fault;
use crate::lab::Lab;
use crate::obstacle::Obstacle;
use crate::operation::Operation;
use crate::trace::{self, Request};

/// How long after a request has come the caller gives up, where the pool goes on.
const SOON: Duration = Duration::from_millis(400);
/// How late the pool acts that the caller waits for no longer.
const LATE: Duration = Duration::from_secs(5);
/// Between two looks whether a request has come.
const LOOK: Duration = Duration::from_millis(10);

/// A cell of a matrix.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) operation: Operation,
    pub(crate) trouble: Trouble,
}

/// What befalls a run.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// One fault.
    Once(Strike),
    /// A second one while the operation makes good for the first; the number says which.
    Twice(Strike, u64),
    /// The caller gives up at a request.
    GivenUp(Request, Silence),
    /// The caller gives up while the operation waits for something that does not come.
    Waiting(Obstacle),
}

/// A fault at a request.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) request: Request,
    pub(crate) fault: Fault,
    /// It strikes from that request on until the operation has ended, and not once.
    pub(crate) lasts: bool,
}

impl Strike {
    pub(crate) fn rule(&self) -> FaultRule {
        FaultRule {
            count: u64::from(!self.lasts),
            ..self.fault.rule(&self.request)
        }
    }
}

/// How a request fares whose caller gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The pool neither acts nor answers.
    Never,
    /// It has acted, and does not answer.
    Acted,
    /// It acts when the caller has gone.
    Late,
    /// It answers, and the caller gives up in what follows: a task, a guest.
    Answered,
}

impl Silence {
    pub(crate) const ALL: [Self; 4] = [Silence::Never, Silence::Acted, Silence::Late, Silence::Answered];

    /// What makes it befall that request.
    pub(crate) fn rule(self, request: &Request) -> Option<FaultRule> {
        let kind = match self {
            Silence::Never => FaultKind::Hang,
            Silence::Acted => FaultKind::HangAfter,
            Silence::Late => FaultKind::Delay(u64::try_from(LATE.as_millis()).unwrap()),
            Silence::Answered => return None,
        };
        Some(FaultRule {
            skip: request.before,
            ..FaultRule::once(&request.method, kind)
        })
    }

    /// How many tasks stay that nobody can name.
    pub(crate) fn strays(self, request: &Request) -> usize {
        usize::from(self == Silence::Acted && request.method == "task.create")
    }

    /// Waits for the moment in which the caller gives up.
    pub(crate) async fn strikes(self, lab: &Lab, request: &Request) {
        let hangs = |record: &RequestRecord| record.outcome == "HANGING";
        loop {
            let records = lab.control.requests();
            match self {
                Silence::Never | Silence::Acted if records.iter().any(hangs) => return,
                Silence::Late if trace::has_come(&records, request) => return,
                Silence::Answered if trace::has_come(&records, request) => return tokio::time::sleep(SOON).await,
                Silence::Never | Silence::Acted | Silence::Late | Silence::Answered => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from_then_on = if self.lasts { " from then on" } else { "" };
        write!(f, "{} x {}{from_then_on}", self.request, self.fault)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.operation)?;
        match &self.trouble {
            Trouble::Once(strike) => strike.fmt(f),
            Trouble::Twice(first, number) => write!(f, "{first}, then another ({number})"),
            Trouble::GivenUp(request, silence) => write!(f, "{request} x given up, {silence:?}"),
            Trouble::Waiting(obstacle) => write!(f, "given up at {obstacle:?}"),
        }
    }
}
