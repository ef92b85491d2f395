//! Reading with the libraries of others: a panic on bytes that they did not expect → an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// True while this thread reads bytes that nobody vouches for.
    static READING: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `read`; `None` if it panics, which is not printed.
///
/// The readers of Parquet and Arrow panic on some files that are damaged or made to harm. State that `read` changes is
/// not used after a panic.
pub(super) fn guarded<T>(read: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !READING.get() {
                print(panic);
            }
        }));
    });
    let before = READING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    READING.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let empty: Vec<u8> = Vec::new();
        assert_eq!(guarded(|| empty[usize::from(READING.get())]), None);
        assert_eq!(guarded(|| 7), Some(7));
        assert!(!READING.get());
    }
}
