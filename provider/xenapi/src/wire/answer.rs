//! Reads one answer from a stream of bytes.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::json::Json;
use super::split::{Scan, Sink, Splitter};
use super::xml::Xml;
use super::{Cut, Wire, WireError};
use crate::failure::Failure;

/// What the pool answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did the call; the parts of the result were handed out.
    Success,
    /// It said no.
    Failure(Failure),
}

/// Why no answer came out of the stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
}

/// Reads one answer to its end, and hands its parts out on the way. Until the end has come, they are worth nothing: the failure may
/// stand behind them.
pub(crate) async fn read_answer<R: AsyncBufRead + Unpin>(
    stream: R,
    wire: Wire,
    cut: Cut,
    sink: &mut Sink<'_>,
) -> Result<Answer, ReadError> {
    match wire {
        Wire::Json => read(stream, Splitter::<Json>::new(cut), sink).await,
        Wire::Xml => read(stream, Splitter::<Xml>::new(cut), sink).await,
    }
}

async fn read<R: AsyncBufRead + Unpin, S: Scan>(
    mut stream: R,
    mut splitter: Splitter<S>,
    sink: &mut Sink<'_>,
) -> Result<Answer, ReadError> {
    loop {
        let bytes = stream.fill_buf().await?;
        let count = bytes.len();
        if count == 0 {
            let failure = splitter.finish(sink)?;
            return Ok(failure.map_or(Answer::Success, Answer::Failure));
        }
        splitter.push(bytes, sink)?;
        stream.consume(count);
    }
}
