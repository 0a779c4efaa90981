//! [`Calls`]: every call is a task of its own, so that it outlives the request that asked for it, and a panic in it is
//! an answer.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use engine::diagnostics::Diagnostic;
use proto::tfplugin6::ClientCapabilities;
use tokio::task::JoinError;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status};
use tracing::{Instrument, Span, field};

use crate::{
    provider::{Context, Partial, Provider, Saved},
    served::Served,
};

/// A message that asks for something. Trouble is told in the answer: an error of the transport would show the user
/// nothing but its code.
pub(crate) trait Call: Send + Sync + 'static {
    /// What is answered.
    type Answer: Send + 'static;

    /// The call's name in the protocol.
    const NAME: &'static str;

    /// Whether it begins a new run of the host, which earlier interrupts do not concern.
    const BEGINS_RUN: bool = false;

    /// What it concerns, for the log.
    fn subject(&self) -> Subject<'_> {
        Subject::Provider
    }

    /// What the host understands.
    fn client(&self) -> Option<&ClientCapabilities> {
        None
    }

    /// Answers.
    fn answer(&self, served: &Served, cx: &Context) -> impl Future<Output = Self::Answer> + Send;

    /// Answers in place of a call that panicked or was cut: with what was saved on the way, or else what was there
    /// before.
    fn lost(&self, served: &Served, saved: Option<Saved>, why: Diagnostic) -> Self::Answer;
}

/// What a call concerns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    Provider,
    Resource(&'a str),
    DataSource(&'a str),
    ListResource(&'a str),
    Function(&'a str),
}

/// The calls in flight.
#[derive(Clone)]
pub(crate) struct Calls {
    served: Arc<Served>,
    tasks: TaskTracker,
    /// Cancelled by a stop, and replaced when the next run begins.
    ///
    /// Not at once: the host may have decided on a call before the interrupt and send it after the stop. Nobody would
    /// stop that one again.
    stop: Arc<Mutex<CancellationToken>>,
    /// Cancelled when there is no more time.
    cut: CancellationToken,
}

impl Calls {
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Calls {
        let tasks = TaskTracker::new();
        // Closed only means that it may be waited for.
        tasks.close();
        Calls {
            served: Arc::new(Served::new(provider)),
            tasks,
            stop: Arc::default(),
            cut: CancellationToken::new(),
        }
    }

    /// Asks all calls of this run to end at their next safe point.
    pub(crate) fn stop(&self) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    /// Makes the provider usable again after a stop.
    fn rearm(&self) {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if stop.is_cancelled() {
            *stop = CancellationToken::new();
        }
    }

    /// Answers for all calls that are still in flight.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Waits until no call is in flight.
    pub(crate) async fn idle(&self) {
        self.tasks.wait().await;
    }

    /// Waits until no call is in flight that could still be answered.
    pub(crate) async fn idle_or_cut(&self) {
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.cut.cancelled() => {}
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// Never; the type is the transport's.
    pub(crate) async fn handle<C: Call>(&self, request: Request<C>) -> Result<Response<C::Answer>, Status> {
        if C::BEGINS_RUN {
            self.rearm();
        }
        let call = Arc::new(request.into_inner());
        let cx = self.context(call.client());
        let answer = self.run(&call, &cx).instrument(span(C::NAME, call.subject())).await;
        Ok(Response::new(answer))
    }

    fn context(&self, client: Option<&ClientCapabilities>) -> Context {
        Context {
            cancel: self.stop.lock().unwrap_or_else(PoisonError::into_inner).child_token(),
            partial: Partial::default(),
            deferral_allowed: client.is_some_and(|client| client.deferral_allowed),
            write_only_allowed: client.is_some_and(|client| client.write_only_attributes_allowed),
        }
    }

    async fn run<C: Call>(&self, call: &Arc<C>, cx: &Context) -> C::Answer {
        let started = Instant::now();
        tracing::trace!("received a call");
        let task = {
            let (call, served, cx) = (Arc::clone(call), Arc::clone(&self.served), cx.clone());
            async move { call.answer(&served, &cx).await }
        };
        let task = self.tasks.spawn(task.in_current_span());
        let answer = tokio::select! {
            biased;
            answer = task => answer.unwrap_or_else(|error| call.lost(&self.served, cx.partial.saved(), panicked(C::NAME, error))),
            () = self.cut.cancelled() => call.lost(&self.served, cx.partial.saved(), cut_off(C::NAME)),
        };
        tracing::trace!(tf_req_duration_ms = started.elapsed().as_millis(), "answered");
        answer
    }
}

/// The fields that every line of a call has, under the names that other providers use.
fn span(name: &str, subject: Subject<'_>) -> Span {
    // At the level of errors, so that those lines have the fields too when nothing else is logged.
    let span = tracing::error_span!(
        "call",
        tf_rpc = name,
        tf_req_id = %uuid::Uuid::new_v4(),
        tf_resource_type = field::Empty,
        tf_data_source_type = field::Empty,
        tf_list_resource_type = field::Empty,
        tf_function = field::Empty,
    );
    match subject {
        Subject::Provider => &span,
        Subject::Resource(name) => span.record("tf_resource_type", name),
        Subject::DataSource(name) => span.record("tf_data_source_type", name),
        Subject::ListResource(name) => span.record("tf_list_resource_type", name),
        Subject::Function(name) => span.record("tf_function", name),
    };
    span
}

fn panicked(name: &str, error: JoinError) -> Diagnostic {
    let payload = error.try_into_panic().ok();
    let text = payload.as_ref().and_then(|payload| {
        let owned = payload.downcast_ref::<String>().map(String::as_str);
        owned.or_else(|| payload.downcast_ref::<&str>().copied())
    });
    Diagnostic::error(
        "The provider crashed",
        format!(
            "A bug in the provider ended {name}: {}. What was known to exist at that moment is kept in the state. \
             Please report this with the text that follows at the end of this run.",
            text.unwrap_or("no reason was given")
        ),
    )
}

fn cut_off(name: &str) -> Diagnostic {
    Diagnostic::error(
        "The provider was told to end",
        format!(
            "{name} did not end in time after the provider process received a signal. What was known to exist then is \
             kept in the state."
        ),
    )
}
