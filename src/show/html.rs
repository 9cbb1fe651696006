//! Text on its way into HTML.

/// The text as it has to stand in HTML, between tags or in an attribute's double quotes.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
