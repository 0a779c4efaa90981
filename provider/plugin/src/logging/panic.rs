//! Panics, in the form that the host collects and shows at its end.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{PanicHookInfo, set_hook},
};

/// Writes panics to stderr as the host looks for them, instead of as Rust would.
pub(super) fn install() {
    set_hook(Box::new(|info| super::to_stderr(&report(info, &Backtrace::capture()))));
}

fn report(info: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    let thread = std::thread::current();
    text(
        message,
        info.location().map(ToString::to_string).as_deref(),
        thread.name(),
        backtrace,
    )
}

/// The first word is what the host looks for; all further lines belong to it.
fn text(message: &str, location: Option<&str>, thread: Option<&str>, backtrace: &Backtrace) -> String {
    let (location, thread) = (location.unwrap_or("an unknown place"), thread.unwrap_or("unnamed"));
    let mut text = format!("panic: {message}\n\nat {location}, thread {thread}\n");
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&backtrace.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_what_the_host_looks_for() {
        let text = text(
            "index out of range",
            Some("src/a.rs:1:2"),
            Some("worker"),
            &Backtrace::disabled(),
        );
        assert_eq!(text, "panic: index out of range\n\nat src/a.rs:1:2, thread worker\n");
    }
}
