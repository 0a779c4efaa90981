//! What the requests that a pool received add up to: how many, how many of them in a row, how much of the time.

use std::collections::BTreeMap;

use acceptance::Lab;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use sim::RequestRecord;

use crate::sample::Sample;

/// At time scale 1 a call of `event.from` that waits ends 50 ms after the change at the earliest; one that asks for what there is now answers
/// within a few.
const WAITED_US: u64 = 40_000;
const LOGOUT: &str = "session.logout";

/// The requests of one command, in the order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Traffic(Vec<RequestRecord>);

/// A stretch of real microseconds since the simulator started.
pub(crate) type Stretch = (u64, u64);

impl Traffic {
    /// What the pools of a lab receive while something runs, and what that came to.
    pub(crate) fn during<T>(lab: &Lab, run: impl FnOnce() -> T) -> (T, Self) {
        lab.control().reset_requests();
        // A reset keeps what is still under way.
        let before = lab.control().request_index();
        let outcome = run();
        let mut requests = lab.control().requests();
        requests.retain(|request| request.index > before);
        (outcome, Self(requests))
    }

    /// Those of which this is true.
    pub(crate) fn only(&self, is_meant: impl Fn(&RequestRecord) -> bool) -> Self {
        Self(self.0.iter().filter(|request| is_meant(request)).cloned().collect())
    }

    /// All but login and logout.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &RequestRecord> {
        self.0
            .iter()
            .filter(|request| !is_login(request) && request.method != LOGOUT)
    }

    /// How many there are, the long-poll included, login and logout not.
    pub(crate) fn count(&self) -> usize {
        self.counted().count()
    }

    /// Whether one of them calls this method, synchronously or not.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.0
            .iter()
            .any(|request| request.method.trim_start_matches("Async.") == method)
    }

    /// Bytes of the answers' bodies, without login and logout.
    pub(crate) fn received(&self) -> u64 {
        self.counted().map(|request| request.response_bytes).sum()
    }

    /// The greatest number of requests of which each was sent after the former's answer. The long-poll runs beside them and is none of them.
    pub(crate) fn chain(&self) -> usize {
        let mut stretches: Vec<Stretch> = self
            .counted()
            .filter(|request| !self.is_long_poll(request))
            .filter_map(stretch)
            .collect();
        stretches.sort_by_key(|&(_, end)| end);
        let mut links = 0;
        let mut free_from = 0;
        for (start, end) in stretches {
            if links == 0 || start >= free_from {
                links += 1;
                free_from = end;
            }
        }
        links
    }

    /// Whether it is the long-poll: an `event.from` that waits, or any once the server starts. From then on a create asks by `event.from` for
    /// nothing else, and the first may answer at once.
    fn is_long_poll(&self, request: &RequestRecord) -> bool {
        let mut starts = self.0.iter().filter(|other| other.method == "VM.start_on");
        let waits = |end: u64| end.saturating_sub(request.started_us) >= WAITED_US;
        request.method == "event.from"
            && (request.ended_us.is_none_or(waits) || starts.any(|start| start.started_us < request.started_us))
    }

    /// The requests of the last session, its login included and its logout not, without the long-poll.
    fn work(&self) -> Vec<Stretch> {
        let first = self.0.iter().rposition(is_login).unwrap_or_default();
        self.0
            .iter()
            .skip(first)
            .filter(|request| request.method != LOGOUT && !self.is_long_poll(request))
            .filter_map(stretch)
            .collect()
    }

    /// From the arrival of the first request of the last session to the end of its last, in microseconds.
    pub(crate) fn wall_us(&self) -> u64 {
        let work = self.work();
        let first = work.iter().map(|&(start, _)| start).min().unwrap_or_default();
        self.end_us().saturating_sub(first)
    }

    /// The end of the last request.
    pub(crate) fn end_us(&self) -> u64 {
        self.work().iter().map(|&(_, end)| end).max().unwrap_or_default()
    }

    /// How long the pool worked on at least one request of the last session, or one of these other stretches was under way.
    pub(crate) fn busy_us(&self, others: &[Stretch]) -> u64 {
        let mut stretches = self.work();
        stretches.extend(others);
        covered(stretches)
    }

    /// How long the pool worked on at least one of them.
    pub(crate) fn covered_us(&self) -> u64 {
        covered(self.0.iter().filter_map(stretch).collect())
    }

    /// The arrival of the first.
    pub(crate) fn start_us(&self) -> Option<u64> {
        self.0.first().map(|request| request.started_us)
    }

    /// The end of the only call of a method.
    pub(crate) fn end_of(&self, method: &str) -> Option<u64> {
        let mut calls = self.0.iter().filter(|request| request.method == method);
        calls.next_back()?.ended_us
    }

    /// How long it went on after the last call of a method, in seconds.
    pub(crate) fn after(&self, method: &str) -> Result<f64> {
        let end = self.end_of(method).with_context(|| format!("no {method} was called"))?;
        Ok(seconds(self.end_us().saturating_sub(end)))
    }

    /// One line for each method: how often it was called, how long each call took, how much they brought together.
    pub(crate) fn profile(&self) -> String {
        let mut methods: BTreeMap<&str, Vec<&RequestRecord>> = BTreeMap::new();
        for request in &self.0 {
            methods.entry(&request.method).or_default().push(request);
        }
        let lines = methods.into_iter().map(|(method, calls)| {
            let took = calls.iter().filter_map(|call| stretch(call));
            let took = Sample::of(took.map(|(start, end)| milliseconds(end.saturating_sub(start))));
            let middle = took.as_ref().map(Sample::median).unwrap_or_default();
            let (least, most) = took.as_ref().map(Sample::range).unwrap_or_default();
            let bytes: u64 = calls.iter().map(|call| call.response_bytes).sum();
            let count = calls.len();
            format!("{count:>8} x {method:<34} {middle:>9.1} ms ({least:.1} - {most:.1})  {bytes:>11} bytes")
        });
        lines.collect::<Vec<String>>().join("\n")
    }

    /// One line for each request: when it came, how long it took, what it was.
    pub(crate) fn listing(&self) -> String {
        let zero = self.0.first().map(|request| request.started_us).unwrap_or_default();
        let lines = self.0.iter().map(|request| {
            let at = milliseconds(request.started_us.saturating_sub(zero));
            let took = request
                .ended_us
                .map(|end| milliseconds(end.saturating_sub(request.started_us)));
            let took = took.map_or_else(|| "-".to_owned(), |took| format!("{took:.1}"));
            let RequestRecord {
                method,
                outcome,
                request_bytes,
                response_bytes,
                connection,
                ..
            } = request;
            format!("{at:>10.1} ms {took:>9} ms  {method:<34} {request_bytes:>6} -> {response_bytes:>8} bytes  #{connection} {outcome}")
        });
        lines.collect::<Vec<String>>().join("\n")
    }
}

