//! The plugin engine's gate with the types of the model checker `loom`.

#[path = "../../crates/plugin-engine/src/live/gate.rs"]
pub mod gate;
pub mod sync;
