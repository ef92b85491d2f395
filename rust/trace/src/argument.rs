//! One argument of a call, or its result → text, as strace prints it.

use std::fmt::Write;

use membench_common::trace::read;

use crate::{escape, kind::Kind, name, record::Record, structure, table::Outcome};

/// `AT_FDCWD`: paths are relative to the current folder.
const CURRENT_FOLDER: i32 = -100;

/// Names of descriptors, such as `<tcp:127.0.0.1:11211->127.0.0.1:40000>`; empty if names are not asked for.
pub(crate) type Naming<'a> = dyn Fn(i32, bool) -> String + 'a;

/// Writes an argument; `None` if it is left out.
pub(crate) fn show(
    kind: Kind,
    index: usize,
    record: &Record<'_>,
    naming: &Naming<'_>,
) -> Option<String> {
    let value = record.argument(index);
    let text = match kind {
        Kind::Buffer | Kind::Hidden => return None,
        Kind::Int | Kind::FutexValue => signed(value).to_string(),
        Kind::Long => value.cast_signed().to_string(),
        Kind::Unsigned => value.to_string(),
        Kind::Offset if value == 0 => "0".into(),
        Kind::Hex | Kind::Offset => hex(value),
        Kind::NewMode if !makes_file(record.argument(index - 1)) => return None,
        Kind::Mode | Kind::NewMode => mode(value),
        Kind::Folder if signed(value) == CURRENT_FOLDER => "AT_FDCWD".into(),
        Kind::Descriptor | Kind::Folder => descriptor(value, index, naming),
        Kind::Text => pointed(record, read::TEXT, index, escape::text),
        Kind::TextOut => pointed(record, read::ARRAY, index, text_out),
        Kind::Bits(names, none) => name::bits(low(value), names, none),
        Kind::Word(names) => name::word(low(value), names),
        Kind::Open => open(low(value)),
        Kind::Access => name::bits(low(value), name::ACCESS, "F_OK"),
        Kind::Socket => socket(low(value)),
        Kind::Protocol => protocol(signed(record.argument(0)), value),
        Kind::Option => option(record.argument(index - 1), value),
        Kind::Value | Kind::ValueOut => {
            let what = if kind == Kind::Value {
                read::ARRAY
            } else {
                read::BYTES
            };
            return Some(pointed(record, what, index, structure::option));
        }
        Kind::Signal => signal(value),
        Kind::Signals | Kind::SignalsOut => bytes(record, index, structure::signals),
        Kind::Action | Kind::ActionOut => bytes(record, index, structure::action),
        Kind::Address | Kind::AddressOut => {
            return Some(pointed(record, read::ADDRESS, index, structure::address));
        }
        Kind::LengthOut => bytes(record, index, structure::length),
        Kind::Vectors => pointed(record, read::VECTORS, index, structure::vectors),
        Kind::Message => message(record, index),
        Kind::Time | Kind::TimeOut => bytes(record, index, structure::time),
        Kind::TimevalOut => bytes(record, index, structure::timeval),
        Kind::Timer | Kind::TimerOut => bytes(record, index, structure::timer),
        Kind::Event if signed(record.argument(1)) == libc::EPOLL_CTL_DEL => hex(value),
        Kind::Event => bytes(record, index, structure::event),
        Kind::Events => {
            if record.call.result == 0 {
                return Some("[]".into());
            }
            return Some(pointed(record, read::ARRAY, index, structure::events));
        }
        Kind::Polls => pointed(record, read::ARRAY, index, structure::polls),
        Kind::Pair => bytes(record, index, structure::pair),
        Kind::Stat => bytes(record, index, structure::stat),
        Kind::Limit | Kind::LimitOut => bytes(record, index, structure::limit),
        Kind::StatusOut => bytes(record, index, structure::status),
        Kind::System => bytes(record, index, structure::system),
        Kind::CpusOut => pointed(record, read::ARRAY, index, structure::cpus),
        Kind::DescriptorArgument => return descriptor_argument(record.argument(index - 1), value),
        Kind::Futex => futex(low(value)),
        Kind::FutexTime => return futex_time(record, index),
        Kind::FutexRest => return futex_rest(record, index),
    };
    Some(text)
}