/// Microseconds as milliseconds.
pub(crate) fn milliseconds(microseconds: u64) -> f64 {
    seconds(microseconds) * 1e3
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
pub(crate) fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// An instant of this machine's clock on the scale of the simulator's records.
pub(crate) fn since_start(lab: &Lab, at: Timestamp) -> Result<u64> {
    let (wall, ran) = (Timestamp::now(), lab.control().real_us());
    let started = wall.as_microsecond() - i64::try_from(ran)?;
    u64::try_from(at.as_microsecond() - started).context("an instant before the simulator started")
}

fn is_login(request: &RequestRecord) -> bool {
    request.method.starts_with("session.login")
}

fn stretch(request: &RequestRecord) -> Option<Stretch> {
    Some((request.started_us, request.ended_us?))
}

/// The length of the union.
fn covered(mut stretches: Vec<Stretch>) -> u64 {
    stretches.sort_unstable();
    let mut total = 0;
    let mut reached = 0;
    for (start, end) in stretches {
        total += end.saturating_sub(start.max(reached));
        reached = reached.max(end);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::{Stretch, Traffic, covered};
    use sim::RequestRecord;

    fn request(method: &str, started_us: u64, ended_us: u64) -> RequestRecord {
        RequestRecord {
            index: started_us,
            pool: "lab1".to_owned(),
            host: "xen11".to_owned(),
            method: method.to_owned(),
            started_us,
            ended_us: Some(ended_us),
            request_bytes: 10,
            response_bytes: 100,
            outcome: "OK".to_owned(),
            connection: 1,
            after: None,
        }
    }

    /// A login, two requests side by side, one after both, a long-poll that answers at once and then waits, and the end.
    fn create() -> Traffic {
        Traffic(vec![
            request("session.login_with_password", 0, 20),
            request("event.from", 30, 40),
            request("VM.get_all_records_where", 31, 39),
            request("VM.start_on", 45, 2_000_045),
            request("event.from", 2_000_046, 2_000_050),
            request("event.from", 2_000_051, 2_900_000),
            request("VM.get_record", 2_950_000, 2_950_010),
            request("session.logout", 2_950_020, 2_950_030),
        ])
    }

    #[test]
    fn counts_all_but_login_and_logout() {
        assert_eq!(create().count(), 6);
        assert_eq!(create().received(), 600);
    }

    #[test]
    fn the_chain_leaves_the_long_poll_out() {
        assert_eq!(create().chain(), 3);
        assert_eq!(Traffic(Vec::new()).chain(), 0);
    }

    #[test]
    fn the_pools_own_time_is_a_union() {
        let traffic = create();
        assert_eq!(traffic.wall_us(), 2_950_010);
        assert_eq!(traffic.busy_us(&[]), 20 + 10 + 2_000_000 + 10);
        let guest = (2_000_040, 2_800_045);
        assert_eq!(traffic.busy_us(&[guest]), 20 + 10 + 2_800_000 + 10);
        assert_eq!(traffic.end_of("VM.start_on"), Some(2_000_045));
        let before = traffic.only(|request| request.started_us < 2_000_000);
        assert_eq!((before.start_us(), before.covered_us()), (Some(0), 20 + 10 + 2_000_000));
    }

    #[test]
    fn overlaps_count_once() {
        let check =
            |stretches: &[Stretch], length: u64| assert_eq!(covered(stretches.to_vec()), length, "{stretches:?}");
        check(&[], 0);
        check(&[(5, 9), (0, 2)], 6);
        check(&[(0, 10), (2, 3), (9, 12)], 12);
    }
}
