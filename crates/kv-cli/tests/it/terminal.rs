//! Programs at a terminal; `shell` there.

use crate::Kv;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A program, and somebody who types.
pub(crate) struct Terminal {
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Terminal {
    pub(crate) fn new(kv: &Kv, args: &[&str], home: Option<&str>) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open =
            || OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut command = kv.command(args);
        command.env("TERM", "xterm").env_remove("XDG_STATE_HOME").env_remove("HOME");
        if let Some(home) = home {
            command.env("HOME", home);
        }
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        let keys = File::from(master);
        let mut shown = keys.try_clone().unwrap();
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = shown.read(&mut piece) {
                if send.send(piece[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { keys, screen, seen: String::new(), child }
    }

    /// Types, and waits until this appears behind what was there.
    #[track_caller]
    pub(crate) fn types(&mut self, keys: &str, wanted: &str) -> String {
        self.seen.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
        let begun = Instant::now();
        while !self.seen.contains(wanted) {
            match self.screen.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(piece) => self.seen += &String::from_utf8_lossy(&piece),
                Err(_) => panic!("{wanted:?} is not in {:?}", self.seen),
            }
        }
        self.seen.clone()
    }

    /// What Ctrl-C is where a program has the terminal and reads no keys.
    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Types what ends the program, again and again: between two prompts a key may be lost, because
    /// the terminal's mode changes.
    pub(crate) fn ends(mut self, keys: &str) -> Option<i32> {
        let begun = Instant::now();
        loop {
            // Nobody reads it where the program is gone.
            let _ = self.keys.write_all(keys.as_bytes());
            std::thread::sleep(Duration::from_millis(100));
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "{keys:?} does not end it: {:?}", self.seen);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_prompts_completes_and_goes_on_after_errors() {
    let kv = Kv::with(&[("fruit/apple", "red"), ("fruit/two words", "x"), ("other", "y")]);
    kv.ok(&["put", "--keyspace", "people", "ann", "1"]);
    let mut terminal = Terminal::new(&kv, &["shell"], None);
    terminal.types("", "kv> ");
    terminal.types("get none\r", "kv: the key is not there");
    terminal.types("paint\r", "`help` lists the commands");
    // Commands, the common part of keys, and a key.
    terminal.types("ge\tfr\tap\t\r", "red\r\n");
    terminal.types("get fruit/tw\t\r", "x\r\n");
    terminal.types("use pe\t\r", "kv people> ");
    terminal.types("get a\t\r", "1\r\n");
    terminal.types("begin\r", "kv people*> ");
    terminal.types("rollback\r", "kv people> ");
    // Ctrl-C clears the line, the arrow up brings the last one.
    terminal.types("get nonsense\x03", "kv people> ");
    terminal.types("get ann\r", "1\r\n");
    terminal.types("\x1b[A\r", "1\r\n");
    assert_eq!(terminal.ends("\x04"), Some(0));
    // No home, no history.
    assert_eq!(std::fs::read_dir(kv.dir.path()).unwrap().count(), 1);
}

#[test]
fn the_history_is_the_users_alone() {
    let kv = Kv::with(&[("a", "1")]);
    let home = kv.dir.path().join("home");
    let start = || Terminal::new(&kv, &["shell"], home.to_str());
    let mut terminal = start();
    terminal.types("", "kv> ");
    terminal.types("get a\r", "1\r\n");
    terminal.types(" put secret x\r", "kv> ");
    assert_eq!(terminal.ends("exit\r"), Some(0));
    let file = home.join(".local/state/kv/history");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "get a\nexit\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut terminal = start();
    terminal.types("", "kv> ");
    terminal.types("\x1b[A\x1b[A\r", "1\r\n");
    assert_eq!(terminal.ends("\x04"), Some(0));
}

#[test]
fn what_runs_at_a_prompt_is_stopped_by_an_interrupt() {
    let kv = Kv::new();
    let lines: String = (0..300_000).map(|n| format!("key{n:06}\tv\n")).collect();
    kv.run_with_input(&["load"], lines.as_bytes()).ok();
    let mut terminal = Terminal::new(&kv, &["shell"], None);
    terminal.types("", "kv> ");
    terminal.types("scan --limit 300000\r", "key000001");
    terminal.interrupt();
    let shown = terminal.types("", "kv: stopped");
    assert!(!shown.contains("key299999"));
    if !shown.rsplit("kv: stopped").next().unwrap().contains("kv> ") {
        terminal.types("", "kv> ");
    }
    terminal.types("get key299999\r", "v\r\n");
    // Where nothing runs it is the end, as for every program.
    let begun = Instant::now();
    let status = loop {
        terminal.interrupt();
        std::thread::sleep(Duration::from_millis(50));
        if let Some(status) = terminal.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_scan_at_a_prompt_ends_by_itself() {
    let kv = Kv::new();
    let lines: String = (0..1200).map(|n| format!("key{n:04}\tv\n")).collect();
    kv.run_with_input(&["load"], lines.as_bytes()).ok();
    let mut terminal = Terminal::new(&kv, &["shell"], None);
    terminal.types("", "kv> ");
    let shown = terminal.types("scan\r", "there are more keys");
    assert!(shown.contains("key0999") && !shown.contains("key1000"), "{shown}");
    terminal.types("scan --limit 1100\r", "key1099");
    assert_eq!(terminal.ends("\x04"), Some(0));
}
