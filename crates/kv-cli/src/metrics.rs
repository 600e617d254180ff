//! The figures of an open store over HTTP, as Prometheus collects them.
//!
//! Just that: every request is answered with the figures, one at a time, and the connection is
//! closed. It is for measuring and looking, in a program that is no server otherwise.

use crate::failure::{Failure, complain};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a caller may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request that is read.
const MAX_REQUEST: usize = 8 << 10;

/// HOST:PORT, or a port of this machine alone.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected HOST:PORT, such as 127.0.0.1:9185, or a port";
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let mut found = text.to_socket_addrs().map_err(|_| expected)?;
    found.next().ok_or_else(|| expected.to_owned())
}

/// An address that is listened at, and not yet answered.
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) fn bind(address: SocketAddr) -> Result<Listener, Failure> {
        let refused =
            |error: io::Error| Failure::broken(format!("cannot listen at {address}: {error}"));
        TcpListener::bind(address).map(Listener).map_err(refused)
    }

    /// Answers what `figures` says until the program ends, and tells where; nothing where there are
    /// none at present.
    #[expect(clippy::disallowed_methods, reason = "a thread beside the store, none of its own")]
    pub(crate) fn serve(self, figures: impl Fn() -> Option<String> + Send + 'static) {
        if let Ok(address) = self.0.local_addr() {
            complain(format!("the figures are at http://{address}/metrics"));
        }
        std::thread::spawn(move || {
            for caller in self.0.incoming().flatten() {
                // A caller that goes away is no concern of the store.
                let _ = answer(caller, &figures);
            }
        });
    }
}

fn answer(mut caller: TcpStream, figures: &impl Fn() -> Option<String>) -> io::Result<()> {
    caller.set_read_timeout(Some(PATIENCE))?;
    caller.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        match caller.read(&mut piece)? {
            0 => break,
            n => request.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
    let (status, text) = match figures() {
        Some(text) => ("200 OK", text),
        None => ("503 Service Unavailable", "no store is open at present\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    caller.write_all(head.as_bytes())?;
    caller.write_all(text.as_bytes())
}
