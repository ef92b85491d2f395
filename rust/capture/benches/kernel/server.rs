//! A memcached of the benchmark's own, and the requests that it is sent.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

/// Returns the requests of one turn, and the length of their replies.
pub(crate) fn requests(turn: usize, depth: usize) -> (Vec<u8>, usize) {
    let (mut requests, mut length) = (Vec::new(), 0);
    for operation in turn * depth..(turn + 1) * depth {
        let key = format!("key:{:026}", operation % 10);
        if operation % 10 == 9 {
            requests.extend(set(&key));
            length += "STORED\r\n".len();
        } else {
            requests.extend(format!("get {key}\r\n").bytes());
            length += format!("VALUE {key} 0 100\r\n{}\r\nEND\r\n", value()).len();
        }
    }
    (requests, length)
}

fn set(key: &str) -> Vec<u8> {
    format!("set {key} 0 0 100\r\n{}\r\n", value()).into_bytes()
}

fn value() -> String {
    "v".repeat(100)
}

/// A memcached with one worker, and a connection to ask it.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let process = Command::new("memcached")
            .args([
                "-l",
                "127.0.0.1",
                "-U",
                "0",
                "-u",
                "nobody",
                "-t",
                "1",
                "-p",
            ])
            .arg(port.to_string())
            .spawn()
            .expect("memcached is installed");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        let server = Self { process, port };
        let mut client = server.connect();
        for number in 0..10 {
            let set = set(&format!("key:{number:026}"));
            client.write_all(&set).expect("memcached reads");
            client.read_exact(&mut [0; 8]).expect("memcached answers");
        }
        server
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("memcached listens");
        stream.set_nodelay(true).expect("a TCP option");
        stream
    }

    /// Returns the CPU time that the server has used, ns.
    pub(crate) fn cpu(&self) -> f64 {
        let mut client = self.connect();
        client
            .write_all(b"stats\r\nquit\r\n")
            .expect("memcached reads");
        let mut reply = String::new();
        client
            .read_to_string(&mut reply)
            .expect("memcached answers");
        let used = reply
            .lines()
            .filter(|line| line.starts_with("STAT rusage_"));
        let seconds = used.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        seconds.sum::<f64>() * 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it has one").port()
}

pub(crate) fn end(process: &mut Child) {
    process.kill().expect("a child of this process");
    process.wait().expect("a child of this process");
}
