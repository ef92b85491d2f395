//! A memcached of the test's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A running memcached; it ends with this value.
pub struct Memcached {
    process: Mutex<Child>,
    port: u16,
}

impl Memcached {
    /// Starts one on a free port, or says why the test is skipped.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub fn start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("memcached")
            .args(["-u", "nobody", "-U", "0", "-l", "127.0.0.1", "-t", "1"])
            .args(["-p", &port.to_string()])
            .stderr(Stdio::piped())
            .spawn();
        let Ok(process) = process else {
            eprintln!("skipped: memcached is not installed");
            return None;
        };
        let server = Self {
            process: Mutex::new(process),
            port,
        };
        server.await_idle();
        Some(server)
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client that memcached has noticed.
    pub fn client(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address()).unwrap();
        client.write_all(b"mn\r\n").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        client
    }

    /// Ends it at once.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Waits until it listens and has forgotten the connection that found out.
    fn await_idle(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address()).is_err() {
            let mut process = self.process.lock().unwrap();
            if process.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let mut text = String::new();
                process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                panic!("memcached did not start: {text}");
            }
        }
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

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}
