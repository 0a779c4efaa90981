//! Work that blocks its thread, and patience with other processes.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Error;

/// How long other processes may be in the way.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Runs work that blocks its thread beside the async ones.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}

/// Tries again while only another process is in the way. The waiting is done here and not in the worker thread, so that
/// whoever stops waiting for the result leaves nothing behind that holds up the end of the process.
pub(super) async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSES.0;
    loop {
        match attempt().await {
            Err(error) if error.is_busy() && Instant::now() < deadline => sleep(pause).await,
            result => return result,
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Makes the folder that a file is in, for nobody else to look into.
pub(super) fn make_folder_of(file: &Path) -> Result<(), Error> {
    file.parent().map_or(Ok(()), make_folder)
}

/// Makes a folder, with those above it, for nobody else to look into.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| Error::File {
        doing: "making the folder",
        path: folder.to_owned(),
        source,
    })
}
