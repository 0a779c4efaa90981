//! The reference pages in the registry's layout, made from the tables and the examples.
