//! The built provider under the real terraform (and tofu, where it is on the PATH), against the simulator. One file per theme.
