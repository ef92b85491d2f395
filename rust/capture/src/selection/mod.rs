//! A choice of servers or clients, in a person's words → the numbers that the kernel programs compare.

mod followed;
pub(crate) mod listeners;
pub(crate) mod memcacheds;
pub(crate) mod namespaces;
pub(crate) mod unix;

use std::fmt;
use std::path::{Path, PathBuf};

use membench_common::{FILTERS, SOCKET_PATHS};

pub use followed::{Followed, Side};

use crate::selection::listeners::Endpoint;
use crate::{Error, Result};
use membench_event::Setting;

/// memcached's own port.
const DEFAULT_PORT: u16 = 11211;

/// A choice of servers or clients to follow, in a person's words. Each list that is not empty narrows the choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// End of connections to follow.
    pub side: Side,
    /// Listening ports; with neither these nor paths, those of the processes, else memcached's own.
    pub ports: Vec<u16>,
    /// True to find memcached by content, on any port. Only packets can be looked at so.
    pub any_port: bool,
    /// Paths of UNIX-domain sockets, as the servers bind them; `@` begins an abstract name.
    pub sockets: Vec<PathBuf>,
    /// Processes, in the recorder's pid namespace.
    pub pids: Vec<u32>,
    /// Control groups (v2): folders, or paths as in `/proc/PID/cgroup`.
    pub cgroups: Vec<PathBuf>,
    /// Network namespaces: names as in `ip netns`, paths, or pids.
    pub network_namespaces: Vec<String>,
}

impl Selection {
    /// Looks everything up on this machine.
    ///
    /// # Errors
    ///
    /// Something is not there, or more is named than the kernel programs can follow.
    pub fn find(&self) -> Result<Followed> {
        let (mut ports, mut sockets) = (self.ports.clone(), self.sockets.clone());
        let is_server = self.side == Side::Server;
        let ports_of_processes = is_server && ports.is_empty() && sockets.is_empty();
        for pid in &self.pids {
            require_process(*pid)?;
            if ports_of_processes {
                add_endpoints(*pid, &mut ports, &mut sockets)?;
            }
        }
        if ports.is_empty() && sockets.is_empty() && !self.any_port {
            ports.push(DEFAULT_PORT);
        }
        ports.sort_unstable();
        ports.dedup();
        Ok(Followed {
            side: self.side,
            ports,
            any_port: self.any_port,
            sockets: checked_paths(sockets)?,
            pids: limited(Setting::Pids, &self.pids)?.to_vec(),
            #[cfg(feature = "ebpf")]
            pid_namespace: membench_bpf::pid_namespace(),
            #[cfg(not(feature = "ebpf"))]
            pid_namespace: [0; 2],
            cgroups: each(Setting::Cgroups, &self.cgroups, |path| cgroup(path))?,
            network_namespaces: each(
                Setting::NetworkNamespaces,
                &self.network_namespaces,
                |name| network_namespace(name),
            )?,
        })
    }
}

/// Writes the parts of the choice that were given.
impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            side,
            ports,
            any_port,
            sockets,
            pids,
            cgroups,
            network_namespaces,
        } = self;
        let ports = if *any_port {
            "any".to_owned()
        } else {
            format!("{ports:?}")
        };
        let side = match side {
            Side::Server => "[]".to_owned(),
            Side::Client => side.name().to_owned(),
        };
        let named = [
            ("side", side),
            ("ports", ports),
            ("sockets", format!("{sockets:?}")),
            ("processes", format!("{pids:?}")),
            ("control groups", format!("{cgroups:?}")),
            ("network namespaces", format!("{network_namespaces:?}")),
        ];
        let asked = named.iter().filter(|(_, list)| list != "[]");
        let words: Vec<String> = asked.map(|(name, list)| format!("{name} {list}")).collect();
        formatter.write_str(&words.join(", "))
    }
}

/// Looks up each of the things wanted, if there are not too many.
fn each<T, N>(option: Setting, wanted: &[T], find: impl Fn(&T) -> Result<N>) -> Result<Vec<N>> {
    limited(option, wanted)?.iter().map(find).collect()
}

fn limited<T>(option: Setting, wanted: &[T]) -> Result<&[T]> {
    if wanted.len() <= FILTERS {
        return Ok(wanted);
    }
    Err(too_many(option, wanted.len(), FILTERS))
}

fn require_process(pid: u32) -> Result<()> {
    if Path::new(&format!("/proc/{pid}/stat")).exists() {
        return Ok(());
    }
    Err(refused(Setting::Pids, &pid.to_string(), "no such process"))
}

