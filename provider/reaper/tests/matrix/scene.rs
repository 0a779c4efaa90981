//! A pool that is prepared for an operation, and what comes of the operation when trouble befalls it.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::{Instant, timeout};

use crate::lab::Lab;
use crate::operation::{Failure, Operation, State, reap};
use crate::pair;
use crate::process::Process;
use crate::trace::{self, Request};
use crate::trouble::{Strike, Trouble};
use crate::walk::{Tables, Walk};

/// Longer than the longest limit of any operation: only one that has no end takes so long.
const ENDLESS: Duration = Duration::from_secs(3600);
/// How long after a run the next one comes: what the last one has started is up by then.
const LATER: Duration = Duration::from_secs(30);
/// How soon whoever gives up is answered.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A lab that is prepared for an operation.
pub(crate) struct Scene {
    lab: Lab,
    pub(crate) operation: Operation,
    empty: Json,
    prepared: State,
}

/// How a case went that went well.
#[derive(Debug, Default)]
pub(crate) struct Went {
    /// It came to the request.
    pub(crate) is_met: bool,
    pub(crate) has_failed: bool,
    /// It left something to the reaper.
    pub(crate) is_reaped: bool,
    /// How long after it was given up the operation answered, and how long after that the process ended.
    pub(crate) given_up: Option<(Duration, Duration)>,
    /// Tasks that only the pool itself clears away, when they have been pending for a day.
    strays: usize,
}

/// How an operation ended.
struct Acted {
    ended: Result<(), Failure>,
    given_up: Option<(Duration, Duration)>,
}

impl Acted {
    fn said(&self) -> &str {
        self.ended
            .as_ref()
            .map_or_else(|failure| failure.text.as_str(), |()| "done")
    }
}

