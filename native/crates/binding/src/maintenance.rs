//! Offline verification and repair of log directories that no broker has open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use parking_lot::Mutex;
use serde::Serialize;
use sluice_log::LogError;
use sluice_log::io::{FileSystem, RealFileSystem};
use sluice_log::repair::{RepairMode, repair};
use sluice_log::verify::{VerifyProgress, verify};

use crate::error::{Job, Result, coded};

/// Of the call that began last.
static PROGRESS: Mutex<Option<Arc<VerifyProgress>>> = Mutex::new(None);

fn begin() -> Arc<VerifyProgress> {
    let progress = Arc::new(VerifyProgress::default());
    *PROGRESS.lock() = Some(Arc::clone(&progress));
    progress
}

fn to_json<T: Serialize>(value: &T) -> Result<String, LogError> {
    serde_json::to_string(value)
        .map_err(|error| LogError::new(LogError::INVALID_ARGUMENT, error.to_string()))
}

/// Verifies log directories, partitions' directories and segment files (a JSON array of paths), off the calling thread. Nothing is changed.
/// Resolves to `{ partitions, findings }` as JSON; rejects with `code` LOG_DIR_LOCKED, INVALID_ARGUMENT or LOG_IO.
#[napi(catch_unwind, ts_return_type = "Promise<string>")]
pub fn verify_logs(paths_json: String) -> AsyncTask<Job<String>> {
    let progress = begin();
    AsyncTask::new(Job::new(move || {
        let paths: Vec<PathBuf> = serde_json::from_str(&paths_json)
            .map_err(|error| LogError::new(LogError::INVALID_ARGUMENT, error.to_string()))?;
        to_json(&verify(&RealFileSystem, &paths, &progress)?)
    }))
}

/// Plans the repair of a log directory, or does it with `apply`; `mode` is `drop` or `cut`. Resolves to an array of actions as JSON; rejects
/// with `code` LOG_DIR_LOCKED or LOG_IO.
#[napi(catch_unwind, ts_return_type = "Promise<string>")]
pub fn repair_log(directory: String, mode: String, apply: bool) -> AsyncTask<Job<String>> {
    let progress = begin();
    AsyncTask::new(Job::new(move || {
        let mode = if mode == "cut" { RepairMode::Cut } else { RepairMode::Drop };
        let files: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
        to_json(&repair(&files, Path::new(&directory), mode, apply, &progress)?)
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    total_bytes: u64,
    done_bytes: u64,
    current_partition: String,
}

/// How far the verification or repair that began last is: `{ totalBytes, doneBytes, currentPartition }` as JSON.
#[napi(catch_unwind)]
pub fn maintenance_progress() -> Result<String> {
    let progress = PROGRESS.lock().clone().unwrap_or_default();
    let (total_bytes, done_bytes, current_partition) = progress.now();
    to_json(&Progress { total_bytes, done_bytes, current_partition }).map_err(coded)
}
