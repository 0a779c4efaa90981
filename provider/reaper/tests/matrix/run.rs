//! The matrix of one operation: each request of an undisturbed run, times all that can befall it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::timeout;

use crate::fault::Fault;
use crate::lab::Lab;
use crate::operation::{Operation, State, reap};
use crate::trace::{self, Request};
use crate::walk::{Tables, Walk};

/// Pools side by side.
const LABS: usize = 4;
/// Longer than the longest limit of any operation: only one that has no end takes so long.
const ENDLESS: Duration = Duration::from_secs(3600);
/// How many failures are told of.
const TOLD: usize = 12;

/// A cell of the matrix.
#[derive(Clone, Debug)]
struct Case {
    request: Request,
    fault: Fault,
}

/// How a case went that went well.
#[derive(Debug, Default)]
struct Went {
    is_met: bool,
    has_failed: bool,
    is_reaped: bool,
    /// Tasks that only the pool itself clears away, when they have been pending for a day.
    strays: usize,
}

/// The cases of an operation, and those that are left out.
struct Matrix {
    operation: Operation,
    requests: usize,
    cases: Vec<Case>,
    left_out: BTreeMap<&'static str, BTreeSet<String>>,
}

/// A lab that is prepared for an operation.
struct Scene {
    lab: Lab,
    operation: Operation,
    empty: Json,
    prepared: State,
}

/// Runs all cases of an operation. Each lab has a thread and a runtime of its own, whose time can fly.
pub(crate) fn all(operation: Operation) {
    let requests = in_time_that_flies(operation, async |scene| scene.undisturbed().await);
    let matrix = Matrix::of(operation, requests);
    let next = AtomicUsize::new(0);
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..LABS).map(|_| scope.spawn(|| work(&matrix, &next))).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap());
        ends.flatten().collect::<Vec<_>>()
    });
    matrix.report(&results);
}

fn work(matrix: &Matrix, next: &AtomicUsize) -> Vec<(Case, Result<Went, String>)> {
    in_time_that_flies(matrix.operation, async |scene| {
        let mut results = Vec::new();
        while let Some(case) = matrix.cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push((case.clone(), scene.suffer(case).await));
        }
        results
    })
}

fn in_time_that_flies<T>(operation: Operation, work: impl AsyncFnOnce(&Scene) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let scene = Scene::new(operation).await;
        tokio::select! {
            done = work(&scene) => done,
            () = scene.lab.hasten() => unreachable!("it has no end"),
        }
    })
}

impl Matrix {
    fn of(operation: Operation, requests: Vec<Request>) -> Self {
        let mut matrix = Self {
            operation,
            requests: requests.len(),
            cases: Vec::new(),
            left_out: BTreeMap::new(),
        };
        for request in requests {
            for fault in Fault::of(&request) {
                match fault.left_out(&request) {
                    None => matrix.cases.push(Case {
                        request: request.clone(),
                        fault,
                    }),
                    Some(reason) => {
                        let pair = format!("{request} x {fault}");
                        matrix.left_out.entry(reason).or_default().insert(pair);
                    }
                }
            }
        }
        matrix
    }

    fn report(&self, results: &[(Case, Result<Went, String>)]) {
        let count = |is: fn(&Went) -> bool| results.iter().filter(|(_, went)| went.as_ref().is_ok_and(is)).count();
        let not_met = count(|went| !went.is_met);
        eprintln!(
            "{:?}: {} requests, {} cases: {} failed and were mended by the next run, {} left something to the reaper, {not_met} came to \
             no such request",
            self.operation,
            self.requests,
            results.len(),
            count(|went| went.has_failed),
            count(|went| went.is_reaped),
        );
        for (reason, pairs) in &self.left_out {
            eprintln!("  left out {}: {reason}", pairs.len());
            pairs.iter().for_each(|pair| eprintln!("    {pair}"));
        }
        let failures: Vec<String> = results
            .iter()
            .filter_map(|(case, went)| Some(format!("{} x {}: {}", case.request, case.fault, went.as_ref().err()?)))
            .collect();
        let told: Vec<&str> = failures.iter().take(TOLD).map(String::as_str).collect();
        assert!(
            failures.is_empty(),
            "{} cases failed:\n{}",
            failures.len(),
            told.join("\n")
        );
        assert_eq!(results.len(), self.cases.len());
        assert!(
            not_met * 10 <= results.len(),
            "{not_met} of {} cases met nothing",
            results.len()
        );
    }
}