impl Scene {
    pub(crate) async fn new(operation: Operation) -> Self {
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
    pub(crate) async fn undisturbed(&self) -> Vec<Request> {
        let mut state = self.begin().await;
        let before = Tables::new(&self.lab.control.world());
        let acted = self.operation.act(&Process::new(&self.lab), &mut state).await;
        let requests = trace::of(&self.lab.control.requests());
        acted.unwrap_or_else(|failure| panic!("undisturbed: {failure:?}"));
        let mut went = Went::default();
        let ended = self.end(&before, &mut state, &mut went).await;
        assert!(ended.is_ok() && !went.is_reaped, "undisturbed: {ended:?} {went:?}");
        requests
    }

    async fn begin(&self) -> State {
        self.lab.rewind(self.operation.clock()).await;
        self.prepared.clone()
    }

    /// One case.
    pub(crate) async fn suffer(&self, trouble: &Trouble) -> Result<Went, String> {
        match trouble {
            Trouble::Twice(first, number) => match self.second(first, *number).await {
                Some(second) => {
                    let told = |error| format!("{error}\n(the second: {second})");
                    self.struck(trouble, Some(&second)).await.map_err(told)
                }
                None => Ok(Went::default()),
            },
            Trouble::Once(_) | Trouble::GivenUp(..) | Trouble::Waiting(_) => self.struck(trouble, None).await,
        }
    }

    /// A request that the operation makes after the first fault, and what befalls it.
    async fn second(&self, first: &Strike, number: u64) -> Option<pair::Second> {
        let mut state = self.begin().await;
        self.lab.control.fault(first.rule());
        let process = Process::new(&self.lab);
        let acted = self.operation.act(&process, &mut state);
        let _how_it_ended = timeout(ENDLESS, acted).await;
        let records = self.lab.control.requests();
        self.lab.control.clear_faults();
        pair::second(&records, first, number)
    }

    async fn struck(&self, trouble: &Trouble, second: Option<&pair::Second>) -> Result<Went, String> {
        let mut state = self.begin().await;
        let before = Tables::new(&self.lab.control.world());
        let mut went = Went::default();
        match trouble {
            Trouble::Once(strike) => self.lab.control.fault(strike.rule()),
            Trouble::Twice(first, _) => {
                self.lab.control.fault(first.rule());
                went.strays = second.map_or(0, |second| second.strays(first));
            }
            Trouble::GivenUp(request, silence) => {
                went.strays = silence.strays(request);
                silence
                    .rule(request)
                    .into_iter()
                    .for_each(|rule| self.lab.control.fault(rule));
            }
            Trouble::Waiting(obstacle) => obstacle.put(&self.lab),
        }
        if let Some(second) = second {
            self.lab.control.fault(second.rule());
        }
        let acted = timeout(ENDLESS, self.act(trouble, &mut state)).await;
        let acted = acted.map_err(|_| format!("no end within {ENDLESS:?}: {}", self.lab.last_requests()))?;
        went.is_met = self.is_met(trouble, second);
        went.has_failed = acted.ended.is_err();
        went.given_up = acted.given_up;
        self.lab.control.clear_faults();
        if let Trouble::Waiting(obstacle) = trouble {
            obstacle.take_away(&self.lab);
        }
        let said = |error: String| format!("{error}\n(said: {})", acted.said());
        self.check_answer(trouble, &acted).map_err(said)?;
        let leased = self.walk(&before, &state, &went).await.map_err(said)?;
        let is_told = acted
            .ended
            .as_ref()
            .is_err_and(|failure| failure.tells_of_more || failure.is_given_up);
        if self.operation != Operation::Reap && !leased.is_empty() && !is_told {
            return Err(said(format!("nobody is told of {leased:?}")));
        }
        self.end(&before, &mut state, &mut went).await.map_err(said)?;
        Ok(went)
    }

    fn is_met(&self, trouble: &Trouble, second: Option<&pair::Second>) -> bool {
        let records = self.lab.control.requests();
        let is_second_met = second.is_none_or(|second| trace::has_come(&records, &second.strike.request));
        is_second_met
            && match trouble {
                Trouble::Once(Strike { request, .. })
                | Trouble::Twice(Strike { request, .. }, _)
                | Trouble::GivenUp(request, _) => trace::has_come(&records, request),
                Trouble::Waiting(_) => true,
            }
    }

    /// Runs the operation; where somebody gives it up, they do so at the moment that the trouble says.
    async fn act(&self, trouble: &Trouble, state: &mut State) -> Acted {
        let process = match trouble {
            Trouble::Waiting(obstacle) => Process::facing(&self.lab, *obstacle),
            Trouble::Once(_) | Trouble::Twice(..) | Trouble::GivenUp(..) => Process::new(&self.lab),
        };
        let mut acting = pin!(self.operation.act(&process, state));
        let moment = async {
            match trouble {
                Trouble::GivenUp(request, silence) => silence.strikes(&self.lab, request).await,
                Trouble::Waiting(obstacle) => tokio::time::sleep(obstacle.patience()).await,
                Trouble::Once(_) | Trouble::Twice(..) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = &mut acting => return Acted { ended, given_up: None },
            () = moment => {}
        }
        let at = Instant::now();
        // One that has answered already is only leaving.
        let is_answered = process.answered().is_some();
        process.cancel.cancel();
        let ended = acting.await;
        let answered = process.answered().filter(|_| !is_answered);
        Acted {
            ended,
            given_up: answered.map(|answered| (answered - at, answered.elapsed())),
        }
    }

    /// Whoever gives up waits for nothing any more. A reaper ends between two steps, and not in the midst of one.
    fn check_answer(&self, trouble: &Trouble, acted: &Acted) -> Result<(), String> {
        match acted.given_up {
            Some((answered, _)) if answered > AT_ONCE && self.operation != Operation::Reap => {
                Err(format!("answered {answered:?} after it was given up"))
            }
            None if matches!(trouble, Trouble::Waiting(_)) => Err("it did not wait".to_owned()),
            Some(_) | None => Ok(()),
        }
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
        tokio::time::sleep(LATER).await;
        let again = self.operation.again(&Process::new(&self.lab), state).await;
        again.map_err(|failure| format!("the next run: {}", failure.text))?;
        self.walk(before, state, went)
            .await
            .map_err(|error| format!("after the next run: {error}"))?;
        let destroyed = state.destroy(&Process::new(&self.lab)).await;
        destroyed.map_err(|failure| format!("destroy: {}", failure.text))?;
        if !Tables::new(&self.lab.control.world()).ours().is_empty() {
            self.lab.later();
            went.is_reaped = true;
            reap(&Process::new(&self.lab))
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
