//! What a server is asked to do.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Every command that a server runs, those inside scripts too; until it is dropped.
pub struct Monitor {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts it and waits until the server has begun.
    pub(super) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("redis-cli is installed");
        let mut all = BufReader::new(child.stdout.take().expect("its standard output")).lines();
        assert_eq!(all.next().and_then(Result::ok).as_deref(), Some("OK"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in all.map_while(Result::ok) {
                found.lock().unwrap().push(line);
            }
        });
        Self { child, lines, reader: Some(reader) }
    }

    /// What it saw since the last time: `1700000000.000000 [0 127.0.0.1:40000] "GET" "key"`, with
    /// `lua` for the address of what a script does.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
