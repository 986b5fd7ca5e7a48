//! Tables that people read, in the terminal and on a page.

use super::scores::NO_ANSWER;

/// Rows of cells under a heading; the first column is text, the others are numbers.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Table {
    /// The names of the columns.
    pub head: Vec<String>,
    /// As many cells as columns in each.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        Table {
            head: head.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    /// For a terminal: columns aligned by spaces.
    pub fn to_text(&self) -> String {
        self.lines(|cells, widths| {
            let mut line = String::new();
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                if column == 0 {
                    line.push_str(cell);
                    line.push_str(&padding);
                } else {
                    line.push_str("  ");
                    line.push_str(&padding);
                    line.push_str(cell);
                }
            }
            line.trim_end().to_owned()
        })
        .join("\n")
    }

    /// For a page: Markdown.
    pub fn to_markdown(&self) -> String {
        let mut lines = self.lines(|cells, _| format!("| {} |", cells.join(" | ")));
        let mut rule = "| --- |".to_owned();
        for _ in 1..self.head.len() {
            rule.push_str(" ---: |");
        }
        lines.insert(1, rule);
        lines.join("\n")
    }

    fn lines(&self, line: impl Fn(&[String], &[usize]) -> String) -> Vec<String> {
        let rows = || std::iter::once(&self.head).chain(&self.rows);
        let mut widths = vec![0; self.head.len()];
        for row in rows() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows().map(|row| line(row, &widths)).collect()
    }
}

/// A number with three digits that count; `-` for none, `refused` where so many requests had no
/// answer that the value is [`NO_ANSWER`].
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value == NO_ANSWER {
        return "refused".to_owned();
    }
    let digits = if value == 0.0 {
        2
    } else {
        (2 - value.abs().log10().floor() as i32).clamp(0, 4) as usize
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::{Table, number};

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["policy", "p90"]);
        table.rows.push(vec!["rr".to_owned(), number(11.234)]);
        table.rows.push(vec!["gie-v0.3".to_owned(), number(0.0481)]);
        assert_eq!(
            table.to_text(),
            "policy       p90\nrr          11.2\ngie-v0.3  0.0481"
        );
        assert_eq!(
            table.to_markdown(),
            "| policy | p90 |\n| --- | ---: |\n| rr | 11.2 |\n| gie-v0.3 | 0.0481 |"
        );
    }

    #[test]
    fn numbers_are_short() {
        let texts = [
            0.0,
            0.04812,
            0.9,
            1.0,
            12.34,
            325.4,
            999.0,
            1_000.0,
            f64::NAN,
        ]
        .map(number);
        assert_eq!(
            texts,
            [
                "0.00", "0.0481", "0.900", "1.00", "12.3", "325", "999", "refused", "-"
            ]
        );
    }
}