/// Writes the result of a call, without its time.
pub(crate) fn result(outcome: Outcome, record: &Record<'_>, naming: &Naming<'_>) -> String {
    let result = record.call.result;
    if let Some(error) = record.error() {
        return failure(error);
    }
    match outcome {
        Outcome::Never => "?".into(),
        Outcome::Number => result.to_string(),
        Outcome::Address => format!("{:#x}", result.cast_unsigned()),
        Outcome::Mode => mode(result.cast_unsigned()),
        Outcome::Descriptor => match i32::try_from(result) {
            Ok(number) => format!("{number}{}", naming(number, true)),
            Err(_) => result.to_string(),
        },
        Outcome::Ready if result == 0 => "0 (Timeout)".into(),
        Outcome::Ready => match record.bytes(read::ARRAY, 0) {
            Some(bytes) => format!("{result} ({})", structure::ready(bytes)),
            None => result.to_string(),
        },
        Outcome::Command => command_result(record.argument(1), result),
    }
}

/// Writes the failure of a call.
fn failure(error: i32) -> String {
    let restart = match error {
        512 => Some("ERESTARTSYS (To be restarted if SA_RESTART is set)"),
        513 => Some("ERESTARTNOINTR (To be restarted)"),
        514 => Some("ERESTARTNOHAND (To be restarted if no handler)"),
        516 => Some("ERESTART_RESTARTBLOCK (Interrupted by signal)"),
        _ => None,
    };
    if let Some(restart) = restart {
        return format!("? {restart}");
    }
    match name::error(error) {
        Some(name) => format!("-1 {name} ({})", name::explanation(error)),
        None => format!("-1 (errno {error})"),
    }
}

fn signed(value: u64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the upper half of the register is not passed on"
    )]
    let low = value as u32;
    low.cast_signed()
}

fn low(value: u64) -> u64 {
    value & 0xffff_ffff
}

/// Writes a number in hex; the null pointer has a name.
pub(crate) fn hex(value: u64) -> String {
    if value == 0 {
        "NULL".into()
    } else {
        format!("{value:#x}")
    }
}

fn mode(value: u64) -> String {
    format!("{:0>3}", format!("0{:o}", low(value)))
}

fn makes_file(flags: u64) -> bool {
    let (flags, temporary) = (signed(flags), libc::O_TMPFILE);
    flags & libc::O_CREAT != 0 || flags & temporary == temporary
}

fn descriptor(value: u64, index: usize, naming: &Naming<'_>) -> String {
    let number = signed(value);
    if number < 0 {
        return number.to_string();
    }
    // What the kernel's programs say of a call's socket is about its first argument.
    let name = if index == 0 {
        naming(number, false)
    } else {
        String::new()
    };
    format!("{number}{name}")
}

/// Writes what an argument points to, or its address if that is not known.
fn pointed(record: &Record<'_>, what: u32, index: usize, show: impl Fn(&[u8]) -> String) -> String {
    match record.bytes(what, index) {
        Some(bytes) => show(bytes),
        None => hex(record.argument(index)),
    }
}

fn bytes(record: &Record<'_>, index: usize, show: impl Fn(&[u8]) -> String) -> String {
    pointed(record, read::BYTES, index, show)
}

fn text_out(bytes: &[u8]) -> String {
    escape::quoted(bytes.strip_suffix(b"\0").unwrap_or(bytes))
}

fn open(flags: u64) -> String {
    let access = match flags & 3 {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        2 => "O_RDWR",
        _ => "O_ACCMODE",
    };
    match name::bits(flags & !3, name::OPEN, "") {
        rest if rest.is_empty() => access.into(),
        rest => format!("{access}|{rest}"),
    }
}

fn socket(value: u64) -> String {
    let kind = name::word(value & 0xf, name::SOCKET_KINDS);
    match name::bits(value & !0xf, name::SOCKET_FLAGS, "") {
        flags if flags.is_empty() => kind,
        flags => format!("{kind}|{flags}"),
    }
}

