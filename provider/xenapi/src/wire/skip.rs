//! What is read letter by letter, past the XML reader: names of members, and values that nobody asked for.

use super::WireError;

const NAME_END: &str = "</name>";
const VALUE: &str = "<value";

/// Reads the name behind a `<name>`, and gives it and the `<value` that follows. `None` if that has not come yet.
///
/// ocaml-rpc writes names as they are, so a map key such as `R&D` or `a<b` is no XML: what stands between `<name>` and the next
/// `</name>` is the name. If no value follows, the name went on.
pub(super) fn split_name(text: &str) -> Result<Option<(&str, &str)>, WireError> {
    let ends = text.match_indices('>').map(|(at, _)| text.split_at(at + 1));
    let mut names = ends.filter_map(|(name, behind)| Some((name.strip_suffix(NAME_END)?, behind)));
    let Some((name, behind)) = names.next() else {
        return Ok(None);
    };
    let value = behind.trim_ascii_start();
    if value.starts_with(VALUE) {
        Ok(Some((name, value)))
    } else if VALUE.starts_with(value) {
        Ok(None)
    } else {
        Err(WireError::name())
    }
}

/// A value on the way to its end: all that is read of it are its tags.
#[derive(Debug)]
pub(super) struct Skip {
    depth: usize,
    max_depth: usize,
    is_over: bool,
}

impl Skip {
    /// Begins behind a `<value>`.
    pub(super) fn new(max_depth: usize) -> Self {
        Self {
            depth: 0,
            max_depth,
            is_over: false,
        }
    }

    /// Tells whether the end was reached.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads as far as possible, but not beyond the end; gives what is left.
    pub(super) fn pass<'a>(&mut self, text: &'a str) -> Result<&'a str, WireError> {
        let mut rest = text;
        while let (false, Some((tag, behind))) = (self.is_over, split_tag(rest)) {
            rest = match (tag.as_bytes(), self.depth) {
                (b"name", _) => {
                    let Some((_, value)) = split_name(behind)? else { break };
                    value
                }
                (b"/name", _) => return Err(WireError::name()),
                (b"/value", 0) => {
                    self.is_over = true;
                    behind
                }
                ([b'!' | b'?', ..], _) | ([b'/', ..], 0) => return Err(WireError::unexpected(tag)),
                ([b'/', ..], _) => {
                    self.depth -= 1;
                    behind
                }
                ([.., b'/'], _) => behind,
                (_, depth) if depth >= self.max_depth => return Err(WireError::TooDeep(self.max_depth)),
                (_, _) => {
                    self.depth += 1;
                    behind
                }
            };
        }
        Ok(rest)
    }
}

/// Takes the next tag off, and what stands before it.
fn split_tag(text: &str) -> Option<(&str, &str)> {
    text.split_once('<')?.1.split_once('>')
}
