//! Reads answers from a stream of bytes, in pieces that end where a tag begins.

use std::io;
use std::str::from_utf8;

use quick_xml::Reader;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::build::{Builder, Emitted, Next, Shape};
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
    mut stream: R,
    shape: Shape,
    sink: &mut Sink<'_>,
) -> Result<Answer, ReadError> {
    let mut builder = Builder::answer(shape);
    let mut text = Vec::new();
    loop {
        let bytes = stream.fill_buf().await?;
        let (known, more) = (text.len(), bytes.len());
        text.extend_from_slice(bytes);
        stream.consume(more);
        if more == 0 {
            read_end(&text, &mut builder, sink)?;
            return Ok(status(builder.finish()?)?);
        }
        // What stands before a tag is read when the tag begins: so neither a text nor a character is cut in two.
        let tag = text.iter().skip(known).rposition(|byte| *byte == b'<');
        if let Some(end) = tag.map(|at| known + at) {
            let used = read_on(text.get(..end).unwrap_or_default(), &mut builder, sink)?;
            text.drain(..used);
        }
        if text.len() > MAX_TEXT {
            return Err(WireError::TooBig(MAX_TEXT).into());
        }
    }
}

/// Reads a bare value, as tasks keep their results. A text without markup stands for itself.
pub(crate) fn read_fragment(text: &str) -> Result<Value, WireError> {
    if !text.trim_start().starts_with('<') {
        return Ok(Value::Text(text.to_owned()));
    }
    let mut builder = Builder::fragment();
    read_end(text.as_bytes(), &mut builder, &mut |_| Ok(()))?;
    builder.finish()
}

/// Reads what nothing more comes behind.
fn read_end(bytes: &[u8], builder: &mut Builder, sink: &mut Sink<'_>) -> Result<(), WireError> {
    if read_on(bytes, builder, sink)? < bytes.len() {
        return Err(WireError::Truncated);
    }
    Ok(())
}

/// Reads as far as the bytes can be understood without those behind them; tells how far that is.
fn read_on(bytes: &[u8], builder: &mut Builder, sink: &mut Sink<'_>) -> Result<usize, WireError> {
    let text = from_utf8(bytes).map_err(|error| WireError::Xml(error.to_string()))?;
    let mut reader = Reader::from_str(text);
    // Every piece has a reader of its own, so only the builder knows which elements are open.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    loop {
        let at = text.len() - reader.get_ref().len();
        let rest = text.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(at);
        }
        let behind = match builder.next() {
            Next::Name => builder.name(rest)?,
            Next::Skip => builder.skip(rest)?,
            Next::Event => match reader.read_event() {
                Ok(event) => {
                    if let Some(part) = builder.feed(event)? {
                        sink(part)?;
                    }
                    continue;
                }
                // A comment, say, of which the end is still to come.
                Err(quick_xml::Error::Syntax(_)) => return Ok(at),
                Err(error) => return Err(WireError::Xml(error.to_string())),
            },
        };
        if behind.len() == rest.len() {
            return Ok(at);
        }
        *reader.get_mut() = behind.as_bytes();
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
