//! What the end-to-end tests start, send and wait for.
