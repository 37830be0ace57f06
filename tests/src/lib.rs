//! Tests of the `ottla` binary with real processes, sockets, files and clients.