impl Scene {
    async fn new(operation: Operation) -> Self {
        let lab = Lab::new().await;
        let empty = Tables::new(&lab.control.world()).lasting();
        let prepared = operation.prepare(&lab).await;
        lab.until_quiet(0).await.unwrap();
        lab.remember();
        Self {
            lab,
            operation,
            empty,
            prepared,
        }
    }

    /// The requests of a run that nobody disturbs, which must end as all cases do.
    async fn undisturbed(&self) -> Vec<Request> {
        let mut state = self.begin();
        let before = Tables::new(&self.lab.control.world());
        let acted = self.operation.act(&self.lab, &mut state).await;
        let requests = trace::of(&self.lab.control.requests());
        acted.unwrap_or_else(|failure| panic!("undisturbed: {failure:?}"));
        let mut went = Went::default();
        let ended = self.end(&before, &mut state, &mut went).await;
        assert!(ended.is_ok() && !went.is_reaped, "undisturbed: {ended:?} {went:?}");
        requests
    }

    fn begin(&self) -> State {
        self.lab.rewind(self.operation.clock());
        self.lab.control.reset_requests();
        self.prepared.clone()
    }

    /// One case.
    async fn suffer(&self, case: &Case) -> Result<Went, String> {
        let mut state = self.begin();
        let before = Tables::new(&self.lab.control.world());
        self.lab.control.fault(case.fault.rule(&case.request));
        let acted = timeout(ENDLESS, self.operation.act(&self.lab, &mut state)).await;
        let acted = acted.map_err(|_| format!("no end within {ENDLESS:?}"))?;
        let mut went = Went {
            is_met: trace::has_come(&self.lab.control.requests(), &case.request),
            has_failed: acted.is_err(),
            is_reaped: false,
            strays: case.fault.strays(&case.request),
        };
        self.lab.control.clear_faults();
        let said = acted
            .as_ref()
            .map_or_else(|failure| failure.text.clone(), |()| "done".to_owned());
        let leased = self
            .walk(&before, &state, &went)
            .await
            .map_err(|error| format!("{error}\n(said: {said})"))?;
        let is_told = acted.is_err_and(|failure| failure.tells_of_more);
        if self.operation != Operation::Reap && !leased.is_empty() && !is_told {
            return Err(format!("nobody is told of {leased:?}\n(said: {said})"));
        }
        self.end(&before, &mut state, &mut went)
            .await
            .map_err(|error| format!("{error}\n(said: {said})"))?;
        Ok(went)
    }

    /// Walks over the tables; says which VMs are there under a lease alone.
    async fn walk(&self, before: &Tables, state: &State, went: &Went) -> Result<BTreeSet<String>, String> {
        self.lab.until_quiet(went.strays).await?;
        let known = state.server.iter().map(|held| held.server.id.to_string());
        let walk = Walk {
            before,
            known: known.collect(),
            now: self.lab.now(),
        };
        walk.over(&Tables::new(&self.lab.control.world()))
    }

    /// The next run, then the end of all.
    async fn end(&self, before: &Tables, state: &mut State, went: &mut Went) -> Result<(), String> {
        let again = self.operation.again(&self.lab, state).await;
        again.map_err(|failure| format!("the next run: {}", failure.text))?;
        self.walk(before, state, went)
            .await
            .map_err(|error| format!("after the next run: {error}"))?;
        let destroyed = state.destroy(&self.lab).await;
        destroyed.map_err(|failure| format!("destroy: {}", failure.text))?;
        if !Tables::new(&self.lab.control.world()).ours().is_empty() {
            self.lab.later();
            went.is_reaped = true;
            reap(&self.lab)
                .await
                .map_err(|failure| format!("the reaper: {}", failure.text))?;
        }
        self.lab.until_quiet(went.strays).await?;
        let left = Tables::new(&self.lab.control.world()).lasting();
        match difference(&self.empty, &left) {
            None => Ok(()),
            Some(at) => Err(format!("the world is not as it was: {at}")),
        }
    }
}

/// Where two documents differ first.
fn difference(was: &Json, is: &Json) -> Option<String> {
    let (Json::Object(was), Json::Object(is)) = (was, is) else {
        return (was != is).then(|| format!("{was} -> {is}"));
    };
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    names.into_iter().find_map(|name| {
        let at = |rows: &serde_json::Map<String, Json>| rows.get(name).cloned().unwrap_or_default();
        difference(&at(was), &at(is)).map(|rest| format!("{name} / {rest}"))
    })
}