fn protocol(family: i32, value: u64) -> String {
    match family {
        libc::AF_INET | libc::AF_INET6 => name::word(low(value), name::PROTOCOLS),
        _ => signed(value).to_string(),
    }
}

fn option(level: u64, value: u64) -> String {
    let names = match signed(level) {
        libc::SOL_SOCKET => name::SOCKET_OPTIONS,
        libc::SOL_TCP => name::TCP_OPTIONS,
        libc::SOL_IPV6 => name::IPV6_OPTIONS,
        _ => &[],
    };
    name::word(low(value), names)
}

fn signal(value: u64) -> String {
    name::signal(low(value))
}

fn message(record: &Record<'_>, index: usize) -> String {
    let Some(header) = record.bytes(read::MESSAGE, index) else {
        return hex(record.argument(index));
    };
    let name = record.bytes(read::ADDRESS, index).map(structure::address);
    let vectors = record.bytes(read::VECTORS, index).map(structure::vectors);
    structure::message(header, name, vectors)
}

fn descriptor_argument(command: u64, value: u64) -> Option<String> {
    match signed(command) {
        libc::F_GETFD | libc::F_GETFL | libc::F_GETOWN | libc::F_GETPIPE_SZ | libc::F_GET_SEALS => {
            None
        }
        libc::F_SETFD => Some(name::bits(low(value), name::DESCRIPTOR_FLAGS, "0")),
        libc::F_SETFL => Some(open(low(value))),
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC | libc::F_SETPIPE_SZ => {
            Some(signed(value).to_string())
        }
        _ => Some(hex(value)),
    }
}

fn command_result(command: u64, result: i64) -> String {
    let flags = match signed(command) {
        libc::F_GETFD => name::bits(result.cast_unsigned(), name::DESCRIPTOR_FLAGS, ""),
        libc::F_GETFL => open(result.cast_unsigned()),
        _ => return result.to_string(),
    };
    match (result, flags.as_str()) {
        (0, "") => "0".into(),
        (0, flags) => format!("0 (flags {flags})"),
        _ => format!("{result:#x} (flags {flags})"),
    }
}

/// Flags of a futex command, which follow its name.
const FUTEX_FLAGS: [(u64, &str); 2] = [(128, "_PRIVATE"), (256, "|FUTEX_CLOCK_REALTIME")];

fn futex(value: u64) -> String {
    let mut text = name::word(value & 0x7f, name::FUTEX);
    for (flag, suffix) in FUTEX_FLAGS {
        if value & flag != 0 {
            text.push_str(suffix);
        }
    }
    text
}

fn futex_command(record: &Record<'_>) -> i32 {
    signed(record.argument(1)) & 0x7f
}

fn futex_time(record: &Record<'_>, index: usize) -> Option<String> {
    match futex_command(record) {
        libc::FUTEX_WAIT | libc::FUTEX_LOCK_PI | libc::FUTEX_WAIT_BITSET => {
            Some(bytes(record, index, structure::time))
        }
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE | libc::FUTEX_WAKE_OP => {
            Some(signed(record.argument(index)).to_string())
        }
        // The register holds nothing that such a command looks at.
        _ => None,
    }
}

fn futex_rest(record: &Record<'_>, index: usize) -> Option<String> {
    let (value, is_address) = (record.argument(index), index == 4);
    match (futex_command(record), is_address) {
        (libc::FUTEX_CMP_REQUEUE | libc::FUTEX_REQUEUE, true) => Some(hex(value)),
        (libc::FUTEX_WAIT_BITSET, false) if signed(value) == -1 => {
            Some("FUTEX_BITSET_MATCH_ANY".into())
        }
        (libc::FUTEX_WAIT_BITSET, false) => {
            let mut text = String::new();
            let _ = write!(text, "{:#x}", low(value));
            Some(text)
        }
        (libc::FUTEX_CMP_REQUEUE, false) => Some(signed(value).to_string()),
        _ => None,
    }
}
