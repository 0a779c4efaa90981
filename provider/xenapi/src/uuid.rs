//! The UUID of a XenAPI object.

use std::fmt;
use std::str::FromStr;

/// A UUID as a pool writes it: 36 characters, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

/// The text is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID")]
pub struct InvalidUuid(pub String);

impl Uuid {
    /// Makes a UUID of its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidUuid(text.chars().take(64).collect());
        if text.len() != 36 {
            return Err(invalid());
        }
        let mut nibbles: u128 = 0;
        for (at, byte) in text.bytes().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(invalid());
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or_else(invalid)?;
            nibbles = nibbles << 4 | u128::from(digit);
        }
        Ok(Self(nibbles.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;

    #[test]
    fn round_trips_and_normalises() {
        let text = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        assert_eq!(text.to_uppercase().parse::<Uuid>().unwrap().to_string(), text);
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "0a1b2c3d",
            "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fg",
            "0a1b2c3d+4e5f-6071-8293-a4b5c6d7e8f9",
            "ää1b2c3d-4e5f-6071-8293-a4b5c6d7e8",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
