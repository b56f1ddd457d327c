//! Failures on their way to JavaScript: an `Error` whose `code` is the stable name that the log gave it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::{Env, JsError, ScopedTask, Task};
use sluice_log::LogError;

/// An error with a stable `code`.
pub(crate) type CodedError = napi::Error<&'static str>;

/// Result of an export that may throw.
pub(crate) type Result<T, E = CodedError> = std::result::Result<T, E>;

/// A handle that is stale or was never given out.
pub(crate) fn unknown(what: &str) -> CodedError {
    CodedError::new(LogError::PARTITION_UNKNOWN, format!("{what} is unknown or has been closed"))
}

/// An argument that makes no sense.
pub(crate) fn invalid(message: impl Into<String>) -> CodedError {
    CodedError::new(LogError::INVALID_ARGUMENT, message.into())
}

/// The log's error, code and message unchanged.
pub(crate) fn coded(error: LogError) -> CodedError {
    CodedError::new(error.code, error.message)
}

/// Work for the thread pool whose outcome settles a promise. A panic in it rejects the promise.
pub(crate) struct Job<T> {
    run: Option<Box<dyn FnOnce() -> Result<T, LogError> + Send>>,
}

impl<T> Job<T> {
    pub(crate) fn new(run: impl FnOnce() -> Result<T, LogError> + Send + 'static) -> Self {
        Self { run: Some(Box::new(run)) }
    }
}

/// What a [`Job`] may give to its promise.
pub(crate) trait Settled: Send + Sized + 'static {
    /// Its JavaScript side.
    type Js: napi::bindgen_prelude::ToNapiValue + napi::bindgen_prelude::TypeName;
    /// Converts.
    fn into_js(self) -> Self::Js;
}

impl Settled for String {
    type Js = String;
    fn into_js(self) -> String {
        self
    }
}

impl Settled for f64 {
    type Js = f64;
    fn into_js(self) -> f64 {
        self
    }
}

impl Settled for () {
    type Js = ();
    fn into_js(self) {}
}

impl<T: Settled> Task for Job<T> {
    type Output = Result<T, LogError>;
    type JsValue = T::Js;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let Some(run) = self.run.take() else {
            return Ok(Err(LogError::new(LogError::CLOSED, "the job ran already")));
        };
        Ok(catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            Err(LogError::new("NATIVE_PANIC", "the native log failed an internal check"))
        }))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        output
            .map(Settled::into_js)
            .map_err(|error| napi::Error::from(JsError::from(coded(error)).into_unknown(env)))
    }
}

/// Compile-time check that jobs may be handed to the thread pool.
const _: fn() = || {
    fn is_task<T: for<'task> ScopedTask<'task>>() {}
    is_task::<Job<String>>();
    is_task::<Job<()>>();
};
