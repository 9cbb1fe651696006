//! Weights from the hub, against a server on this machine: downloaded once, read from the cache without network, and a
//! clear message where there is nothing to have.

mod common;

use common::program::Folder;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serve `body` as every file but those called `missing`; counts the requests.
fn serve(body: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (requests, body) = (Arc::new(AtomicUsize::new(0)), Arc::new(body));
    let counter = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (body, counter) = (body.clone(), counter.clone());
            std::thread::spawn(move || answer(&stream, &body, &counter));
        }
    });
    (address, requests)
}

fn answer(mut stream: &TcpStream, body: &[u8], counter: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let mut range = (0, body.len() - 1);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header == "\r\n" {
                break;
            }
            if let Some((from, to)) =
                header.to_lowercase().strip_prefix("range: bytes=").and_then(|r| r.trim().split_once('-'))
            {
                range = (from.parse().unwrap(), to.parse().unwrap_or(body.len() - 1));
            }
        }
        let reply = if request.contains("missing") {
            b"HTTP/1.1 404 Not Found\r\nx-error-code: EntryNotFound\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else {
            let part = &body[range.0..=range.1.min(body.len() - 1)];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nx-repo-commit: {COMMIT}\r\netag: \"abc\"\r\naccept-ranges: bytes\r\n\
                 content-range: bytes {}-{}/{}\r\ncontent-length: {}\r\n\r\n",
                range.0,
                range.0 + part.len() - 1,
                body.len(),
                part.len()
            );
            [head.as_bytes(), part].concat()
        };
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

#[test]
fn weights_come_from_the_hub_once() {
    let folder = Folder::new(&[
        ("save.rhai", "sequential([4], [linear(3), relu(), linear(2)]).save(\"w.safetensors\");"),
        ("load.rhai", "print(load_model(\"hf://ada/nets/w.safetensors\").forward(ones([1, 4])).shape);"),
        ("missing.rhai", "load_model(\"hf://ada/nets/missing.safetensors\");"),
    ]);
    assert!(folder.run(&["run", "save.rhai", "--allow-write", "w.safetensors"]).ends_with("exit code 0"));
    let (address, requests) = serve(std::fs::read(folder.path().join("w.safetensors")).unwrap());
    let run = |script: &str, offline: &str| {
        let mut command = folder.command(&["run", script, "--allow-fetch", "hf://ada/nets"]);
        command.env("HF_ENDPOINT", &address).env("HF_HOME", folder.path().join("hub")).env("HF_HUB_OFFLINE", offline);
        folder.shown(&command.stdin(Stdio::null()).output().unwrap())
    };
    let offline = run("load.rhai", "1");
    assert!(offline.contains("not in the cache") && offline.ends_with("exit code 1"), "{offline}");
    assert_eq!(requests.load(Ordering::Relaxed), 0, "offline asks nobody");
    let first = run("load.rhai", "0");
    assert!(first.contains("[1, 2]") && first.ends_with("exit code 0"), "{first}");
    let asked = requests.load(Ordering::Relaxed);
    assert!(asked > 0);
    for offline in ["0", "1"] {
        let again = run("load.rhai", offline);
        assert!(again.contains("[1, 2]"), "{again}");
    }
    assert_eq!(requests.load(Ordering::Relaxed), asked, "the cache answers the second time");
    let missing = run("missing.rhai", "0");
    assert!(
        missing.contains("there is no such file on the hub (404)") && missing.contains("missing.rhai:1:1"),
        "{missing}"
    );
    assert!(missing.ends_with("exit code 1"), "{missing}");
}
