//! A faithful XenAPI simulator.
