//! The plugin protocol as protobuf types and services.
