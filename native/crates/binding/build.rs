//! Link settings for a library whose symbols come from the process that loads it.

fn main() {
    napi_build::setup();
}
