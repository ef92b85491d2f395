//! Bindings of the loader: objects, their programs, maps, rings and links.

mod error;
mod hook;
mod link;
mod listing;
mod map;
mod object;
mod ring;

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<object::BpfObject>()?;
    module.add_class::<map::BpfMap>()?;
    module.add_class::<map::BpfMemory>()?;
    module.add_class::<ring::BpfRing>()?;
    module.add_class::<link::BpfLink>()?;
    module.add_class::<link::BpfProgram>()?;
    listing::register(module)
}

/// Something that can be closed while Python still refers to it.
struct Closable<T>(Mutex<Option<T>>);

impl<T> Closable<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the value; the next use fails.
    fn close(&self) -> Option<T> {
        self.lock().take()
    }

    fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    /// Uses the value; call it without the interpreter, because another thread can hold the value for long.
    fn with<R>(
        &self,
        what: &'static str,
        act: impl FnOnce(&mut T) -> error::Result<R>,
    ) -> error::Result<R> {
        match &mut *self.lock() {
            Some(value) => act(value),
            None => Err(error::Error::Closed { what }),
        }
    }
}
