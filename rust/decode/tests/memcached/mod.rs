//! A memcached of the test's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// A running memcached; it ends with this value.
pub(crate) struct Memcached {
    process: Mutex<Child>,
    port: u16,
}

impl Memcached {
    /// Starts one on a free port, or says why the test is skipped.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ports = folder.path().join("ports");
        let process = Command::new("memcached")
            .args([
                "-u",
                "root",
                "-U",
                "0",
                "-l",
                "127.0.0.1",
                "-t",
                "1",
                "-p",
                "-1",
            ])
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .spawn();
        let Ok(process) = process else {
            eprintln!("skipped: memcached is not installed");
            return None;
        };
        let server = Self {
            process: Mutex::new(process),
            port: await_port(&ports),
        };
        server.await_idle();
        Some(server)
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client that memcached has noticed.
    pub(crate) fn client(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address()).unwrap();
        client.write_all(b"mn\r\n").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        client
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Waits until its own count of connections is right.
    fn await_idle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut client = self.client();
        let mut text = String::new();
        while !text.contains("curr_connections 1\r\n") {
            assert!(Instant::now() < deadline, "memcached keeps a connection");
            client.write_all(b"stats\r\n").unwrap();
            text.clear();
            while !text.ends_with("END\r\n") {
                let mut bytes = [0; 4096];
                let read = client.read(&mut bytes).unwrap();
                text.push_str(str::from_utf8(&bytes[..read]).unwrap());
            }
        }
    }
}

/// The port that a memcached chose, from the file it writes.
fn await_port(file: &Path) -> u16 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(port) = text.trim_end().strip_prefix("TCP INET: ") {
            return port.parse().unwrap();
        }
        assert!(Instant::now() < deadline, "memcached did not start: {text}");
        std::thread::yield_now();
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}
