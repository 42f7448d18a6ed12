//! What a failing story shows: the ends of the logs that were written lately, printed by a panic hook into the test's own output.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use crate::scratch::Scratch;

const LATELY: Duration = Duration::from_secs(90);
/// Of a daemon or a pod, and of the cluster's own talkative parts.
const LINES: usize = 80;
const LINES_OF_PARTS: usize = 8;
const PARTS: [&str; 5] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "prometheus",
];

static LIVING: Mutex<Vec<Weak<Scratch>>> = Mutex::new(Vec::new());

/// From now on a panic prints the ends of this folder's logs, as long as it lives.
pub(crate) fn show_logs_of(scratch: &Arc<Scratch>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            previous(info);
            print_logs();
        }));
    });
    let mut living = LIVING.lock().unwrap_or_else(PoisonError::into_inner);
    living.retain(|scratch| scratch.strong_count() > 0);
    living.push(Arc::downgrade(scratch));
}

fn print_logs() {
    let living: Vec<_> = LIVING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter_map(Weak::upgrade)
        .collect();
    for scratch in living {
        for log in recent_logs(&scratch.join("logs")) {
            let name = log.file_stem().unwrap_or_default().to_string_lossy();
            let lines = if PARTS.contains(&&*name) { LINES_OF_PARTS } else { LINES };
            eprintln!("---- {name}: the last {lines} lines\n{}", tail(&log, lines));
        }
    }
}

fn recent_logs(folder: &Path) -> Vec<PathBuf> {
    let since = SystemTime::now() - LATELY;
    let written_lately = |path: &PathBuf| {
        path.metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| at >= since)
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut logs: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(written_lately)
        .collect();
    logs.retain(|path| path.metadata().is_ok_and(|meta| meta.len() > 0));
    logs.sort();
    logs
}

fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
