//! References to objects, typed by class.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

/// A reference to an object of class `C`; the text is opaque and unequal to the UUID.
///
/// A pool writes "no object" as `OpaqueRef:NULL`, as an empty text or as an old `Ref:` text: all of these are [`Ref::is_null`].
/// A reference may dangle.
pub struct Ref<C> {
    text: Arc<str>,
    class: PhantomData<fn() -> C>,
}

const PREFIX: &str = "OpaqueRef:";
const NULL: &str = "OpaqueRef:NULL";

impl<C> Ref<C> {
    /// Takes a reference as the pool wrote it. A text that could not be sent back safely becomes the null reference.
    pub fn new(text: &str) -> Self {
        let is_sound = text.len() <= 256
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'&' | b'\\'));
        Self {
            text: if is_sound { text.into() } else { NULL.into() },
            class: PhantomData,
        }
    }

    /// Makes the reference that means "no object".
    pub fn null() -> Self {
        Self {
            text: NULL.into(),
            class: PhantomData,
        }
    }

    /// Tells whether this names no object.
    pub fn is_null(&self) -> bool {
        match self.text.strip_prefix(PREFIX) {
            Some(rest) => rest.is_empty() || rest == "NULL",
            None => true,
        }
    }

    /// Gives `None` for the null reference.
    pub fn non_null(&self) -> Option<&Self> {
        (!self.is_null()).then_some(self)
    }

    /// Gives the text for the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<C> Clone for Ref<C> {
    fn clone(&self) -> Self {
        Self {
            text: Arc::clone(&self.text),
            class: PhantomData,
        }
    }
}

impl<C> Default for Ref<C> {
    fn default() -> Self {
        Self::null()
    }
}

impl<C> PartialEq for Ref<C> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<C> Eq for Ref<C> {}

impl<C> PartialOrd for Ref<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<C> Ord for Ref<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<C> Hash for Ref<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<C> fmt::Debug for Ref<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<C> fmt::Display for Ref<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Ref;

    #[test]
    fn null_has_many_spellings() {
        for text in [
            "OpaqueRef:NULL",
            "",
            "OpaqueRef:",
            "Ref:42",
            "NULL",
            "OpaqueRef:a\"b",
            "OpaqueRef:a b",
            "OpaqueRef:ä",
        ] {
            assert!(Ref::<()>::new(text).is_null(), "{text}");
        }
        let real = Ref::<()>::new("OpaqueRef:6c1f");
        assert!(!real.is_null());
        assert_eq!(real.to_string(), "OpaqueRef:6c1f");
    }
}
