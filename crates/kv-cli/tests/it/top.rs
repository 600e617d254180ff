//! `top`, on what programs really serve.

use crate::terminal::Terminal;
use crate::{Kv, Ran};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Stdio};

/// A program that serves its store's figures.
struct Serving {
    child: Child,
    lines: Option<ChildStdin>,
    url: String,
}

impl Serving {
    fn new(kv: &Kv, args: &[&str]) -> Serving {
        let args: Vec<&str> = args.iter().copied().chain(["--metrics", "127.0.0.1:0"]).collect();
        let mut command = kv.command(&args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a killed benchmark leaves.
        command.env("TMPDIR", kv.dir.path());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let url = told.find_map(|line| Some(line.split_once("figures are at ")?.1.to_owned()));
        // What comes later is not read, and must find room.
        std::thread::spawn(move || told.count());
        Serving { lines: child.stdin.take(), child, url: url.unwrap() }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.lines.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends the shell, and answers what it printed.
    fn ends(mut self) -> String {
        drop(self.lines.take());
        Ran::new(self.child.wait_with_output().unwrap()).ok()
    }
}

#[test]
fn one_screen_of_a_process_that_has_the_store_open() {
    let kv = Kv::new();
    let mut shell = Serving::new(&kv, &["shell"]);
    for n in 0..10 {
        shell.line(&format!("put k{n} v"));
    }
    shell.line("get k1");
    let mut answers = BufReader::new(shell.child.stdout.take().unwrap()).lines();
    assert_eq!(answers.next().unwrap().unwrap(), "v");
    let screen = kv.ok(&["top", "--once", "--url", &shell.url]);
    let write = screen.lines().find(|line| line.starts_with("write ")).unwrap();
    let words: Vec<&str> = write.split_whitespace().collect();
    // Each of them was synced, and is timed for that.
    assert_eq!((words[1], words[2]), ("10", "-"), "{screen}");
    assert!(words[4] == "µs" || words[4] == "ms", "{screen}");
    for part in ["level ", "log  ", "stalls  ", "jobs  ", "cache 0 B of", "state      open"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&kv.ok(&["top", "--json", "--url", &shell.url])).unwrap();
    assert_eq!(json["kv_writes_total"], 10.0);
    let address = shell.url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    assert!(kv.ok(&["top", "--once", "--url", &address]).contains("write "));
    // Callers that say nothing, or go away, harm nobody.
    drop(TcpStream::connect(&address).unwrap());
    let mut caller = TcpStream::connect(&address).unwrap();
    caller.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"));
    shell.line("get k2");
    assert_eq!(answers.next().unwrap().unwrap(), "v");
    shell.ends();
}

#[test]
fn a_bench_is_watched_live() {
    let kv = Kv::new();
    let args =
        ["bench", "fillrandom", "readrandom", "--keys", "20k", "--ops", "1g", "--seconds", "30"];
    let mut bench = Serving::new(&kv, &args);
    let top = ["top", "--url", &bench.url, "--interval", "0.2"];
    let mut terminal = Terminal::new(&kv, &top, None);
    // The second look has rates, once the bench is at work, which may be writing or reading by then.
    let rate = |line: &str| line.split_whitespace().nth(2).unwrap().replace(',', "").parse::<u64>();
    let is_busy = |screen: &str| {
        let at_work = |line: &&str| line.starts_with("write ") || line.starts_with("get ");
        screen.lines().filter(at_work).filter_map(|line| rate(line).ok()).any(|rate| rate > 100)
    };
    let screens = std::iter::repeat_with(|| terminal.types("", "state      open"));
    let screen = screens.take(100).find(|screen| is_busy(screen)).unwrap();
    assert!(screen.contains("every 0.2 s"), "{screen}");
    // It goes on when the process is gone, says so, and ends as told.
    bench.child.kill().unwrap();
    bench.child.wait().unwrap();
    terminal.types("", "trying again");
    assert_eq!(terminal.ends("q"), Some(0));
}

#[test]
fn the_figures_of_each_store_of_a_bench_are_served() {
    let kv = Kv::new();
    let args = ["bench", "fillseq", "open", "fillrandom", "openlog", "--metrics", "0"];
    let small = ["--keys", "2000", "--log-size", "100k", "--json"];
    let ran = kv.run(&[args.as_slice(), small.as_slice()].concat());
    assert_eq!(
        (ran.code, ran.out.iter().filter(|&&byte| byte == b'\n').count()),
        (0, 4),
        "{ran:?}"
    );
}

#[test]
fn the_files_tell_what_they_can() {
    let kv = Kv::with(&[("a", "1"), ("b", "2")]);
    kv.ok(&["compact"]);
    let db = kv_engine::Db::open(kv.store(), kv_engine::Options::default()).unwrap();
    db.put("c", "3").unwrap();
    let screen = kv.ok(&["top", "--once"]);
    assert!(screen.contains("the files of ") && screen.contains("--url"), "{screen}");
    assert!(
        screen.lines().any(|line| line.starts_with("1  ") || line.starts_with("6  ")),
        "{screen}"
    );
    assert!(screen.contains("B not yet in tables, 1 memtables of"), "{screen}");
    assert!(!screen.contains("log        0 B"), "{screen}");
    assert!(!screen.contains("stalls"), "{screen}");
    // Live, it follows the writer.
    let mut terminal = Terminal::new(&kv, &["top", "--interval", "0.1"], None);
    terminal.types("", "q ends");
    db.flush().unwrap();
    terminal.types("", "log        0 B not yet");
    assert_eq!(terminal.ends("\x03"), Some(0));
}

#[test]
fn figures_come_from_a_file_or_a_pipe() {
    let kv = Kv::with(&[("a", "1")]);
    let text = kv.ok(&["stats", "--prometheus"]);
    let file = kv.file("figures.prom", text.as_bytes());
    let screen = kv.ok(&["top", "--file", &file]);
    assert!(screen.contains("state      open"), "{screen}");
    let piped = kv.run_with_input(&["top", "--file", "-"], text.as_bytes()).ok();
    assert_eq!(
        piped.lines().skip(1).collect::<Vec<_>>(),
        screen.lines().skip(1).collect::<Vec<_>>()
    );
}

#[test]
fn what_has_no_figures_is_told() {
    let kv = Kv::new();
    kv.run(&["top", "--once"]).fails(1, "there is no store at");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    kv.run(&["top", "--url", &free]).fails(3, "no figures from");
    kv.run(&["top", "--url", "https://a/"]).fails(2, "only http://");
    kv.run(&["top", "--file", "none"]).fails(3, "cannot read none");
    let file = kv.file("other", b"<html>");
    kv.run(&["top", "--file", &file]).fails(3, "no Prometheus text");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    kv.run(&["shell", "--metrics", &taken]).fails(3, "cannot listen at");
    assert!(!kv.store().exists());
}
