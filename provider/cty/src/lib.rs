//! Values, types and paths as Terraform knows them, with their msgpack and JSON codecs.
