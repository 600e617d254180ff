//! Where figures come from: a process by HTTP, a file, or the files of a store.

use super::figures::Figures;
use super::screen::Kind;
use crate::failure::Failure;
use crate::store;
use kv_engine::Follower;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;

pub(super) enum Source {
    Url(Url),
    File(PathBuf),
    Input,
    Store(Box<Follower>),
}

/// `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    host: String,
    path: String,
}

/// A URL; the scheme may be left out, and the path is `/metrics` where there is none.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    let rest = match text.split_once("://") {
        None => text,
        Some(("http", rest)) => rest,
        Some(_) => {
            return Err(
                "only http:// is known here; `curl URL | kv top --file -` knows more".to_owned()
            );
        }
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/metrics"),
    };
    if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("expected http://HOST:PORT/metrics".to_owned());
    }
    let port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if port { host.to_owned() } else { format!("{host}:80") };
    Ok(Url { host, path: path.to_owned() })
}

impl Source {
    pub(super) fn store(dir: &Path) -> Result<Source, Failure> {
        Ok(Source::Store(Box::new(store::follow(dir)?)))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Source::Store(_) => Kind::Files,
            _ => Kind::Process,
        }
    }

    /// What it is called, for the head of the screen.
    pub(super) fn name(&self, dir: &Path) -> String {
        match self {
            Source::Url(url) => format!("http://{}{}", url.host, url.path),
            Source::File(path) => path.display().to_string(),
            Source::Input => "standard input".to_owned(),
            Source::Store(_) => format!("the files of {}", dir.display()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a file of figures is outside of every store")]
    pub(super) fn read(&mut self) -> Result<Figures, Failure> {
        let unread =
            |what: &str, error: io::Error| Failure::broken(format!("cannot read {what}: {error}"));
        let text = match self {
            Source::Url(url) => url.read()?,
            Source::File(path) => {
                let read = File::open(&path).and_then(limited);
                read.map_err(|error| unread(&path.display().to_string(), error))?
            }
            Source::Input => {
                limited(io::stdin().lock()).map_err(|error| unread("standard input", error))?
            }
            Source::Store(follower) => {
                follower.refresh()?;
                follower.db().stats().prometheus()
            }
        };
        let figures = Figures::parse(&text);
        match figures.is_empty() {
            true => Err(Failure::broken("that is no Prometheus text with a store's figures")),
            false => Ok(figures),
        }
    }
}

fn limited(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_ANSWER).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Url {
    fn read(&self) -> Result<String, Failure> {
        let unread = |what: String| {
            Failure::broken(format!("no figures from http://{}{}: {what}", self.host, self.path))
        };
        let answer = self.ask().map_err(|error| unread(error.to_string()))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        match status.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(unread(format!("it answers {status:?}"))),
        }
    }

    /// By HTTP/1.0, which sends the text in one piece and then closes.
    fn ask(&self) -> io::Result<String> {
        let mut tried = Err(io::Error::other("the name has no address"));
        for address in self.host.to_socket_addrs()? {
            tried = TcpStream::connect_timeout(&address, PATIENCE);
            if tried.is_ok() {
                break;
            }
        }
        let mut stream = tried?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", self.path, self.host);
        stream.write_all(request.as_bytes())?;
        limited(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_may_be_short() {
        let parts = |text: &str| url(text).map(|url| (url.host, url.path)).ok();
        let whole = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(parts("http://a:1/x?y"), whole("a:1", "/x?y"));
        assert_eq!(parts("127.0.0.1:9185"), whole("127.0.0.1:9185", "/metrics"));
        assert_eq!(parts("http://a/"), whole("a:80", "/"));
        assert_eq!(parts("[::1]:5"), whole("[::1]:5", "/metrics"));
        for wrong in ["", "https://a/", "http:///x", "http://a/ b", "a\r\nb"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
