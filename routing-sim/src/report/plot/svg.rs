//! A growing SVG document: only what the charts need, with every text escaped.

use std::fmt::Write;

/// Where a text's point lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// An SVG document under construction; lengths are pixels, the origin is at the top left.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// An empty white sheet. `title` is what a screen reader says.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Svg {
            text: String::new(),
        };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
             font-family=\"Helvetica, Arial, sans-serif\">\n<title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            escape(title)
        ));
        svg
    }

    /// A straight thin line.
    pub(super) fn rule(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.put(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\"/>",
            from.0,
            from.1,
            to.0,
            to.1,
            escape(colour)
        ));
    }

    /// A line through `points`.
    pub(super) fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dash: &str) {
        let mut path = String::new();
        for (x, y) in points {
            if !path.is_empty() {
                path.push(' ');
            }
            append(&mut path, format_args!("{x:.1},{y:.1}"));
        }
        self.put(format_args!(
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{}/>",
            escape(colour),
            if dash.is_empty() {
                String::new()
            } else {
                format!(" stroke-dasharray=\"{}\"", escape(dash))
            }
        ));
    }

    /// A dot.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, colour: &str) {
        self.put(format_args!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{}\"/>",
            at.0,
            at.1,
            escape(colour)
        ));
    }

    /// A text of `size` pixels.
    pub(super) fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        self.put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" text-anchor=\"{}\" \
             fill=\"#222222\">{}</text>",
            at.0,
            at.1,
            anchor.name(),
            escape(text)
        ));
    }

    /// A text that is read from the bottom to the top, its middle at `at`.
    pub(super) fn text_upwards(&mut self, at: (f64, f64), size: f64, text: &str) {
        self.put(format_args!(
            "<text transform=\"translate({:.1} {:.1}) rotate(-90)\" font-size=\"{size}\" \
             text-anchor=\"middle\" fill=\"#222222\">{}</text>",
            at.0,
            at.1,
            escape(text)
        ));
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        append(&mut self.text, element);
        self.text.push('\n');
    }
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or_default();
}

/// `text` with what means something in XML written so that it means itself.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Other control characters are not allowed in XML at all.
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Anchor, Svg, escape};

    #[test]
    fn nothing_in_a_text_can_become_markup() {
        let mut svg = Svg::new(10.0, 10.0, "a < b & \"c\"");
        svg.text(
            (1.0, 2.0),
            9.0,
            Anchor::Start,
            "</svg><script>x</script>\u{1}",
        );
        let text = svg.finish();
        assert_eq!(text.matches("</svg>").count(), 1);
        assert!(!text.contains("<script>") && !text.contains('\u{1}'));
        assert!(text.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"));
        assert_eq!(escape("plain 1.5 ×"), "plain 1.5 ×");
    }
}
