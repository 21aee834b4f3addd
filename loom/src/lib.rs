//! The host's gate with the types of the model checker `loom`.

#[path = "../../host/src/plugins/live/gate.rs"]
pub mod gate;
pub mod sync;
