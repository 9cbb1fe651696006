//! The screen that text is laid out for: how wide it is, whether it has colours.

/// Width and colours of what is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns of text.
    pub width: usize,
    /// Are there colours?
    pub colours: bool,
}

impl Screen {
    /// Paper: wide, without colours. For pipes and tests.
    pub const PLAIN: Self = Self { width: 100, colours: false };

    /// Headings and names.
    pub fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    /// What is read last.
    pub fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    /// Code.
    pub fn code(&self, text: &str) -> String {
        self.styled("36", text)
    }

    /// `text` in the style of an ANSI code, where there are colours.
    pub fn styled(&self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Words broken into lines of the screen's width, each after `indent` spaces. Lines of a paragraph are joined first.
    pub fn wrap(&self, text: &str, indent: usize) -> Vec<String> {
        let room = self.width.saturating_sub(indent).max(16);
        let mut lines: Vec<String> = vec![];
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines.into_iter().map(|line| format!("{}{line}", " ".repeat(indent))).collect()
    }
}

/// A number with at most four significant digits, as tables and axes show it.
pub fn short(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{x:.2e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_numbers_short() {
        let narrow = Screen { width: 20, colours: false };
        assert_eq!(narrow.wrap("one two\nthree four five", 2), ["  one two three four", "  five"]);
        assert_eq!(narrow.bold("x"), "x");
        assert_eq!(Screen { colours: true, ..narrow }.bold("x"), "\x1b[1mx\x1b[0m");
        let shown: Vec<String> = [0.0, 1.0, -0.123456, 12.5, 1234.56, 3.2e-6, 7e8].into_iter().map(short).collect();
        assert_eq!(shown, ["0", "1", "-0.1235", "12.5", "1235", "3.20e-6", "7.00e8"]);
    }
}
