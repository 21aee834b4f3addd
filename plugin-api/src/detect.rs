//! What a plugin's state can do, found out where the macro knows its type.

use std::marker::PhantomData;

use crate::{
    configuration::{self, Configured},
    error::Result,
    state::Saved,
};

/// How state of the type `S` takes the text of its configuration: [`Configured::configure`].
pub type Configure<S> = fn(&S, &str) -> Result<()>;

/// How state of the type `S` is handed over.
pub struct SavedFns<S: 'static> {
    /// [`Saved::save`].
    pub save: fn(&S) -> Result<Vec<u8>>,
    /// [`Saved::restore`].
    pub restore: fn(&S, &[u8]) -> Result<()>,
}

/// Finds out, where the macro knows the concrete type, whether state implements [`Saved`] and
/// [`Configured`]: method look-up prefers the inherent function over the trait's.
pub struct Detect<S>(pub PhantomData<S>);

impl<S: Saved> Detect<S> {
    /// The type hands its state over.
    #[must_use]
    pub fn saved(&self) -> Option<SavedFns<S>> {
        Some(SavedFns { save: S::save, restore: S::restore })
    }
}

/// The other answer of [`Detect`].
pub trait NotSaved<S> {
    /// The type does not hand its state over.
    fn saved(&self) -> Option<SavedFns<S>> {
        None
    }
}

impl<S> NotSaved<S> for Detect<S> {}

impl<S: Configured> Detect<S> {
    /// The type is configured.
    #[must_use]
    pub fn configured(&self) -> Option<Configure<S>> {
        Some(|state, text| state.configure(configuration::parse(text)?))
    }
}

/// The other answer of [`Detect`].
pub trait NotConfigured<S> {
    /// The type is not configured.
    fn configured(&self) -> Option<Configure<S>> {
        None
    }
}

impl<S> NotConfigured<S> for Detect<S> {}
