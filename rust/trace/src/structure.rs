//! Structures of the Linux ABI in a call's arguments → text, as strace prints them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{argument::hex, escape, name};

/// Returns the little-endian number of up to 8 bytes at an offset; 0 beyond the end.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut value = 0;
    for (place, byte) in bytes.iter().skip(at).take(size).enumerate() {
        value |= u64::from(*byte) << (8 * place);
    }
    value
}

fn word(bytes: &[u8], at: usize) -> u64 {
    number(bytes, at, 4)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    number(bytes, at, 8)
}

fn int(bytes: &[u8], at: usize) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "four bytes were read")]
    let value = word(bytes, at) as u32;
    value.cast_signed()
}

/// Writes the elements of an array, with dots if some were not kept.
fn array(bytes: &[u8], size: usize, show: impl Fn(&[u8]) -> String) -> String {
    let elements: Vec<String> = bytes.chunks_exact(size).map(show).collect();
    format!("[{}]", elements.join(", "))
}

pub(crate) fn time(bytes: &[u8]) -> String {
    format!(
        "{{tv_sec={}, tv_nsec={}}}",
        long(bytes, 0).cast_signed(),
        long(bytes, 8)
    )
}

pub(crate) fn timeval(bytes: &[u8]) -> String {
    format!(
        "{{tv_sec={}, tv_usec={}}}",
        long(bytes, 0).cast_signed(),
        long(bytes, 8)
    )
}

pub(crate) fn timer(bytes: &[u8]) -> String {
    let value = bytes.get(16..).unwrap_or_default();
    format!("{{it_interval={}, it_value={}}}", time(bytes), time(value))
}

pub(crate) fn signals(bytes: &[u8]) -> String {
    name::signals(long(bytes, 0))
}

pub(crate) fn action(bytes: &[u8]) -> String {
    let handler = match long(bytes, 0) {
        0 => "SIG_DFL".into(),
        1 => "SIG_IGN".into(),
        address => format!("{address:#x}"),
    };
    let flags = long(bytes, 8);
    let restorer = match flags & 0x0400_0000 {
        0 => String::new(),
        _ => format!(", sa_restorer={}", hex(long(bytes, 16))),
    };
    let mask = name::signals(long(bytes, 24));
    let flags = name::bits(flags, name::ACTION_FLAGS, "0");
    format!("{{sa_handler={handler}, sa_mask={mask}, sa_flags={flags}{restorer}}}")
}

pub(crate) fn address(bytes: &[u8]) -> String {
    let family = number(bytes, 0, 2);
    let port = u16::from_be_bytes([byte(bytes, 2), byte(bytes, 3)]);
    match i32::try_from(family) {
        Ok(libc::AF_INET) if bytes.len() >= 8 => {
            let ip = Ipv4Addr::new(
                byte(bytes, 4),
                byte(bytes, 5),
                byte(bytes, 6),
                byte(bytes, 7),
            );
            format!("{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")}}")
        }
        Ok(libc::AF_INET6) if bytes.len() >= 24 => {
            let octets: [u8; 16] = std::array::from_fn(|index| byte(bytes, 8 + index));
            let (ip, flow, scope) = (Ipv6Addr::from(octets), word(bytes, 4), word(bytes, 24));
            format!(
                "{{sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), \
                 inet_pton(AF_INET6, \"{ip}\", &sin6_addr), sin6_scope_id={scope}}}"
            )
        }
        Ok(libc::AF_UNIX) => match bytes.get(2..) {
            Some([0, name @ ..]) if !name.is_empty() => {
                format!("{{sa_family=AF_UNIX, sun_path=@{}}}", escape::quoted(name))
            }
            Some([first, ..]) if *first != 0 => {
                let path = bytes.get(2..).unwrap_or_default();
                let end = path
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(path.len());
                let path = escape::quoted(path.get(..end).unwrap_or_default());
                format!("{{sa_family=AF_UNIX, sun_path={path}}}")
            }
            _ => "{sa_family=AF_UNIX}".into(),
        },
        _ => format!("{{sa_family={}, …}}", name::word(family, name::FAMILIES)),
    }
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

