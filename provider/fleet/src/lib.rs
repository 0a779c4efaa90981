//! The domain: pools, capacity, placement, and the life of a server as steps that know their undo.
