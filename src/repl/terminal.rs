//! Standard error as a person sees it.

use crate::show::Screen;
use std::io::IsTerminal;

/// Write to standard error; when that is gone too there is nobody left to tell.
pub fn complain(text: &str) {
    crate::base::output::note(text);
}

/// Columns of text that a line of output may have: the terminal's, and plenty where there is none.
pub fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(200, |(width, _)| usize::from(width.0).max(20))
}

/// What values are drawn for: the terminal, or paper.
pub fn screen() -> Screen {
    match std::io::stdout().is_terminal() {
        true => Screen { width: width(), colours: shows_colours() },
        false => Screen::PLAIN,
    }
}

/// Does a person see standard output, with colours?
pub fn shows_colours() -> bool {
    std::io::stdout().is_terminal() && colours()
}

/// Colours only for a person at a terminal who has not asked for none.
pub fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
