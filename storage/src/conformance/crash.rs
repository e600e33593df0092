//! A process that is killed while it writes: every write that it was told of is there, and the history goes on.

use super::{body, key, outcome};
use crate::{Range, Revision, Sqlite, Storage, Write};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Tells the child which file to write.
const FILE: &str = "CORACLE_STORAGE_CRASH_FILE";

/// The child: writes for ever and prints `name revision` for each answered write.
#[test]
#[ignore = "the process that the crash test kills"]
fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let store = Arc::new(Sqlite::open(PathBuf::from(path)).unwrap());
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
        let writers: Vec<_> = (0..16).map(|writer| tokio::spawn(write_for_ever(store.clone(), writer))).collect();
        futures::future::join_all(writers).await;
    });
}

async fn write_for_ever(store: Arc<Sqlite>, writer: usize) {
    for number in 0_u64.. {
        // Two objects, so that half a transaction would show.
        let name = format!("{writer}-{}", number % 50);
        let mark = number.to_string();
        let put = |resource| Write::Put(key(&format!("{resource}/default/{name}")), body(&mark));
        let revisions = store.transact(vec![], vec![put("pods"), put("nodes")]).await.unwrap();
        let line = format!("ack {name} {} {mark}\n", revisions[0]);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

/// Starts the child, kills it after some answers, and returns all that it was told.
fn killed_after(path: &Path, answers: usize) -> Vec<(String, u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "conformance::crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        // A last line that the kill has cut short was not told.
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., "ack", name, revision, mark] = words[..] {
            told.push((name.to_owned(), revision.parse().unwrap(), mark.to_owned()));
        }
        if told.len() == answers {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(told.len() >= answers, "the child ended by itself");
    // The kill may cut the very last line within its mark.
    told.pop();
    told
}

#[tokio::test]
async fn an_answered_write_survives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut newest = Revision(0);
    for answers in [100, 700, 1500] {
        let told = killed_after(&path, answers);
        let store = Sqlite::open(&path).unwrap();
        let current = store.current().await.unwrap();
        assert!(current.0 >= newest.0 + 2 * told.len() as u64, "revisions never go back");
        let changes = store.changes(None, newest, usize::MAX).await.unwrap();
        assert!(changes.events.iter().map(|event| event.revision().0).eq(newest.0 + 1..=current.0), "without holes");
        for (name, revision, mark) in told {
            let event = &changes.events[usize::try_from(revision - newest.0 - 1).unwrap()];
            assert_eq!(event.object.key, key(&format!("pods/default/{name}")));
            assert_eq!(event.object.body, body(&mark).seal(Revision(revision)));
        }
        let (pods, nodes) =
            (store.list(&Range::all("pods")).await.unwrap(), store.list(&Range::all("nodes")).await.unwrap());
        assert_eq!(pods.items.len(), nodes.items.len(), "no half transactions");
        for (pod, node) in pods.items.iter().zip(&nodes.items) {
            assert_eq!(pod.revision.next(), node.revision);
        }
        assert_eq!(outcome(&Sqlite::open(&path)), "in use");
        newest = current;
    }
}
