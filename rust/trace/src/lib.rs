//! System calls of live processes → lines as strace prints them, JSON, and memcached's commands in them.
//!
//! The kernel's programs (`ebpf/trace`) choose calls by process, number, socket, time and outcome. What they record is
//! decoded here. Every call that was made is accounted for: see [`Tally`].
//!
//! # Example
//!
//! Prints what a server does on its port for a second:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use membench_trace::{Options, Tracer};
//!
//! let options = Options {
//!     ports: vec![11211],
//!     ..Options::new("read,sendmsg,%network")?
//! };
//! let mut tracer = Tracer::start(&options)?;
//! println!("{}", tracer.next(Duration::from_secs(1)));
//! println!("{}", tracer.stop()?);
//! let tally = tracer.tally();
//! assert_eq!(tally.made, tally.shown + tally.lost.total() + tally.skipped.total());
//! # Ok::<(), membench_trace::Error>(())
//! ```

#![forbid(unsafe_code)]

mod argument;
mod connection;
mod descriptor;
mod error;
mod escape;
mod json;
mod kernel;
mod kind;
mod line;
mod name;
mod options;
mod process;
mod recent;
mod record;
mod selection;
mod structure;
mod table;
mod tally;
mod timeline;
mod tracer;

pub use connection::Exchanged;
pub use error::{Error, Result};
pub use line::Clock;
pub use options::{Format, Hooks, Options, Outcomes};
pub use tally::{Lost, Skipped, Tally};
pub use tracer::{Total, Tracer};

/// Returns the calls whose arguments are decoded: name, name of the kernel's function, and number of arguments.
pub fn decoded() -> Vec<(&'static str, &'static str, usize)> {
    let calls = table::KNOWN.iter();
    calls
        .map(|known| {
            (
                known.name,
                table::function_of(known.name),
                known.arguments.len(),
            )
        })
        .collect()
}