pub(crate) fn length(bytes: &[u8]) -> String {
    format!("[{}]", word(bytes, 0))
}

pub(crate) fn option(bytes: &[u8]) -> String {
    if bytes.len() == 4 {
        format!("[{}]", int(bytes, 0))
    } else {
        escape::quoted(bytes)
    }
}

pub(crate) fn vectors(bytes: &[u8]) -> String {
    array(bytes, 16, |one| format!("{{iov_len={}}}", long(one, 8)))
}

/// Writes a `struct msghdr`, whose name and iovecs are written already.
pub(crate) fn message(bytes: &[u8], name: Option<String>, vectors: Option<String>) -> String {
    let name = name.unwrap_or_else(|| hex(long(bytes, 0)));
    let vectors = vectors.unwrap_or_else(|| hex(long(bytes, 16)));
    format!(
        "{{msg_name={name}, msg_namelen={}, msg_iov={vectors}, msg_iovlen={}, msg_controllen={}, msg_flags={}}}",
        word(bytes, 8),
        long(bytes, 24),
        long(bytes, 40),
        name::bits(word(bytes, 48), name::MESSAGES, "0")
    )
}

pub(crate) fn event(bytes: &[u8]) -> String {
    let events = name::bits(word(bytes, 0), name::EPOLL, "0");
    let (low, all) = (word(bytes, 4), long(bytes, 4));
    format!("{{events={events}, data={{u32={low}, u64={all}}}}}")
}

pub(crate) fn events(bytes: &[u8]) -> String {
    array(bytes, 12, event)
}

pub(crate) fn polls(bytes: &[u8]) -> String {
    array(bytes, 8, |one| {
        let events = name::bits(number(one, 4, 2), name::POLLING, "0");
        format!("{{fd={}, events={events}}}", int(one, 0))
    })
}

/// Writes the descriptors of a poll that are ready.
pub(crate) fn ready(bytes: &[u8]) -> String {
    let ready: Vec<String> = bytes
        .chunks_exact(8)
        .filter(|one| number(one, 6, 2) != 0)
        .map(|one| {
            let events = name::bits(number(one, 6, 2), name::POLLING, "0");
            format!("{{fd={}, revents={events}}}", int(one, 0))
        })
        .collect();
    format!("[{}]", ready.join(", "))
}

pub(crate) fn pair(bytes: &[u8]) -> String {
    format!("[{}, {}]", int(bytes, 0), int(bytes, 4))
}

pub(crate) fn stat(bytes: &[u8]) -> String {
    let mode = word(bytes, 24);
    let kind = name::word(mode & 0o170_000, name::FILE_KINDS);
    let permissions = format!("{:0>3}", format!("0{:o}", mode & 0o7777));
    let rest = match name::find(mode & 0o170_000, name::FILE_KINDS) {
        Some("S_IFCHR" | "S_IFBLK") => {
            let device = long(bytes, 40);
            let (major, minor) = (libc::major(device), libc::minor(device));
            format!("st_rdev=makedev({major:#x}, {})", small(minor))
        }
        _ => format!("st_size={}", long(bytes, 48)),
    };
    format!("{{st_mode={kind}|{permissions}, {rest}, ...}}")
}

fn small(value: u32) -> String {
    if value == 0 {
        "0".into()
    } else {
        format!("{value:#x}")
    }
}

pub(crate) fn limit(bytes: &[u8]) -> String {
    format!(
        "{{rlim_cur={}, rlim_max={}}}",
        bound(long(bytes, 0)),
        bound(long(bytes, 8))
    )
}

fn bound(value: u64) -> String {
    match value {
        u64::MAX => "RLIM64_INFINITY".into(),
        value if value > 1024 && value % 1024 == 0 => format!("{}*1024", value / 1024),
        value => value.to_string(),
    }
}

