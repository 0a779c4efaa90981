//! Unicode normalisation: Terraform keeps every string in NFC, on the way in and on the way out.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Brings text to NFC; text that is NFC already (nearly all of it) is moved, not copied.
pub(crate) fn normalised(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_ascii() || is_nfc(&text) {
        text
    } else {
        text.nfc().collect()
    }
}
