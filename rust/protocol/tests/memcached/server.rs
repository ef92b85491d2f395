//! Bytes → what a memcached answers to them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

const PORTS: std::ops::Range<u16> = 21_200..21_240;
/// A memcached of its own, ended when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// A memcached of the classic dialect on a free port; none, with the reason printed, if there is none here.
    pub(crate) fn start() -> Option<Self> {
        let version = Process::new("memcached").arg("-V").output();
        let Ok(version) = version else {
            println!("skipped: no `memcached` on the path");
            return None;
        };
        if !version.stdout.starts_with(b"memcached 1.6.") {
            println!("skipped: `memcached -V` is no 1.6");
            return None;
        }
        PORTS.clone().find_map(Self::on)
    }

    fn on(port: u16) -> Option<Self> {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return None;
        }
        let child = Process::new("memcached")
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

    /// All that memcached answers to `bytes` until it is done or closes.
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
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
