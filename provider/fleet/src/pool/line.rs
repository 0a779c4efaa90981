//! Those who wait for a ticket, and who of them get the next one.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, Request};
use crate::error::Error;

/// How many servers one ticket is for at most: what it holds for one that fails it holds until the last of the others runs.
const TOGETHER: usize = 8;

/// In the order in which they came.
#[derive(Default)]
pub(super) struct Line {
    pub(super) waiting: VecDeque<Asking>,
    /// Says whether somebody serves it.
    pub(super) is_served: bool,
}

/// A server that waits.
pub(super) struct Asking {
    pub(super) request: Request,
    /// When it came.
    pub(super) since: Instant,
    /// To be asked for by itself: a ticket for several was refused.
    pub(super) is_alone: bool,
    pub(super) answer: oneshot::Sender<Result<Answer, Error>>,
}

/// Who is served next.
pub(super) enum Next {
    /// These, together.
    Batch(Vec<Asking>),
    /// All who are there can wait for company, one of them until that moment.
    Later(Option<Instant>),
    Nobody,
}

/// How long somebody can wait for company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all.
    None,
    Until(Instant),
    /// As long as others are before it.
    Behind,
}

impl Patience {
    fn is_over(self) -> bool {
        match self {
            Self::None => true,
            Self::Until(end) => end <= Instant::now(),
            Self::Behind => false,
        }
    }
}

impl Line {
    /// Those of a kind whose first is the first that cannot wait, or who are as many as one ticket is for.
    pub(super) fn next(&mut self, patience: impl Fn(&Asking) -> Patience) -> Next {
        self.waiting.retain(|asking| !asking.answer.is_closed());
        let mut passed = VecDeque::new();
        let mut next = Next::Nobody;
        let mut earliest: Option<Instant> = None;
        while let Some(batch) = self.first_of_a_kind() {
            let first = batch.first().filter(|first| !first.is_alone);
            let patience = first.map_or(Patience::None, &patience);
            if batch.len() == TOGETHER || patience.is_over() {
                next = Next::Batch(batch);
                break;
            }
            if let Patience::Until(end) = patience {
                earliest = Some(earliest.map_or(end, |known| known.min(end)));
            }
            next = Next::Later(earliest);
            passed.extend(batch);
        }
        passed.append(&mut self.waiting);
        self.waiting = passed;
        next
    }

    /// The first in line and those behind who ask for the same.
    fn first_of_a_kind(&mut self) -> Option<Vec<Asking>> {
        let mut batch = vec![self.waiting.pop_front()?];
        let mut rest = VecDeque::new();
        while let Some(asking) = self.waiting.pop_front() {
            let goes_along = batch.len() < TOGETHER && batch.first().is_some_and(|first| first.goes_with(&asking));
            if goes_along {
                batch.push(asking);
            } else {
                rest.push_back(asking);
            }
        }
        self.waiting = rest;
        Some(batch)
    }
}

impl Asking {
    fn goes_with(&self, other: &Self) -> bool {
        let (a, b) = (&self.request, &other.request);
        let is_same_size = a.kind.need == b.kind.need && a.kind.storage == b.kind.storage && a.kind.os == b.kind.os;
        let is_alike = is_same_size && a.kind.ceilings == b.kind.ceilings;
        !self.is_alone && !other.is_alone && is_alike && a.draws_from == b.draws_from
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use tokio::sync::oneshot::Receiver;
    use xenapi::Ref;

    use super::*;
    use crate::capacity::Kind;

    /// A line of servers, by their vCPUs; whoever drops an answer has gone.
    fn line(of_cpus: impl IntoIterator<Item = u32>) -> (Line, Vec<Receiver<Result<Answer, Error>>>) {
        let one = |cpus| {
            let (answer, told) = oneshot::channel();
            let request = Request {
                kind: Kind::unknown(Some(cpus), None),
                host: Ref::new("OpaqueRef:host"),
                lines: BTreeSet::new(),
                draws_from: None,
                lasts: Duration::ZERO,
                owner: String::new(),
            };
            let asking = Asking {
                request,
                since: Instant::now(),
                is_alone: false,
                answer,
            };
            (asking, told)
        };
        let (waiting, told): (VecDeque<_>, Vec<_>) = of_cpus.into_iter().map(one).unzip();
        let line = Line {
            waiting,
            ..Line::default()
        };
        (line, told)
    }

    /// The vCPUs of those who are served next; `None` if all who are there wait.
    fn next(line: &mut Line, can_wait: impl Fn(u32) -> bool) -> Option<Vec<u32>> {
        let patience = |asking: &Asking| match can_wait(asking.request.kind.need.cpus) {
            true => Patience::Behind,
            false => Patience::None,
        };
        match line.next(patience) {
            Next::Batch(batch) => Some(batch.iter().map(|asking| asking.request.kind.need.cpus).collect()),
            Next::Later(_) => None,
            Next::Nobody => Some(Vec::new()),
        }
    }

    #[test]
    fn those_of_a_kind_go_together_in_the_order_of_the_first() {
        let (mut line, _told) = line([1, 2, 1, 2, 4]);
        for expected in [vec![1, 1], vec![2, 2], vec![4], vec![]] {
            assert_eq!(next(&mut line, |_| false), Some(expected));
        }
    }

    #[test]
    fn who_can_wait_lets_others_pass_and_keeps_its_place() {
        let (mut line, _told) = line([1, 2, 1]);
        assert_eq!(next(&mut line, |cpus| cpus == 1), Some(vec![2]));
        assert_eq!(next(&mut line, |cpus| cpus == 1), None);
        assert_eq!(next(&mut line, |_| false), Some(vec![1, 1]));
    }

    #[test]
    fn as_many_as_one_ticket_is_for_wait_no_longer() {
        let (mut line, _told) = line([1; TOGETHER + 1]);
        assert_eq!(next(&mut line, |_| true), Some(vec![1; TOGETHER]));
        assert_eq!(next(&mut line, |_| true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_time_waits_no_longer() {
        let begun = Instant::now();
        let (mut line, _told) = line([1, 2]);
        let patience = |asking: &Asking| {
            Patience::Until(begun + Duration::from_secs(u64::from(3 - asking.request.kind.need.cpus)))
        };
        let first = begun + Duration::from_secs(1);
        assert!(matches!(line.next(patience), Next::Later(Some(end)) if end == first));
        tokio::time::sleep_until(first).await;
        assert!(matches!(line.next(patience), Next::Batch(batch) if batch[0].request.kind.need.cpus == 2));
        assert!(matches!(line.next(patience), Next::Later(Some(end)) if end > first));
    }

    #[test]
    fn who_is_alone_waits_for_no_company_and_who_has_gone_is_none() {
        let (mut line, mut told) = line([1, 1, 1]);
        line.waiting[1].is_alone = true;
        assert_eq!(next(&mut line, |_| true), Some(vec![1]));
        told.pop();
        assert_eq!(next(&mut line, |_| true), None);
        told.clear();
        assert_eq!(next(&mut line, |_| true), Some(vec![]));
    }
}
