//! The programs in this kernel, beside a memcached. As root: `cargo test -p membench-observe -- --include-ignored`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use membench_capture::Selection;
use membench_observe::{Keep, Observer, Options};

/// Time for which a server is stopped: far more than a request takes.
const STOP: Duration = Duration::from_secs(1);

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

impl Server {
    fn observed(&self, keep: Option<Keep>) -> Observer {
        let options = Options {
            requests: true,
            keep,
            by_command: true,
            by_connection: true,
            hindsight: None,
        };
        let selection = Selection {
            ports: vec![self.port],
            ..Selection::default()
        };
        Observer::start(&selection, &options).unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Stops every thread: the signal alone returns earlier.
    fn stop(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.process.id());
        let is_stopped = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            status.contains("\nState:\tT")
        };
        while !fs::read_dir(&tasks).unwrap().flatten().all(is_stopped) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        Client { stream, answers }
    }
}

/// A client that asks for a key that is not there.
struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    fn send(&mut self) {
        self.stream.write_all(b"get x\r\n").unwrap();
    }

    fn receive(&mut self) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line, "END\r\n");
    }

    fn ask(&mut self, requests: usize) {
        for _ in 0..requests {
            self.send();
            self.receive();
        }
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
    let mut observer = server.observed(None);
    let begun = Instant::now();
    server.connect().ask(5000);
    let waited = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    observer.detach();
    let interval = observer.take().unwrap();
    let account = &interval.account;
    assert_eq!(account.requests, 5000);
    assert_eq!(account.parts_ns.values().sum::<u64>(), account.whole_ns);
    assert!(account.whole_ns <= waited);
    let [command] = &interval.commands.unwrap()[..] else {
        panic!("another command than get");
    };
    assert_eq!((command.command, command.account.requests), ("get", 5000));
    let connections = interval.connections.unwrap();
    let [connection] = &connections.busiest[..] else {
        panic!("another connection than the client's");
    };
    assert_eq!(connection.requests, 5000);
    assert_eq!(connection.parts_ns, account.parts_ns);
    assert_eq!((connections.others, connections.other_requests), (0, 0));
}

#[test]
#[ignore = "needs root and memcached"]
fn requests_that_are_shorter_than_those_kept_need_no_room() {
    let server = Server::start();
    let mut observer = server.observed(Some(Keep {
        slower_than: Duration::from_nanos(1),
        most: 1,
    }));
    let mut client = server.connect();
    client.ask(1);
    server.stop();
    client.send();
    thread::sleep(STOP);
    server.signal("-CONT");
    client.receive();
    observer.read_slow().unwrap();
    // More than the ring has room for, but hardly any takes as long.
    client.ask(10_000);
    observer.detach();
    let interval = observer.take().unwrap();
    assert_eq!(interval.slow_requests, Some(interval.account.requests));
    assert_eq!((interval.slow.len(), interval.slow_unread), (1, 0));
    let longest = &interval.slow[0];
    assert!(longest.parts_ns["stopped"] > 0, "{longest:?}");
}
