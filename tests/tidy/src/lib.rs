//! Rules of the house, asserted.