pub(crate) fn status(bytes: &[u8]) -> String {
    let status = int(bytes, 0);
    if libc::WIFEXITED(status) {
        format!(
            "[{{WIFEXITED(s) && WEXITSTATUS(s) == {}}}]",
            libc::WEXITSTATUS(status)
        )
    } else if libc::WIFSIGNALED(status) {
        let signal = name::signal(u64::try_from(libc::WTERMSIG(status)).unwrap_or(0));
        format!("[{{WIFSIGNALED(s) && WTERMSIG(s) == {signal}}}]")
    } else {
        format!("[{status:#x}]")
    }
}

pub(crate) fn system(bytes: &[u8]) -> String {
    let field =
        |index: usize| escape::text(bytes.get(index * 65..(index + 1) * 65).unwrap_or_default());
    format!("{{sysname={}, nodename={}, ...}}", field(0), field(1))
}

pub(crate) fn cpus(bytes: &[u8]) -> String {
    let is_set = |cpu: &usize| byte(bytes, cpu / 8) >> (cpu % 8) & 1 == 1;
    let cpus: Vec<String> = (0..bytes.len() * 8)
        .filter(is_set)
        .map(|cpu| cpu.to_string())
        .collect();
    format!("[{}]", cpus.join(" "))
}

/// Writes a signal's name and origin, from the first bytes of a `siginfo_t`.
pub(crate) fn signal(number: u64, origin: &[u8]) -> String {
    let signal = name::signal(number);
    if origin.len() < 24 {
        return signal;
    }
    let code = word(origin, 8);
    let code_name = match (number, code) {
        (17, 1) => "CLD_EXITED".into(),
        (17, 2) => "CLD_KILLED".into(),
        (11, 1) => "SEGV_MAPERR".into(),
        (11, 2) => "SEGV_ACCERR".into(),
        _ => name::word(code, name::ORIGINS),
    };
    let rest = match (number, int(origin, 8)) {
        (17, 1..) => format!(
            ", si_pid={}, si_uid={}, si_status={}, si_utime={}, si_stime={}",
            int(origin, 16),
            int(origin, 20),
            int(origin, 24),
            long(origin, 32),
            long(origin, 40)
        ),
        (11 | 7 | 4 | 8, 1..) => format!(", si_addr={}", hex(long(origin, 16))),
        (_, 0 | -6 | -1) => format!(", si_pid={}, si_uid={}", int(origin, 16), int(origin, 20)),
        _ => String::new(),
    };
    format!("{signal} {{si_signo={signal}, si_code={code_name}{rest}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_written_as_strace_does() {
        let inet = [2, 0, 0x2b, 0xcb, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let expected =
            "{sa_family=AF_INET, sin_port=htons(11211), sin_addr=inet_addr(\"127.0.0.1\")}";
        assert_eq!(address(&inet), expected);
        assert_eq!(
            address(b"\x01\0/tmp/s\0"),
            "{sa_family=AF_UNIX, sun_path=\"/tmp/s\"}"
        );
        assert_eq!(
            address(b"\x01\0\0abc"),
            "{sa_family=AF_UNIX, sun_path=@\"abc\"}"
        );
        let polled = [7, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(
            polls(&polled),
            "[{fd=7, events=POLLIN}, {fd=8, events=POLLOUT}]"
        );
        assert_eq!(ready(&polled), "[{fd=7, revents=POLLIN}]");
        assert_eq!(cpus(&[3, 0, 0, 0]), "[0 1]");
        assert_eq!(limit(&[0; 16]), "{rlim_cur=0, rlim_max=0}");
        assert_eq!(
            status(&[0, 7, 0, 0]),
            "[{WIFEXITED(s) && WEXITSTATUS(s) == 7}]"
        );
    }

    #[test]
    fn bytes_that_end_early_become_text_too() {
        for bytes in [&[][..], &[1], &[2, 0], &[10, 0, 1]] {
            for show in [
                address, time, timer, stat, system, action, event, status, limit, signals, length,
                pair,
            ] {
                assert!(!show(bytes).is_empty());
            }
            assert!(!signal(10, bytes).is_empty() && !message(bytes, None, None).is_empty());
        }
    }
}
