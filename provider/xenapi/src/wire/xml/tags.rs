//! Tags, and the names of members, which are read letter by letter.

use std::str::from_utf8;

use crate::wire::WireError;
use crate::wire::split::{Step, Stop};

const NAME_END: &[u8] = b"</name>";
const VALUE: &[u8] = b"<value";
/// The most bytes that a tag, or what stands between a name and its value, may take.
pub(super) const MAX_GAP: usize = 256;

/// Takes the next tag off: gives what stands before it, what stands between its brackets, and what stands behind.
pub(super) fn split_tag(text: &[u8]) -> Step<(&[u8], &[u8], &[u8])> {
    let (before, inside) = split_at_byte(text, b'<').ok_or(Stop::More)?;
    let (tag, behind) = split_at_byte(inside, b'>').ok_or(Stop::More)?;
    Ok((before, tag.trim_ascii_end(), behind))
}

/// Takes off a name and its end; gives the name and the `<value` that follows.
pub(super) fn split_name(text: &[u8]) -> Step<(&[u8], &[u8])> {
    split_name_from(text, &mut 0)
}

/// The same, of which so many bytes have been looked at before.
pub(super) fn split_name_from<'a>(text: &'a [u8], looked: &mut usize) -> Step<(&'a [u8], &'a [u8])> {
    let (name, behind) = loop {
        let rest = text.get(*looked..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'>') else {
            *looked = text.len();
            return Err(Stop::More);
        };
        let (head, behind) = text.split_at_checked(*looked + end + 1).unwrap_or_default();
        if let Some(name) = head.strip_suffix(NAME_END) {
            break (name, behind);
        }
        *looked += end + 1;
    };
    let value = behind.trim_ascii_start();
    let is_far = behind.len() - value.len() > MAX_GAP;
    if value.starts_with(VALUE) && !is_far {
        Ok((name, value))
    } else if VALUE.starts_with(value) && !is_far {
        Err(Stop::More)
    } else {
        Err(WireError::Name(String::new()).into())
    }
}

/// The names that lead to the end of a text, which is a value that ends too early.
pub(super) fn place(text: &[u8]) -> String {
    let mut path: Vec<&[u8]> = Vec::new();
    let mut rest = text;
    while let Ok((_, tag, behind)) = split_tag(rest) {
        rest = behind;
        match tag {
            b"name" => match split_name(behind) {
                Ok((name, value)) => {
                    path.push(name);
                    rest = value;
                }
                Err(_) => break,
            },
            b"/member" => drop(path.pop()),
            _ => {}
        }
    }
    let names: Vec<&str> = path.into_iter().filter_map(|name| from_utf8(name).ok()).collect();
    names.join("/")
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|other| *other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// A tag for a message.
pub(super) fn unexpected(tag: &[u8]) -> WireError {
    WireError::unexpected(&String::from_utf8_lossy(tag))
}
