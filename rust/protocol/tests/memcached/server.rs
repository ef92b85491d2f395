//! Bytes → the answer of a memcached.

use std::io::{self, ErrorKind, Read, Write};
use std::iter;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use membench_protocol::Dialect;

/// The next server's port; ports in use are skipped.
static PORT: AtomicU16 = AtomicU16::new(21_200);
const PORTS_TRIED: usize = 50;

/// A memcached process, killed on drop.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts the installed memcached on a free port; `None`, with the reason printed, if it is missing or is not of
    /// the classic dialect.
    pub(crate) fn start() -> Option<Self> {
        Self::with_dialect(Dialect::Classic, "memcached".as_ref())
    }

    /// Starts the memcached of another Debian that `tests/current_memcached.sh` keeps in the cache; `None` as for
    /// [`Server::start`].
    pub(crate) fn of_suite(suite: &str, dialect: Dialect) -> Option<Self> {
        let home = std::env::var_os("HOME").unwrap_or_default();
        let program = format!(".cache/membench/memcached-{suite}/memcached");
        Self::with_dialect(dialect, &Path::new(&home).join(program))
    }

    fn with_dialect(dialect: Dialect, program: &Path) -> Option<Self> {
        let shown = program.display();
        let Ok(version) = Process::new(program).arg("-V").output() else {
            println!("skipped: no `{shown}`");
            return None;
        };
        let version = version.stdout.strip_prefix(b"memcached ")?;
        if Dialect::from_version(version) != Some(dialect) {
            println!("skipped: `{shown}` is not of dialect {dialect:?}");
            return None;
        }
        iter::repeat_with(|| PORT.fetch_add(1, Ordering::Relaxed))
            .take(PORTS_TRIED)
            .find_map(|port| Self::with_port(program, port))
    }

    fn with_port(program: &Path, port: u16) -> Option<Self> {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return None;
        }
        let child = Process::new(program)
            .args([
                "-l",
                "127.0.0.1",
                "-U",
                "0",
                "-t",
                "1",
                "-u",
                "nobody",
                "-p",
            ])
            .arg(port.to_string())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            if server.child.try_wait().ok()?.is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        None
    }

    /// Sends `bytes` and returns everything that memcached answers until it closes the connection.
    pub(crate) fn ask(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(bytes)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => Ok(answer),
        }
    }

    /// Returns true if memcached waits for the rest of an incomplete line: it answers the line end and another request,
    /// sent after it has read the line.
    pub(crate) fn waits_after(&self, line: &[u8]) -> io::Result<bool> {
        let read = |server: &Self| -> io::Result<Vec<u8>> { server.ask(b"stats\r\n") };
        let before = bytes_read(&read(self)?);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(line)?;
        while bytes_read(&read(self)?) < before + line.len() {
            std::thread::yield_now();
        }
        let mut answer = Vec::new();
        let sent = stream.write_all(b"\r\nversion\r\n");
        let answered = sent
            .and_then(|()| stream.shutdown(Shutdown::Write))
            .and_then(|()| stream.read_to_end(&mut answer));
        Ok(answered.is_ok() && answer.starts_with(b"END\r\nVERSION"))
    }
}

/// Returns memcached's counter of received bytes, from its statistics.
fn bytes_read(statistics: &[u8]) -> usize {
    let text = String::from_utf8_lossy(statistics);
    text.lines()
        .find_map(|line| line.strip_prefix("STAT bytes_read "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
