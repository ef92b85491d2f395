//! The options of a capture → the programs' globals.

use membench_bpf::{Object, list};
use membench_common::{FILTERS, PATH_WORDS, PORTS, SOCKET_PATHS, field, global, member};

use crate::{
    Error, Followed, KernelOptions, Result, clock,
    selection::unix,
    source::sockets::{
        options::{responses_global, side_global},
        syscalls,
    },
};

/// Offsets of the structure members that the programs read.
pub(crate) struct Offsets {
    pub(crate) fields: [u32; field::COUNT],
    pub(crate) members: [u32; member::COUNT],
    /// The bit that says that a socket was bound to its port.
    pub(crate) port_lock: u32,
}

/// Sets the globals of the programs at sockets or system calls.
pub(crate) fn set(
    object: &mut Object,
    options: &KernelOptions,
    offsets: &Offsets,
    standby: bool,
) -> Result<()> {
    let Followed {
        side,
        ports: _,
        any_port: _,
        sockets,
        pids,
        pid_namespace,
        cgroups,
        network_namespaces,
    } = &options.followed;
    let paths = sockets.iter().map(|path| unix::words(path));
    let (paths, lengths): (Vec<[u32; PATH_WORDS]>, Vec<u32>) = paths.unzip();
    object
        .set_global(global::FIELDS, &offsets.fields)?
        .set_global(global::MEMBERS, &offsets.members)?
        .set_global(global::PORT_LOCK, &offsets.port_lock)?
        .set_global(global::SYSCALLS, &syscalls::NUMBERS)?
        .set_global(global::CALLS, &syscalls::CALLS)?
        .set_global(global::SIDE, &side_global(*side))?
        .set_global(global::PORTS, &ports(&options.followed)?)?
        .set_global(global::PATHS, &list::<_, SOCKET_PATHS>(&paths))?
        .set_global(global::PATH_LENGTHS, &list::<_, SOCKET_PATHS>(&lengths))?
        .set_global(global::PIDS, &list::<_, FILTERS>(pids))?
        .set_global(global::PID_NAMESPACE, pid_namespace)?
        .set_global(global::CGROUPS, &list::<_, FILTERS>(cgroups))?
        .set_global(global::NAMESPACES, &list::<_, FILTERS>(network_namespaces))?
        .set_global(global::RESPONSES, &responses_global(options.responses))?
        .set_global(global::STANDBY, &u32::from(standby))?
        .set_global(global::SAMPLE, &options.one_connection_in)?
        .set_global(global::JIFFY, &clock::jiffy_ns())?;
    Ok(())
}

/// Returns the ports as the programs read them, ended by 0; none if only UNIX-domain sockets are followed.
fn ports(followed: &Followed) -> Result<[u16; PORTS]> {
    if followed.ports.is_empty() && !followed.sockets.is_empty() {
        return Ok([0; PORTS]);
    }
    port_list(&followed.ports)
}

/// Returns the ports as the programs read them, ended by 0 unless there are as many as fit. At least one is required.
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
