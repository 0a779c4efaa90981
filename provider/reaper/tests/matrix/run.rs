//! Many cases side by side: each worker has a thread, a runtime whose clock is paused, and a pool of its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::operation::Operation;
use crate::scene::{Scene, Went};
use crate::trace::Request;
use crate::trouble::Case;

/// What came of a case.
pub(crate) type Result = std::result::Result<Went, String>;

/// An operation and the requests of a run that nobody disturbs.
pub(crate) type Traced = (Operation, Vec<Request>);

/// The scene that a worker is at; it goes over to another one when the operation changes.
#[derive(Default)]
pub(crate) struct Worker(Option<Scene>);

impl Worker {
    async fn at(&mut self, operation: Operation) -> &Scene {
        if self.0.as_ref().is_none_or(|scene| scene.operation != operation) {
            self.0 = None;
        }
        match &mut self.0 {
            Some(scene) => scene,
            empty @ None => empty.insert(Scene::new(operation).await),
        }
    }
}

/// The requests of all operations.
pub(crate) fn traces() -> Vec<Traced> {
    side_by_side(&Operation::ALL, async |worker, &operation| {
        (operation, worker.at(operation).await.undisturbed().await)
    })
}

/// What comes of each case, in their order.
pub(crate) fn all(cases: &[Case]) -> Vec<Result> {
    side_by_side(cases, async |worker, Case { operation, trouble }: &Case| {
        worker.at(*operation).await.suffer(trouble).await
    })
}

fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl AsyncFn(&mut Worker, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let worker = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut worker = Worker::default();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                let result = work(&mut worker, item).await;
                results.lock().unwrap().push((at, result));
            }
        });
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
