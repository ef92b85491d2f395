//! Bytes → a server that answers with them, whatever it is asked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that the server sends next.
static CONTENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// Lets the server of this process answer with these bytes, and hang up then. Returns its address.
pub fn answering(content: &[u8]) -> SocketAddr {
    content.clone_into(&mut CONTENT.lock().unwrap_or_else(PoisonError::into_inner));
    *ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || serve(&listener));
        address
    })
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut questions = [0; 4096];
        // An answer before the question would be read in one piece with it.
        let asked = stream.read(&mut questions);
        let content = CONTENT
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // Small pieces end in the middle of a line, a header or a value.
        let (first, rest) = content.split_at(content.len() / 2);
        let _ = asked.and_then(|_| stream.write_all(first));
        let _ = stream.write_all(rest);
        let _ = stream.shutdown(Shutdown::Write);
        // Closing with unread bytes would reset the connection, and take the answer back.
        while matches!(stream.read(&mut questions), Ok(1..)) {}
    }
}
