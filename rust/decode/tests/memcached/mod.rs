//! A memcached process for a single test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longest wait for memcached, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running memcached, killed on drop.
pub(crate) struct Memcached {
    process: Mutex<Child>,
    port: u16,
}

impl Memcached {
    /// Starts a memcached on a free port; panics with the remedy if it is not installed.
    pub(crate) fn start() -> Self {
        Self::start_with("memcached", "")
    }

    /// Starts a memcached on the port of one that was killed.
    #[allow(dead_code, reason = "not every test that shares this starts one again")]
    pub(crate) fn start_at(port: u16) -> Self {
        Self::start_with("memcached", &format!("-p {port}"))
    }

    /// Starts `program` with `options`, as [`start`](Self::start) does.
    pub(crate) fn start_with(program: &str, options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = folder.path().join("ports");
        let process = Command::new(program)
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
            .args(options.split_whitespace())
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .spawn()
            .expect("memcached is installed (`make setup`)");
        let server = Self {
            process: Mutex::new(process),
            port: await_port(&ports),
        };
        server.await_idle();
        server
    }

    /// The server's port.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The server's address, `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Connects a client and waits until memcached has accepted it.
    pub(crate) fn client(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address()).unwrap();
        client.write_all(b"mn\r\n").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        client
    }

    /// Kills the process and waits for its end.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Waits until this connection is the only one that memcached counts.
    fn await_idle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut client = self.client();
        let mut text = String::new();
        while !text.contains("curr_connections 1\r\n") {
            assert!(
                Instant::now() < deadline,
                "memcached still counts another connection"
            );
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

/// Waits for the file that memcached writes its port to, and returns the port.
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
