//! Colours, dashes and marks that stay apart for every eye and in print.

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    /// The colour, as SVG reads it.
    pub(super) colour: &'static str,
    /// The dash pattern, empty for a solid line.
    pub(super) dash: &'static str,
    /// The width in pixels.
    pub(super) width: f64,
}

/// Okabe and Ito's colours for all kinds of colour vision, but for their yellow, which cannot be
/// seen on white; the dashes tell neighbours apart where colours cannot.
const STYLES: [(&str, Style); 11] = [
    ("cost", style("#0072B2", "", 3.2)),
    ("oracle", style("#000000", "2 4", 2.0)),
    ("rr", style("#D55E00", "", 2.0)),
    ("random", style("#E69F00", "7 3", 2.0)),
    ("gie-v0.3", style("#CC79A7", "", 2.0)),
    ("blend", style("#009E73", "", 2.0)),
    ("sticky", style("#56B4E9", "7 3", 2.0)),
    ("higress", style("#777777", "", 2.0)),
    ("gie-0605", style("#CC79A7", "3 3", 2.0)),
    ("lor", style("#D55E00", "3 3", 2.0)),
    ("p2c", style("#E69F00", "3 3", 2.0)),
];

/// The same for the systems that are compared under overload.
const SYSTEMS: [(&str, Style); 6] = [
    ("zerohop, deadline 0.3 s", style("#0072B2", "", 3.2)),
    ("zerohop", style("#56B4E9", "7 3", 2.0)),
    ("cost, reference's rule", style("#E69F00", "", 2.0)),
    ("cost, no admission", style("#777777", "3 3", 2.0)),
    ("blend, reference's rule", style("#009E73", "", 2.0)),
    ("tree v0.3, its rule", style("#CC79A7", "", 2.0)),
];

const fn style(colour: &'static str, dash: &'static str, width: f64) -> Style {
    Style {
        colour,
        dash,
        width,
    }
}

/// The look of the policy called `name`, the same in all pictures; unknown ones are thin and grey.
pub(super) fn of_policy(name: &str) -> Style {
    STYLES
        .iter()
        .chain(&SYSTEMS)
        .find(|(policy, _)| *policy == name)
        .map_or(style("#777777", "1 2", 1.0), |(_, style)| *style)
}

#[cfg(test)]
mod tests {
    use super::{STYLES, SYSTEMS};

    #[test]
    fn no_two_policies_look_alike() {
        for list in [&STYLES[..], &SYSTEMS] {
            for (at, (_, one)) in list.iter().enumerate() {
                for (_, other) in &list[at + 1..] {
                    assert!(one.colour != other.colour || one.dash != other.dash);
                }
            }
        }
    }
}
