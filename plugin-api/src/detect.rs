//! Detects the traits that a plugin's state implements, where the macro knows its type.

use std::marker::PhantomData;

use crate::{
    commands::Commands,
    configuration::{self, Configured},
    error::Result,
    state::{Saved, Streamed},
};

/// A function that configures state of type `S` from text: [`Configured::configure`].
pub type Configure<S> = fn(&S, &str) -> Result<()>;

/// The functions that hand over state of type `S`.
pub struct SavedFns<S: 'static> {
    /// [`Saved::save`].
    pub save: fn(&S) -> Result<Vec<u8>>,
    /// [`Saved::restore`].
    pub restore: fn(&S, &[u8]) -> Result<()>,
}

/// The functions that stream state of type `S`.
pub struct StreamedFns<S: 'static> {
    /// [`Streamed::begin`].
    pub begin: fn(&S) -> Result<()>,
    /// [`Streamed::next`].
    pub next: fn(&S, &mut Commands) -> Result<bool>,
    /// [`Streamed::end`].
    pub end: fn(&S),
    /// [`Streamed::restore`].
    pub restore: fn(&S, &[u8]) -> Result<()>,
}

/// Detects whether a concrete state type implements [`Saved`], [`Streamed`] and [`Configured`]:
/// method look-up prefers the inherent function over the trait's.
pub struct Detect<S>(pub PhantomData<S>);

impl<S: Saved> Detect<S> {
    /// Returns the functions that hand the state over.
    #[must_use]
    pub fn saved(&self) -> Option<SavedFns<S>> {
        Some(SavedFns { save: S::save, restore: S::restore })
    }
}

/// The fallback of [`Detect`] for a type without [`Saved`].
pub trait NotSaved<S> {
    /// Returns `None`: the type does not hand its state over.
    fn saved(&self) -> Option<SavedFns<S>> {
        None
    }
}

impl<S> NotSaved<S> for Detect<S> {}

impl<S: Streamed> Detect<S> {
    /// Returns the functions that stream the state.
    #[must_use]
    pub fn streamed(&self) -> Option<StreamedFns<S>> {
        Some(StreamedFns { begin: S::begin, next: S::next, end: S::end, restore: S::restore })
    }
}

/// The fallback of [`Detect`] for a type without [`Streamed`].
pub trait NotStreamed<S> {
    /// Returns `None`: the type does not stream its state.
    fn streamed(&self) -> Option<StreamedFns<S>> {
        None
    }
}

impl<S> NotStreamed<S> for Detect<S> {}

impl<S: Configured> Detect<S> {
    /// Returns the function that configures the state.
    #[must_use]
    pub fn configured(&self) -> Option<Configure<S>> {
        Some(|state, text| state.configure(configuration::parse(text)?))
    }
}

/// The fallback of [`Detect`] for a type without [`Configured`].
pub trait NotConfigured<S> {
    /// Returns `None`: the type takes no configuration.
    fn configured(&self) -> Option<Configure<S>> {
        None
    }
}

impl<S> NotConfigured<S> for Detect<S> {}
