//! A sheet of line charts with one legend: the only kind of picture that the benchmark draws.
//!
//! ```text
//!   title
//!   +-- panel --+  +-- panel --+
//!   | y ^  __/  |  |           |    as many columns as asked for
//!   |   +----> x|  |           |
//!   +-----------+  +-----------+
//!   legend: one entry for every name that occurs
//!   footnote
//! ```

use super::palette::{Style, of_policy};
use super::scale::{Scale, label};
use super::svg::{Anchor, Svg};

/// A line: the name decides its look (see the palette).
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The policy's name.
    pub name: String,
    /// Points in order of x; those that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What stands above it; may be empty.
    pub title: String,
    /// What x is, with the unit.
    pub x: String,
    /// What y is, with the unit.
    pub y: String,
    /// Whether equal ratios of y take equal room.
    pub logarithmic: bool,
    /// The highest y shown; higher points lie on the upper edge. `None` shows all.
    pub ceiling: Option<f64>,
    /// The lines.
    pub series: Vec<Series>,
}

/// A picture of one or more charts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// What stands above all.
    pub title: String,
    /// What stands below all: where the figures come from.
    pub footnote: String,
    /// Charts side by side, at least 1.
    pub columns: usize,
    /// Width and height of a chart without its labels, in pixels.
    pub panel_size: (f64, f64),
    /// The charts, row by row.
    pub panels: Vec<Panel>,
}

const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 46.0;
const HEAD: f64 = 34.0;
const LEGEND_ROW: f64 = 20.0;
const LEGEND_ENTRY: f64 = 118.0;
const LEGEND_LINE: f64 = 46.0;
const LEGEND_LETTER: f64 = 6.6;
const FOOT: f64 = 24.0;
const GRID: &str = "#e3e3e3";
const FRAME: &str = "#888888";

impl Sheet {
    /// The picture as an SVG document.
    pub fn render(&self) -> String {
        let columns = self.columns.max(1);
        let cell = (
            LEFT + self.panel_size.0 + RIGHT,
            TOP + self.panel_size.1 + BOTTOM,
        );
        let width = cell.0 * columns.min(self.panels.len().max(1)) as f64;
        let rows = self.panels.len().div_ceil(columns) as f64;
        let names = self.names();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let entry = (LEGEND_LINE + longest as f64 * LEGEND_LETTER).max(LEGEND_ENTRY);
        let per_row = ((width - LEFT) / entry).floor().max(1.0) as usize;
        let legend = HEAD + rows * cell.1;
        let foot = legend + names.len().div_ceil(per_row) as f64 * LEGEND_ROW;
        let mut svg = Svg::new(width, foot + FOOT, &self.title);
        svg.text((LEFT, 24.0), 16.0, Anchor::Start, &self.title);
        for (number, panel) in self.panels.iter().enumerate() {
            let corner = (
                (number % columns) as f64 * cell.0 + LEFT,
                HEAD + (number / columns) as f64 * cell.1 + TOP,
            );
            panel.draw(&mut svg, corner, self.panel_size);
        }
        for (number, name) in names.iter().enumerate() {
            let at = (
                LEFT + (number % per_row) as f64 * entry,
                legend + (number / per_row) as f64 * LEGEND_ROW + 10.0,
            );
            let Style {
                colour,
                dash,
                width,
            } = of_policy(name);
            svg.line(&[at, (at.0 + 28.0, at.1)], colour, width, dash);
            svg.dot((at.0 + 14.0, at.1), width + 0.8, colour);
            svg.text((at.0 + 34.0, at.1 + 4.0), 12.0, Anchor::Start, name);
        }
        svg.text((LEFT, foot + 14.0), 11.0, Anchor::Start, &self.footnote);
        svg.finish()
    }

    /// Every series' name once, in order of appearance.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !names.contains(&series.name.as_str()) {
                names.push(&series.name);
            }
        }
        names
    }
}

impl Panel {
    fn draw(&self, svg: &mut Svg, corner: (f64, f64), size: (f64, f64)) {
        let (left, top) = corner;
        let (right, bottom) = (left + size.0, top + size.1);
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (low, high) = points()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
                (low.min(point.0), high.max(point.0))
            });
        let x = if low.is_finite() {
            Scale::between(low, high)
        } else {
            Scale::between(0.0, 1.0)
        };
        let ceiling = self.ceiling.unwrap_or(f64::INFINITY);
        let values = points().map(|point| point.1.min(ceiling));
        let y = if self.logarithmic {
            Scale::logarithmic(values)
        } else {
            Scale::linear(values)
        };
        let at = |point: &(f64, f64)| {
            let (x, y) = (x.place(point.0)?, y.place(point.1)?);
            Some((left + x * size.0, bottom - y * size.1))
        };
        for tick in y.ticks() {
            let Some(height) = y.place(tick).map(|place| bottom - place * size.1) else {
                continue;
            };
            svg.rule((left, height), (right, height), GRID);
            svg.text((left - 6.0, height + 4.0), 11.0, Anchor::End, &label(tick));
        }
        for tick in x.ticks() {
            let Some(place) = x.place(tick).map(|place| left + place * size.0) else {
                continue;
            };
            svg.rule((place, bottom), (place, bottom + 4.0), FRAME);
            svg.text((place, bottom + 17.0), 11.0, Anchor::Middle, &label(tick));
        }
        svg.rule((left, bottom), (right, bottom), FRAME);
        svg.rule((left, top), (left, bottom), FRAME);
        svg.text((left, top - 9.0), 13.0, Anchor::Start, &self.title);
        svg.text(
            (left + size.0 / 2.0, bottom + 34.0),
            12.0,
            Anchor::Middle,
            &self.x,
        );
        svg.text_upwards((left - 46.0, top + size.1 / 2.0), 12.0, &self.y);
        // Ours comes first and is the widest line, so that it lies below and no other is hidden.
        for series in &self.series {
            let style = of_policy(&series.name);
            let points: Vec<(f64, f64)> = series.points.iter().filter_map(at).collect();
            svg.line(&points, style.colour, style.width, style.dash);
            for point in points {
                svg.dot(point, style.width + 0.4, style.colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Panel, Series, Sheet};

    fn sheet(points: Vec<(f64, f64)>) -> Sheet {
        Sheet {
            title: "Latency & more".to_owned(),
            footnote: "simulated".to_owned(),
            columns: 2,
            panel_size: (200.0, 100.0),
            panels: vec![
                Panel {
                    title: "W1".to_owned(),
                    x: "requests/s".to_owned(),
                    y: "p90 (s)".to_owned(),
                    logarithmic: true,
                    ceiling: Some(10.0),
                    series: vec![Series {
                        name: "cost".to_owned(),
                        points,
                    }],
                };
                3
            ],
        }
    }

    #[test]
    fn lines_stay_inside_the_frame_whatever_the_values() {
        let text = sheet(vec![
            (100.0, 0.05),
            (200.0, f64::NAN),
            (300.0, f64::INFINITY),
            (400.0, 0.0),
        ])
        .render();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("<polyline"))
            .collect();
        assert_eq!(lines.len(), 3 + 1, "three panels and the legend");
        // The first panel's frame goes from 66 to 266 and from 64 to 164.
        assert!(
            lines[0].contains("points=\"66.0,164.0 199.3,64.0 266.0,164.0\""),
            "{}",
            lines[0]
        );
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert_eq!(
            text.matches(">cost</text>").count(),
            1,
            "one legend for all"
        );
        assert!(text.contains("Latency &amp; more"));
    }

    #[test]
    fn an_empty_chart_is_drawn_too() {
        let text = sheet(Vec::new()).render();
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }
}
