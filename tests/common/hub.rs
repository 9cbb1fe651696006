//! A hub on this machine: one file, served as the real one serves it, with a list of mishaps that happen first.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What happens instead of a proper answer, once.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// This status, with a body that must not be taken for data; to the question for the file's size.
    Status(u16),
    /// The connection breaks after so many bytes of the content.
    Cut(usize),
    /// As many bytes as announced, but others.
    WrongContent,
    /// The whole file again although only the rest was asked for, as servers without ranges do.
    Whole,
    /// So long for every kilobyte.
    Slow(Duration),
}

struct Shared {
    files: Vec<(String, Vec<u8>)>,
    mishaps: Mutex<VecDeque<Mishap>>,
    /// The first line of every request, with its range.
    log: Mutex<Vec<String>>,
}

#[derive(Clone)]
pub struct Hub {
    pub address: String,
    shared: Arc<Shared>,
}

impl Hub {
    /// Serve each of `files` (path inside the repository, content).
    pub fn start(files: Vec<(String, Vec<u8>)>, mishaps: Vec<Mishap>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { files, mishaps: Mutex::new(mishaps.into()), log: Mutex::default() });
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = own.clone();
                std::thread::spawn(move || while shared.answer(&stream).is_some() {});
            }
        });
        Self { address, shared }
    }

    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Shared {
    /// One request; `None` ends the connection.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut out = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut request = String::new();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        let mut range = (0, usize::MAX);
        let mut token = String::new();
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).ok()? == 0 || header == "\r\n" {
                break;
            }
            let lower = header.to_lowercase();
            if let Some((from, to)) = lower.strip_prefix("range: bytes=").and_then(|r| r.trim().split_once('-')) {
                range = (from.parse().ok()?, to.parse().unwrap_or(usize::MAX));
            }
            if lower.starts_with("authorization:") {
                token = header.trim().to_owned();
            }
        }
        self.log.lock().unwrap().push(format!("{} {}-{} {token}", request.trim(), range.0, range.1));
        let Some((_, body)) = self.files.iter().find(|(path, _)| request.contains(path.as_str())) else {
            let reply = "HTTP/1.1 404 Not Found\r\nx-error-code: EntryNotFound\r\ncontent-length: 0\r\n\r\n";
            return out.write_all(reply.as_bytes()).ok();
        };
        let probe = range == (0, 0);
        let mishap = {
            let mut mishaps = self.mishaps.lock().unwrap();
            let mine = mishaps.front().is_some_and(|m| matches!(m, Mishap::Status(_)) == probe);
            if mine { mishaps.pop_front() } else { None }
        };
        if let Some(Mishap::Status(code)) = mishap {
            let text = "PAR1 this is a page about an error, no data PAR1";
            return write!(out, "HTTP/1.1 {code} No\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok();
        }
        let whole = matches!(mishap, Some(Mishap::Whole));
        if !whole && range.0 >= body.len() {
            let size = body.len();
            let reply = format!("HTTP/1.1 416 No\r\ncontent-range: bytes */{size}\r\ncontent-length: 0\r\n\r\n");
            return out.write_all(reply.as_bytes()).ok();
        }
        let first = if whole { 0 } else { range.0.min(body.len()) };
        let last = (range.1.min(body.len() - 1)).max(first.saturating_sub(1));
        let mut part = body[first..(last + 1).max(first)].to_vec();
        if matches!(mishap, Some(Mishap::WrongContent)) {
            part.iter_mut().for_each(|b| *b ^= 0x55);
        }
        let etag = workbench::data::sha256(body);
        let size = body.len();
        write!(
            out,
            "HTTP/1.1 206 Partial Content\r\nx-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\naccept-ranges: bytes\r\n\
             content-range: bytes {first}-{last}/{size}\r\ncontent-length: {}\r\n\r\n",
            part.len()
        )
        .ok()?;
        match mishap {
            Some(Mishap::Cut(bytes)) => {
                out.write_all(&part[..bytes.min(part.len())]).ok()?;
                out.flush().ok()?;
                stream.shutdown(std::net::Shutdown::Both).ok()?;
                None
            }
            Some(Mishap::Slow(pause)) => {
                for piece in part.chunks(1024) {
                    std::thread::sleep(pause);
                    out.write_all(piece).ok()?;
                }
                Some(())
            }
            _ => out.write_all(&part).ok(),
        }
    }
}