/// Adds the ports and paths on which a process listens.
fn add_endpoints(pid: u32, ports: &mut Vec<u16>, sockets: &mut Vec<PathBuf>) -> Result<()> {
    let found = listeners::of_process(pid);
    if found.is_empty() {
        let found = "it listens on no port and no path that this user can see";
        return Err(refused(Setting::Pids, &pid.to_string(), found));
    }
    for endpoint in found {
        match endpoint {
            Endpoint::Inet(address) => ports.push(address.port()),
            Endpoint::Unix(path) => sockets.push(path),
        }
    }
    Ok(())
}

/// Returns each path once, if the kernel programs can compare all of them.
fn checked_paths(mut paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    paths.sort_unstable();
    paths.dedup();
    if let Some(path) = paths.iter().find(|path| !unix::fits(path)) {
        let found = "a socket's path has 1 to 107 bytes";
        return Err(refused(
            Setting::Sockets,
            &path.display().to_string(),
            found,
        ));
    }
    if paths.len() > SOCKET_PATHS {
        return Err(too_many(Setting::Sockets, paths.len(), SOCKET_PATHS));
    }
    Ok(paths)
}

/// Returns the id of a control group.
#[cfg(feature = "ebpf")]
fn cgroup(path: &Path) -> Result<u64> {
    membench_bpf::cgroup(path).ok_or_else(|| {
        let found = "no control group (v2) is there";
        refused(Setting::Cgroups, &path.display().to_string(), found)
    })
}

/// Refuses a control group: without kernel programs, nothing tells which of them a socket belongs to.
#[cfg(not(feature = "ebpf"))]
fn cgroup(path: &Path) -> Result<u64> {
    let found = "this build records no sockets, and packets name no control group";
    Err(refused(
        Setting::Cgroups,
        &path.display().to_string(),
        found,
    ))
}

fn network_namespace(name: &str) -> Result<u32> {
    let candidates = if name.contains('/') {
        vec![name.to_owned()]
    } else {
        vec![
            format!("/proc/{name}/ns/net"),
            format!("/run/netns/{name}"),
            format!("/var/run/netns/{name}"),
        ]
    };
    let found = candidates
        .iter()
        .find_map(|file| namespaces::inode_of(Path::new(file)));
    found.ok_or_else(|| {
        let found = "no network namespace has this name, path or process";
        refused(Setting::NetworkNamespaces, name, found)
    })
}

fn too_many(option: Setting, wanted: usize, limit: usize) -> Error {
    let found = format!("at most {limit} can be followed at once");
    refused(option, &format!("{wanted} of them"), &found)
}

fn refused(option: Setting, wanted: &str, found: &str) -> Error {
    Error::Selection {
        option,
        wanted: wanted.to_owned(),
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid() -> u32 {
        std::process::id()
    }

    #[test]
    fn ports_alone_narrow_nothing_else() {
        let selection = Selection {
            ports: vec![11212, 11211, 11211],
            ..Selection::default()
        };
        let Followed { ports, pids, .. } = selection.find().unwrap();
        assert_eq!((ports, pids), (vec![11211, 11212], vec![]));
    }

    #[test]
    fn a_process_brings_the_ports_it_listens_on() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listening.local_addr().unwrap().port();
        let selection = Selection {
            pids: vec![pid()],
            ..Selection::default()
        };
        assert!(selection.find().unwrap().ports.contains(&port));
    }

    #[test]
    fn a_network_namespace_is_found_by_pid_path_or_name() {
        let own = namespaces::own();
        assert_eq!(network_namespace(&pid().to_string()).unwrap(), own);
        assert_eq!(network_namespace("/proc/self/ns/net").unwrap(), own);
    }

    #[test]
    fn a_choice_of_something_that_is_not_there_is_refused_by_its_option() {
        let none = |selection: Selection| match selection.find() {
            Err(Error::Selection { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        let base = Selection {
            ports: vec![11211],
            ..Selection::default()
        };
        for (selection, option) in [
            (
                Selection {
                    pids: vec![u32::MAX],
                    ..base.clone()
                },
                Setting::Pids,
            ),
            (
                Selection {
                    pids: vec![pid(); FILTERS + 1],
                    ..base.clone()
                },
                Setting::Pids,
            ),
            (
                Selection {
                    sockets: vec!["p".repeat(108).into()],
                    ..base.clone()
                },
                Setting::Sockets,
            ),
            (
                Selection {
                    cgroups: vec!["/no/such/group".into()],
                    ..base.clone()
                },
                Setting::Cgroups,
            ),
            (
                Selection {
                    network_namespaces: vec!["no-such-namespace".into()],
                    ..base
                },
                Setting::NetworkNamespaces,
            ),
        ] {
            assert_eq!(none(selection), option);
        }
    }
}
