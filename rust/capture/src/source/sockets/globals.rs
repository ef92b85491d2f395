//! What a capture is asked for → what its programs are told when they are loaded.

use aya::EbpfLoader;
use membench_common::{FILTERS, PATH_WORDS, PORTS, SOCKET_PATHS, field, global, member};

use crate::bpf::syscalls;
use crate::selection::unix;
use crate::source::sockets::options::{responses_global, side_global};
use crate::{Error, Followed, KernelOptions, Result, clock};

/// Offsets of what the programs read.
pub(crate) struct Offsets {
    pub(crate) fields: [u32; field::COUNT],
    pub(crate) members: [u32; member::COUNT],
}

/// The programs' globals that differ from capture to capture.
pub(crate) struct Globals {
    offsets: Offsets,
    side: u32,
    ports: [u16; PORTS],
    paths: [[u32; PATH_WORDS]; SOCKET_PATHS],
    path_lengths: [u32; SOCKET_PATHS],
    pids: [u32; FILTERS],
    pid_namespace: [u64; 2],
    cgroups: [u64; FILTERS],
    network_namespaces: [u32; FILTERS],
    responses: u32,
    one_connection_in: u32,
    jiffy_ns: u32,
}

impl Globals {
    /// Those of a capture.
    pub(crate) fn new(options: &KernelOptions, offsets: Offsets) -> Result<Self> {
        let Followed {
            side,
            ports: _,
            sockets,
            pids,
            pid_namespace,
            cgroups,
            network_namespaces,
        } = &options.followed;
        let paths = sockets.iter().map(|path| unix::words(path));
        let (paths, lengths): (Vec<_>, Vec<_>) = paths.unzip();
        Ok(Self {
            offsets,
            side: side_global(*side),
            ports: ports(&options.followed)?,
            paths: list(&paths),
            path_lengths: list(&lengths),
            pids: list(pids),
            pid_namespace: *pid_namespace,
            cgroups: list(cgroups),
            network_namespaces: list(network_namespaces),
            responses: responses_global(options.responses),
            one_connection_in: options.one_connection_in,
            jiffy_ns: clock::jiffy_ns(),
        })
    }

    /// Tells the programs.
    pub(crate) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global(global::FIELDS, &self.offsets.fields, true)
            .override_global(global::MEMBERS, &self.offsets.members, true)
            .override_global(global::SYSCALLS, &syscalls::NUMBERS, true)
            .override_global(global::CALLS, &syscalls::CALLS, true)
            .override_global(global::SIDE, &self.side, true)
            .override_global(global::PORTS, &self.ports, true)
            .override_global(global::PATHS, &self.paths, true)
            .override_global(global::PATH_LENGTHS, &self.path_lengths, true)
            .override_global(global::PIDS, &self.pids, true)
            .override_global(global::PID_NAMESPACE, &self.pid_namespace, true)
            .override_global(global::CGROUPS, &self.cgroups, true)
            .override_global(global::NAMESPACES, &self.network_namespaces, true)
            .override_global(global::RESPONSES, &self.responses, true)
            .override_global(global::SAMPLE, &self.one_connection_in, true)
            .override_global(global::JIFFY, &self.jiffy_ns, true);
    }
}

/// The ports as the programs read them, ended by 0.
fn ports(followed: &Followed) -> Result<[u16; PORTS]> {
    if followed.ports.is_empty() && !followed.sockets.is_empty() {
        return Ok([0; PORTS]);
    }
    port_list(&followed.ports)
}

/// The same where there is nothing else to follow.
pub(crate) fn port_list(wanted: &[u16]) -> Result<[u16; PORTS]> {
    let mut ports = [0; PORTS];
    if wanted.is_empty() || wanted.len() > PORTS || wanted.contains(&0) {
        return Err(Error::Ports {
            wanted: wanted.to_vec(),
            most: PORTS,
        });
    }
    ports[..wanted.len()].copy_from_slice(wanted);
    Ok(ports)
}

/// A list as the programs read it, ended by 0 unless full.
fn list<T: Copy + zerocopy::FromZeros, const MOST: usize>(wanted: &[T]) -> [T; MOST] {
    std::array::from_fn(|index| wanted.get(index).copied().unwrap_or(T::new_zeroed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_one_and_sixteen_ports_are_followed() {
        let ports = |wanted: &[u16]| ports(&Followed::ports(wanted));
        assert_eq!(ports(&[11211, 80]).unwrap()[..3], [11211, 80, 0]);
        assert_eq!(ports(&[1; PORTS]).unwrap(), [1; PORTS]);
        for wanted in [&[][..], &[0], &[1; PORTS + 1]] {
            assert!(
                matches!(ports(wanted), Err(Error::Ports { .. })),
                "{wanted:?}"
            );
        }
    }
}
