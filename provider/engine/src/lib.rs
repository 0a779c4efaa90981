//! The declarative plan engine: one attribute table gives schema, validation, plan behaviour and reference pages.
