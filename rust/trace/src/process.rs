//! `/proc` → the processes that are traced.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Inode number of the initial pid namespace.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/proc_ns.h>
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;
/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";
/// Name of memcached's processes.
const MEMCACHED: &str = "memcached";

/// Returns device and inode number of this process's pid namespace; zeros if it is the initial one.
pub(crate) fn namespace() -> [u64; 2] {
    match fs::metadata("/proc/self/ns/pid") {
        Ok(own) if own.ino() != INITIAL_PID_NAMESPACE => [own.dev(), own.ino()],
        _ => [0; 2],
    }
}

/// Fails if a process does not exist, or is a thread of another.
pub(crate) fn check(pid: u32) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.map_err(|_| Error::NoSuchProcess { pid })?;
    let leader = status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    match leader {
        Some(leader) if leader != pid => Err(Error::Thread {
            tid: pid,
            pid: leader,
        }),
        _ => Ok(()),
    }
}

/// True if a process runs.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and can hold any of them.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Returns the processes that listen on any of the ports, as far as this user can see.
pub(crate) fn listening(ports: &[u16]) -> Result<Vec<u32>> {
    let listeners = listeners(Path::new("/proc/self"));
    let wanted = listeners.filter(|(port, _)| ports.contains(port));
    let inodes: BTreeSet<u64> = wanted.map(|(_, inode)| inode).collect();
    let processes = fs::read_dir("/proc").map_err(|source| Error::Io {
        path: "/proc".into(),
        source,
    })?;
    let numbers = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found: Vec<u32> = numbers.filter(|pid| holds(*pid, &inodes)).collect();
    if found.is_empty() {
        return Err(Error::NobodyListens {
            ports: ports.into(),
        });
    }
    Ok(found)
}

/// Returns the ports on which those of the processes that are memcacheds listen, as far as this user can see.
pub(crate) fn memcached_ports(pids: &[u32]) -> BTreeSet<u16> {
    let paths = pids.iter().map(|pid| PathBuf::from(format!("/proc/{pid}")));
    let servers = paths.filter(|path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == MEMCACHED)
    });
    servers
        .flat_map(|path| {
            let held: BTreeSet<u64> = inodes(&path).collect();
            listeners(&path).filter(move |(_, inode)| held.contains(inode))
        })
        .map(|(port, _)| port)
        .collect()
}

/// Returns the port and the inode number of each listening socket in the network namespace of a process.
fn listeners(process: &Path) -> impl Iterator<Item = (u16, u64)> + use<> {
    let folder = process.join("net");
    ["tcp", "tcp6", "udp", "udp6"]
        .into_iter()
        .flat_map(move |table| {
            let text = fs::read_to_string(folder.join(table)).unwrap_or_default();
            let is_udp = table.starts_with("udp");
            let lines = text.lines().skip(1);
            let found = lines.filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let port = fields.get(1)?.rsplit_once(':')?.1;
                let port = u16::from_str_radix(port, 16).ok()?;
                let is_listening = is_udp || fields.get(3) == Some(&LISTENING);
                let inode = fields.get(9)?.parse().ok()?;
                is_listening.then_some((port, inode))
            });
            found.collect::<Vec<_>>()
        })
}

fn holds(pid: u32, wanted: &BTreeSet<u64>) -> bool {
    inodes(Path::new(&format!("/proc/{pid}"))).any(|inode| wanted.contains(&inode))
}

/// Returns the inode numbers of the sockets that a process holds.
fn inodes(process: &Path) -> impl Iterator<Item = u64> + use<> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    let links = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| inode(&link))
}

/// Returns the inode number in a link such as `socket:[812]`.
fn inode(link: &Path) -> Option<u64> {
    link.to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_threads_and_from_none() {
        assert!(check(std::process::id()).is_ok() && is_running(std::process::id()));
        let tid = std::thread::spawn(|| {
            let tid = rustix::thread::gettid()
                .as_raw_nonzero()
                .get()
                .cast_unsigned();
            (tid, check(tid))
        });
        let (tid, checked) = tid.join().unwrap();
        assert!(matches!(checked, Err(Error::Thread { tid: found, .. }) if found == tid));
        assert!(matches!(check(u32::MAX), Err(Error::NoSuchProcess { .. })));
    }

    #[test]
    fn the_process_that_listens_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(listening(&[port]).unwrap().contains(&std::process::id()));
        drop(socket);
        assert!(matches!(
            listening(&[port]),
            Err(Error::NobodyListens { .. })
        ));
    }
}
