//! Reads answers from a stream of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::build::{Builder, Emitted, Shape};
use super::{Value, WireError};
use crate::failure::Failure;

/// What the pool answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The call's result; of a listing without the records that were emitted.
    Success(Value),
    /// The pool said no.
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

/// The longest single text that is read, also when it is skipped: a VM's firmware variables and snapshot metadata are the longest.
const MAX_TEXT: usize = 16 << 20;

/// Receives the parts of an answer that are handed out before it ends.
pub(crate) type Sink<'a> = dyn FnMut(Emitted) -> Result<(), WireError> + Send + 'a;

/// Reads one answer to its end.
pub(crate) async fn read_answer<R: AsyncBufRead + Unpin>(
    stream: R,
    shape: Shape,
    sink: &mut Sink<'_>,
) -> Result<Answer, ReadError> {
    let mut reader = Reader::from_reader(Metered { stream, left: MAX_TEXT });
    let mut builder = Builder::answer(shape);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        reader.get_mut().left = MAX_TEXT;
        let event = reader.read_event_into_async(&mut buffer).await.map_err(xml_error)?;
        if let Event::Eof = event {
            break;
        }
        if let Some(part) = builder.feed(event)? {
            sink(part)?;
        }
    }
    Ok(status(builder.finish()?)?)
}

/// Reads a bare value, as tasks keep their results. A text without markup stands for itself.
pub(crate) fn read_fragment(text: &str) -> Result<Value, WireError> {
    if !text.trim_start().starts_with('<') {
        return Ok(Value::Text(text.to_owned()));
    }
    let mut reader = Reader::from_str(text);
    let mut builder = Builder::fragment();
    loop {
        let event = reader.read_event().map_err(|error| WireError::Xml(error.to_string()))?;
        if let Event::Eof = event {
            return builder.finish();
        }
        builder.feed(event)?;
    }
}

/// Takes the status off. `system.listMethods` answers without one.
fn status(mut root: Value) -> Result<Answer, WireError> {
    let status = match root.take_member("Status") {
        Some(Value::Text(status)) => status,
        Some(_) => return Err(WireError::Record("the status is no text".to_owned())),
        None => {
            return match root {
                Value::Struct(_) => Err(WireError::Record("the answer has no status".to_owned())),
                other => Ok(Answer::Success(other)),
            };
        }
    };
    if status == "Success" {
        return Ok(Answer::Success(
            root.take_member("Value").unwrap_or_else(|| Value::text("")),
        ));
    }
    let Some(Value::Array(description)) = root.take_member("ErrorDescription") else {
        return Err(WireError::Record("the failure has no description".to_owned()));
    };
    let mut texts = description.into_iter().map(|item| match item {
        Value::Text(text) | Value::Time(text) => text,
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Array(_) | Value::Struct(_) => String::new(),
    });
    let code = texts
        .next()
        .ok_or_else(|| WireError::Record("the failure has no code".to_owned()))?;
    Ok(Answer::Failure(Failure::new(code, texts.collect())))
}

fn xml_error(error: quick_xml::Error) -> ReadError {
    match error {
        quick_xml::Error::Io(error) => ReadError::Io(io::Error::new(error.kind(), error.to_string())),
        // A tag or an entity that the stream cut in two: the connection is to blame.
        quick_xml::Error::Syntax(_) | quick_xml::Error::IllFormed(_) => {
            ReadError::Wire(WireError::Xml(error.to_string()))
        }
        other => ReadError::Wire(WireError::Xml(other.to_string())),
    }
}

/// Refuses a single piece of XML that would not end.
struct Metered<R> {
    stream: R,
    left: usize,
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Metered<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "one text of the answer is too long",
            )));
        }
        Pin::new(&mut this.stream).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        Pin::new(&mut self.stream).consume(amount);
    }
}
