//! [`Decoded`]: the events that a source hands on.

use membench_event::{Event, OptionsTable};

/// Events as a source has decoded them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) events: &'a [Event],
    /// The strings that their options refer to; `None` for a source that knows no options.
    pub(crate) options: Option<&'a OptionsTable>,
    /// Connection and client of the connections that are new.
    pub(crate) added: &'a [(u32, u32)],
}
