//! The programs in this kernel, beside a memcached. As root: `cargo test -p membench-observe -- --include-ignored`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use membench_capture::Selection;
use membench_observe::Observer;

/// A memcached of the test's own.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let text = port.to_string();
        let process = Command::new("memcached")
            .args([
                "-p",
                &text,
                "-U",
                "0",
                "-l",
                "127.0.0.1",
                "-t",
                "2",
                "-u",
                "root",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "memcached does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs root and memcached"]
fn the_parts_of_each_request_sum_to_its_whole() {
    let server = Server::start();
    let mut observer = Observer::start(&Selection {
        ports: vec![server.port],
        ..Selection::default()
    })
    .unwrap();
    let client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(client.try_clone().unwrap());
    let mut client = client;
    let mut line = String::new();
    let begun = Instant::now();
    for _ in 0..5000 {
        client.write_all(b"get x\r\n").unwrap();
        line.clear();
        answers.read_line(&mut line).unwrap();
        assert_eq!(line, "END\r\n");
    }
    let waited = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    observer.detach();
    let interval = observer.take().unwrap();
    let account = &interval.account;
    assert_eq!(account.requests, 5000);
    assert_eq!(account.parts_ns.values().sum::<u64>(), account.whole_ns);
    assert!(account.whole_ns <= waited);
}
